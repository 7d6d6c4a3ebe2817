"""
An outgoing body with SmartLinks in place of the links that a person taps.
"""

from __future__ import annotations

import enum
from collections import Counter
from typing import Any, NamedTuple

import attrs

from ..kochava.smartlink import LinkContext, NotMade, SmartLinks
from ..messenger.events import Channel
from ..messenger.links import KeepReason, LinkSite, TextLimit, map_links
from ..messenger.outgoing import Outgoing


class LeftAlone(enum.StrEnum):
    """
    Why a link is as it was: every `KeepReason`, every `NotMade`, and what only shows in the whole.
    """

    MEDIA = KeepReason.MEDIA
    PICTURE = KeepReason.PICTURE
    ACCOUNT_LINK = KeepReason.ACCOUNT_LINK
    PRIVACY = KeepReason.PRIVACY
    OPEN_GRAPH = KeepReason.OPEN_GRAPH
    HOME_URL = KeepReason.HOME_URL
    MESSENGER_LINK = KeepReason.MESSENGER_LINK
    MESSENGER_EXTENSIONS = KeepReason.MESSENGER_EXTENSIONS
    UTILITY_TEMPLATE = KeepReason.UTILITY_TEMPLATE
    OPAQUE = KeepReason.OPAQUE
    NOT_HTTP = KeepReason.NOT_HTTP
    UNKNOWN_PLACE = KeepReason.UNKNOWN_PLACE
    ALREADY_SMARTLINK = NotMade.ALREADY_SMARTLINK
    SKIPPED = NotMade.SKIPPED
    NO_TEMPLATE = NotMade.NO_TEMPLATE
    UNUSABLE_ADDRESS = NotMade.UNUSABLE_ADDRESS
    TEXT_TOO_LONG = "text_too_long"
    """The text would have become longer than the platform takes."""


@attrs.frozen(kw_only=True)
class LinkOutcome:
    """
    What became of one link.

    Attributes:
        site: Where and what it is.
        smartlink: What stands there now; ``None`` when it was left alone.
        left_alone: Why it was left alone; ``None`` when it was not.
    """

    site: LinkSite
    smartlink: str | None
    left_alone: LeftAlone | None


class Rewritten(NamedTuple):
    """
    A body and what became of its links.

    Attributes:
        body: The body to send; the caller's own object when nothing changed.
        changed: How many links were replaced.
        results: Each link, with its SmartLink or the reason why it has none. `outcomes` reads better.
    """

    body: Any
    changed: int
    results: tuple[tuple[LinkSite, str | LeftAlone], ...]

    @property
    def outcomes(self) -> tuple[LinkOutcome, ...]:
        """
        What became of each link, in order.
        """
        return tuple(
            LinkOutcome(site=site, smartlink=None, left_alone=result)
            if isinstance(result, LeftAlone)
            else LinkOutcome(site=site, smartlink=result, left_alone=None)
            for site, result in self.results
        )

    @property
    def left_alone(self) -> Counter[LeftAlone]:
        """
        How many links were left alone, by reason.
        """
        return Counter(result for _, result in self.results if isinstance(result, LeftAlone))


_REASONS: dict[str, LeftAlone] = {reason.value: reason for reason in LeftAlone}


def context_of(
    outgoing: Outgoing, *, handler: str | None = None, ref: str | None = None, ad_id: str | None = None
) -> LinkContext:
    """
    What the SmartLinks of one send carry: user and Page from the send itself, the rest is its cause.
    """
    return LinkContext(
        user_id=outgoing.recipient.user_id,
        page_id=outgoing.page_id,
        channel=outgoing.channel.value,
        handler=handler,
        creative=outgoing.creative,
        ref=ref,
        ad_id=ad_id,
    )


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
        every_place: Also tell of addresses that nobody taps (pictures, media, payloads).
    """
    text_links = links.text_links
    if not text_links and not every_place and type(body) is dict:
        message = body.get("message")
        # Most messages are plain text, for which nothing needs to be walked.
        if type(message) is dict and len(message) == 1 and "text" in message:
            return tuple.__new__(Rewritten, (body, 0, ()))
    text_limit = None
    if text_links:
        text_limit = TextLimit.INSTAGRAM if context.channel == Channel.INSTAGRAM else TextLimit.MESSENGER
    visitor = _Rewriting(links, context)
    rewritten = map_links(body, visitor.visit, endpoint=endpoint, text_limit=text_limit, every_place=every_place)
    return Rewritten(rewritten, visitor.changed, tuple(visitor.results))


class _Rewriting:
    """
    Chooses for each link of one body.
    """

    def __init__(self, links: SmartLinks, context: LinkContext) -> None:
        self._links = links
        self._context = context
        self._user_id = context.user_id
        self._make = links.maker(context).make
        self._extensions = links.settings.extensions_whitelisted
        self._left_count = 0
        self.results: list[tuple[LinkSite, str | LeftAlone]] = []

    @property
    def changed(self) -> int:
        """
        How many links were replaced so far.
        """
        return len(self.results) - self._left_count

    def visit(self, site: LinkSite) -> str | None:
        """
        The SmartLink for a link, or ``None`` to leave it.
        """
        _, url, _, template, title, index, keep, shared, extensions, user_id, room = site
        if keep is not None and not (extensions and self._extensions):
            return self._left(site, keep)
        if user_id != self._user_id and user_id is not None:
            self._user_id = user_id
            self._make = self._links.maker(attrs.evolve(self._context, user_id=user_id)).make
        made = self._make(url, template, title, index, shared=shared)
        if isinstance(made, NotMade):
            return self._left(site, made)
        if extensions and not made.startswith("https://"):
            return self._left(site, LeftAlone.MESSENGER_EXTENSIONS)
        if room is not None and len(made.encode("utf-8", "surrogatepass")) > room:
            return self._left(site, LeftAlone.TEXT_TOO_LONG)
        self.results.append((site, made))
        return made

    def _left(self, site: LinkSite, reason: str) -> str | None:
        self._left_count += 1
        self.results.append((site, _REASONS[reason]))
        return None
