"""SmartLinks in place of the links that a person taps: those of an app, and the rewriting of an outgoing body."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import attrs

from ...kochava.smartlink import USER_PARAMS, LinkBuilder, LinkContext, LinkPlan, NoSmartLink, SmartLinks
from ...kochava.smartlink_settings import SmartLinkSettings
from ...kochava.smartlink_template import address_of
from ...messenger.events import Channel
from ...messenger.links.body import replace_links
from ...messenger.links.link import KeepReason, Link, LinkKind, Trail, link_of, reason_to_keep
from ...messenger.links.walk import TextLimit
from ...messenger.outgoing import Outgoing
from .provider import Catalogue


class AppLinks(SmartLinks):
    """
    SmartLinks that come from a provider where it has one.

    Args:
        catalogue: The provider's answers; ``None`` without a provider.
        anonymous: No link carries the person's id: for those who opted out.
        user_params: As of `SmartLinks`.
    """

    def __init__(
        self,
        settings: SmartLinkSettings,
        *,
        catalogue: Catalogue | None = None,
        anonymous: bool = False,
        user_params: Mapping[str, str] = USER_PARAMS,
    ) -> None:
        super().__init__(settings, user_params=user_params)
        self.catalogue = catalogue
        self._anonymous = anonymous

    @property
    def is_active(self) -> bool:
        """Whether any link could be replaced at all."""
        return self.catalogue is not None or super().is_active

    @property
    def names_people(self) -> bool:
        """Whether a link may carry the person's id."""
        settings = self.settings
        if settings.user_param is not None or self.catalogue is not None:
            return True
        texts = [settings.default or "", *settings.params.values(), *(route.link for route in settings.routes)]
        return any("{user_id}" in text for text in texts)

    def builder(self, context: LinkContext) -> LinkBuilder:
        if self.catalogue is None:
            return super().builder(context)
        return LinkBuilder(context, params=self.params_of(context), plan=self._provided_plan, user_id=self.user_id)

    def user_id(self, user_id: str) -> str:
        return "" if self._anonymous else super().user_id(user_id)

    async def prepare(self, urls: Iterable[str]) -> None:
        """Ask the provider for those of *urls* that may become SmartLinks."""
        if self.catalogue is not None:
            askable = (None, NoSmartLink.NO_TEMPLATE, NoSmartLink.BREAKS_TEMPLATE)
            await self.catalogue.prepare(url for url in urls if self.why_not(url) in askable)

    def _provided_plan(self, url: str) -> LinkPlan | NoSmartLink:
        plan = self._remembered(url)
        answer = None if self.catalogue is None else self.catalogue.known(url)
        if plan not in (NoSmartLink.ALREADY_SMARTLINK, NoSmartLink.SKIPPED, NoSmartLink.UNUSABLE_ADDRESS):
            address = address_of(url)
            if answer is not None and answer.template is not None and address is not None:
                return self.filled(answer.template, url, address)
            if self.catalogue is not None and self.catalogue.has_given(url):
                return NoSmartLink.ALREADY_SMARTLINK
            if answer is None or answer.failed:
                return NoSmartLink.NO_TEMPLATE
        return plan


LeftAlone = KeepReason | NoSmartLink | Literal["text_too_long"]
"""Why a link is as it was; ``text_too_long``: the text would have become longer than the platform takes."""


@attrs.frozen(kw_only=True)
class LinkOutcome:
    """What became of one link: a SmartLink, or the reason why it was left alone."""

    site: Link
    smartlink: str | None
    left_alone: LeftAlone | None


class Rewritten(NamedTuple):
    """
    A body with SmartLinks, and how many links were replaced and left alone.

    Attributes:
        body: The body to send; the caller's own object when nothing changed.
    """

    body: Any
    changed: int
    left_alone: Mapping[LeftAlone, int]


def context_of(
    outgoing: Outgoing,
    *,
    creative: str | None = None,
    handler: str | None = None,
    ref: str | None = None,
    ad_id: str | None = None,
) -> LinkContext:
    """What the SmartLinks of one send carry: user and Page from the send itself, the rest is its cause."""
    return LinkContext(
        user_id=outgoing.recipient.user_id,
        page_id=outgoing.page_id,
        channel=outgoing.channel,
        handler=handler,
        creative=creative or outgoing.creative,
        ref=ref,
        ad_id=ad_id,
    )


def has_no_links(body: Any, links: SmartLinks) -> bool:
    """Whether a body is plain text, as most messages are, in which nothing is to be replaced."""
    if links.text_links or type(body) is not dict:
        return False
    message = body.get("message")
    return type(message) is dict and len(message) == 1 and "text" in message


def rewrite(
    body: Any, links: SmartLinks, context: LinkContext, *, endpoint: str = "messages", every_place: bool = False
) -> Rewritten:
    """
    Put SmartLinks in place of the links that a person taps. Never raises, and never writes into *body*.

    Doing it again changes nothing. A link that cannot be replaced stays, and `Rewritten.left_alone` counts why.

    Args:
        body: As of `iter_links`.
        context: Of the send. The requests of a batch carry their own recipients, which are used for their links.
        endpoint: Last part of the Graph path.
        every_place: Also include addresses that nobody taps (pictures, media, payloads).
    """
    rewriting = _Rewriting(links, context)
    changed_body = rewriting.run(body, endpoint=endpoint, every_place=every_place)
    return Rewritten(changed_body, rewriting.changed, rewriting.left_alone)


def explain(
    body: Any, links: SmartLinks, context: LinkContext, *, endpoint: str = "messages", every_place: bool = False
) -> Sequence[LinkOutcome]:
    """What becomes of each link, in order, when `rewrite` is called with the same arguments."""
    rewriting = _OutcomeRewriting(links, context)
    rewriting.run(body, endpoint=endpoint, every_place=every_place)
    return rewriting.outcomes


def is_routed(links: SmartLinks, url: str, keep: KeepReason) -> bool:
    """Whether a route overrules the reason to keep an address."""
    return keep is KeepReason.MESSENGER_LINK and links.has_own_route(url)


class _Rewriting:
    """Chooses for each link of one body, and counts."""

    def __init__(self, links: SmartLinks, context: LinkContext) -> None:
        self._links = links
        self._context = context
        self._user_id = context.user_id
        self._make = links.builder(context).make
        self._extensions = links.settings.extensions_whitelisted
        self.changed = 0
        self.left_alone: Counter[LeftAlone] = Counter()

    def run(self, body: Any, *, endpoint: str, every_place: bool) -> Any:
        """The body with what was chosen."""
        text_limit = None
        if self._links.text_links:
            is_instagram = self._context.channel == Channel.INSTAGRAM
            text_limit = TextLimit.INSTAGRAM if is_instagram else TextLimit.MESSENGER
        return replace_links(body, self.show, endpoint=endpoint, text_limit=text_limit, every_place=every_place)

    def show(
        self,
        trail: Trail,
        url: str,
        kind: LinkKind,
        template: str,
        title: str,
        index: int,
        keep: KeepReason | None,
        shared: bool,  # noqa: FBT001  as in `Replace`
        extensions: bool,  # noqa: FBT001
        user_id: str | None,
        max_length: int | None,
        /,
    ) -> str | None:
        """The SmartLink for a link, or ``None`` to leave it."""
        if keep is not None and not (extensions and self._extensions):
            return self._left(keep)
        keep = reason_to_keep(url)
        if keep is not None and not is_routed(self._links, url, keep):
            return self._left(keep)
        if user_id != self._user_id and user_id is not None:
            self._user_id = user_id
            self._make = self._links.builder(attrs.evolve(self._context, user_id=user_id)).make
        made = self._make(url, template, title, index, shared)
        # `isinstance` asks the metaclass of an enum, which takes as long as the rest of this.
        if type(made) is NoSmartLink:
            return self._left(made)
        if extensions and not made.startswith("https://"):
            return self._left(KeepReason.MESSENGER_EXTENSIONS)
        if max_length is not None and len(made.encode("utf-8", "surrogatepass")) > max_length:
            return self._left("text_too_long")
        self.changed += 1
        return made

    def _left(self, reason: LeftAlone) -> str | None:
        self.left_alone[reason] += 1
        return None


class _OutcomeRewriting(_Rewriting):
    """Keeps what became of each link."""

    def __init__(self, links: SmartLinks, context: LinkContext) -> None:
        super().__init__(links, context)
        self.outcomes: list[LinkOutcome] = []

    def show(self, *facts: Any) -> str | None:
        """As of `_Rewriting`."""
        before = self.left_alone.copy()
        made = super().show(*facts)
        (reason,) = (self.left_alone - before) or (None,)
        self.outcomes.append(LinkOutcome(site=link_of(*facts), smartlink=made, left_alone=reason))
        return made
