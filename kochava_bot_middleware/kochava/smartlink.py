"""SmartLinks: the settings, compiled, and the links of one message."""

from __future__ import annotations

import enum
import functools
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import attrs

from .smartlink_settings import AUTO, SmartLinkSettings, glob, named_host
from .smartlink_template import (
    CONTEXT_PLACEHOLDERS,
    Address,
    LinkTemplate,
    Part,
    Placeholder,
    address_of,
    encoded,
    parts_of,
)

REMEMBERED_ADDRESSES = 4096
"""Addresses for which the template is cached."""

_KOCHAVA_HOSTS = frozenset({"smart.link", "imp.control.kochava.com"})

_REF = re.compile(r"[A-Za-z0-9_=-]{1,2083}")


class NoSmartLink(enum.StrEnum):
    """Why there is no SmartLink for an address."""

    ALREADY_SMARTLINK = "already_smartlink"
    SKIPPED = "skipped"
    NO_TEMPLATE = "no_template"
    UNUSABLE_ADDRESS = "unusable_address"
    BREAKS_TEMPLATE = "breaks_template"
    """A raw part of the address would end or change what the template itself says."""


@attrs.define(kw_only=True)
class LinkContext:
    """
    Values of the placeholders of a message; ``None`` or empty when unknown.

    Attributes:
        user_id: PSID or IGSID of the recipient.
        page_id: The Page or Instagram account.
        channel: ``messenger`` or ``instagram``.
        handler: Name of the handler that sends.
        creative: Name of the creative.
        template: ``template_type`` around the link.
        title: Title of the button or element.
        index: Number of the link in the message.
        ref: ``ref`` of the referral of the person.
        ad_id: Ad of that referral.
    """

    user_id: str | None = None
    page_id: str | None = None
    channel: str | None = None
    handler: str | None = None
    creative: str | None = None
    template: str | None = None
    title: str | None = None
    index: int | None = None
    ref: str | None = None
    ad_id: str | None = None


class LinkPlan(NamedTuple):
    """
    The part of a SmartLink that depends only on the address: what is before and after the parameters.

    `open_head` has the ``?`` or ``&`` that parameters need, `head` has not. When the template has placeholders of the
    message, there are `parts` instead of these.
    """

    template: LinkTemplate
    head: str
    open_head: str
    tail: str
    parts: tuple[Part, ...]


class Param(NamedTuple):
    """
    A parameter of all SmartLinks, from the settings.

    Attributes:
        placeholders: Their names.
        varies: It may differ from link to link of one message.
    """

    name: str
    parts: tuple[Part, ...]
    placeholders: tuple[str, ...]
    varies: bool


_encoded_again = functools.lru_cache(maxsize=1024)(encoded)
"""Parameters repeat: there are few handlers, and users come again."""


class LinkBuilder:
    """Builds the SmartLinks of one message; what its links have in common is computed once."""

    def __init__(
        self,
        context: LinkContext,
        *,
        params: tuple[Param, ...],
        plan: Callable[[str], LinkPlan | NoSmartLink],
        user_id: Callable[[str], str],
    ) -> None:
        self._context = context
        self._params = params
        self._plan = plan
        self._user_id = user_id
        self._varies = any(param.varies for param in params)
        self._suffixes: dict[LinkTemplate, str] = {}
        self._shared_suffixes: dict[LinkTemplate, str] = {}

    def make(
        self,
        url: str,
        template: str = "",
        title: str = "",
        index: int | None = None,
        shared: bool = False,  # noqa: FBT001, FBT002  called for every link of every message
    ) -> str | NoSmartLink:
        """The SmartLink for *url*, or why there is none; a *shared* one does not contain the user's id."""
        plan = self._plan(url)
        if not isinstance(plan, LinkPlan):
            return plan
        source, head, open_head, tail, parts = plan
        if parts or self._varies:
            return self._varied(plan, template, title, index, shared=shared)
        suffixes = self._shared_suffixes if shared else self._suffixes
        suffix = suffixes.get(source)
        if suffix is None:
            suffix = suffixes[source] = _query(self._params, source.names, self._values(shared=shared))
        return open_head + suffix + tail if suffix else head + tail

    def _varied(self, plan: LinkPlan, template: str, title: str, index: int | None, *, shared: bool) -> str:
        values = self._values(shared=shared)
        for name, value in (("template", template), ("title", title), ("index", index)):
            if value not in (None, ""):
                values[name] = _text(value)
        if plan.parts:
            text = "".join(part if isinstance(part, str) else encoded(values[part.name]) for part in plan.parts)
            plan = plan_of(plan.template, (text,))
        suffix = _query(self._params, plan.template.names, values)
        return plan.open_head + suffix + plan.tail if suffix else plan.head + plan.tail

    def _values(self, *, shared: bool) -> dict[str, str]:
        context = self._context
        return {
            "user_id": "" if shared or not context.user_id else self._user_id(_text(context.user_id)),
            "page_id": _text(context.page_id),
            "channel": _text(context.channel),
            "handler": _text(context.handler),
            "creative": _text(context.creative),
            "template": _text(context.template),
            "title": _text(context.title),
            "index": _text(context.index),
            "ref": _text(context.ref),
            "ad_id": _text(context.ad_id),
        }


def _text(value: object) -> str:
    if value is None:
        return ""
    text = str(value)
    # A lone surrogate cannot be percent-encoded.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def param_of(name: str, text: str) -> Param:
    """Read a parameter of the settings."""
    parts = parts_of(text, CONTEXT_PLACEHOLDERS, wanted="a parameter")
    placeholders = tuple(part.name for part in parts if isinstance(part, Placeholder))
    return Param(name, parts, placeholders, not {"template", "title", "index"}.isdisjoint(placeholders))


def _query(params: tuple[Param, ...], taken: frozenset[str], values: dict[str, str]) -> str:
    fields = []
    for name, parts, placeholders, _ in params:
        if name in taken:
            continue
        if not placeholders or any(map(values.get, placeholders)):
            text = "".join([part if isinstance(part, str) else values[part.name] for part in parts])
            fields.append(f"{_encoded_again(name)}={_encoded_again(text)}")
    return "&".join(fields)


def plan_of(template: LinkTemplate, parts: tuple[Part, ...]) -> LinkPlan:
    """The plan for a filled template; *parts* may still have placeholders of the message."""
    if len(parts) != 1 or not isinstance(parts[0], str):
        return LinkPlan(template, "", "", "", parts)
    head, mark, fragment = parts[0].partition("#")
    joiner = "&" if "?" in head else "?"
    if head[-1:] in ("?", "&"):
        joiner = ""
    return _make_plan((template, head, head + joiner, mark + fragment, ()))


_make_plan = functools.partial(tuple.__new__, LinkPlan)
"""A `LinkPlan` from a tuple of its fields, in half the time of a call."""


USER_PARAMS: Mapping[str, str] = {"messenger": "fb_user_id", "instagram": "ig_user_id"}
"""By channel, the parameter with the recipient's id where the settings say ``auto``."""


class SmartLinks:
    """
    The SmartLinks of one app. Can be shared: its only state is a bounded cache.

    Args:
        user_params: As of `USER_PARAMS`; an unknown channel counts as the first.
    """

    def __init__(self, settings: SmartLinkSettings, *, user_params: Mapping[str, str] = USER_PARAMS) -> None:
        self.settings = settings
        self.text_links = settings.text_links
        self._default = None if settings.default is None else LinkTemplate.parse(settings.default)
        self._routes = [
            (glob(route.match), named_host(route.match), LinkTemplate.parse(route.link)) for route in settings.routes
        ]
        self._skip = [glob(pattern) for pattern in settings.skip]
        self._templates = [template for _, _, template in self._routes] + ([self._default] if self._default else [])
        self._template_hosts = frozenset(template.host for template in self._templates)
        self._hosts = frozenset(host.lower() for host in settings.hosts)
        params = tuple(param_of(name, text) for name, text in settings.params.items())
        if settings.user_param is None:
            self._params_by_channel = dict.fromkeys(user_params, params)
        else:
            names = user_params if settings.user_param == AUTO else dict.fromkeys(user_params, settings.user_param)
            self._params_by_channel = {
                channel: (*params, param_of(name, "{user_id}")) for channel, name in names.items()
            }
        self._other_params = next(iter(self._params_by_channel.values()))
        self._param_names = frozenset(param.name for each in self._params_by_channel.values() for param in each)
        self._remembered = functools.lru_cache(maxsize=REMEMBERED_ADDRESSES)(self._plan)

    @property
    def is_active(self) -> bool:
        """Whether any link can be replaced."""
        return bool(self._templates)

    def make(self, url: str, context: LinkContext) -> str | None:
        """The SmartLink for *url*; ``None`` when there is none (`why_not` returns the reason)."""
        made = self.builder(context).make(url)
        return None if isinstance(made, NoSmartLink) else made

    def why_not(self, url: str) -> NoSmartLink | None:
        """Why there is no SmartLink for *url*; ``None`` when there is one."""
        plan = self._remembered(url)
        return plan if isinstance(plan, NoSmartLink) else None

    def has_own_route(self, url: str) -> bool:
        """Whether the route of *url* names its host, so that its author meant just such addresses."""
        address = address_of(url) if self._routes else None
        if address is None:
            return False
        normalized = address.normalized
        host = next((host for match, host, _ in self._routes if match.fullmatch(normalized)), None)
        return host is not None and f".{address.name}".endswith(f".{host}")

    def builder(self, context: LinkContext) -> LinkBuilder:
        """The builder for the links of one message."""
        return LinkBuilder(context, params=self.params_of(context), plan=self._remembered, user_id=self.user_id)

    def params_of(self, context: LinkContext) -> tuple[Param, ...]:
        """The parameters of every link of one message."""
        return self._params_by_channel.get(context.channel or "", self._other_params)

    def entry_link(
        self, target_url: str, *, ref: str | None = None, creative: str | None = None, page_id: str | None = None
    ) -> str:
        """
        The SmartLink for an ad, QR code or e-mail that leads into the bot.

        Args:
            target_url: The bot's address, such as ``https://m.me/<page>``.
            ref: Replaces the ``ref`` of *target_url*; it is in the referral of the bot's first event.
            creative: Name of the creative, for Kochava.
            page_id: The Page that it leads to, for Kochava.

        Raises:
            ValueError: *ref* has characters that Facebook does not accept, or there is no template for *target_url*.
        """
        if ref is not None:
            if not _REF.fullmatch(ref):
                msg = f"ref must consist of at most 2083 letters, digits, `_`, `=` and `-`, got {ref!r}"
                raise ValueError(msg)
            target_url = _with_ref(target_url, ref)
        made = self.make(target_url, LinkContext(creative=creative, ref=ref, page_id=page_id))
        if made is None:
            why = self.why_not(target_url)
            msg = f"no SmartLink for {target_url!r}: {why}; set `smartlinks.default` or a route for it"
            raise ValueError(msg)
        return made

    def user_id(self, user_id: str) -> str:
        """The id of a user in links: the id itself, or its keyed hash."""
        key = self.settings.user_id_hash_key
        if not self.settings.user_id_hash or key is None:
            return user_id
        return hmac.new(key.value.encode(), user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _plan(self, url: str) -> LinkPlan | NoSmartLink:
        address = address_of(url)
        if address is None:
            return NoSmartLink.UNUSABLE_ADDRESS
        if self._is_smartlink(address):
            return NoSmartLink.ALREADY_SMARTLINK
        template = self._default
        if self._skip or self._routes:
            normalized = address.normalized
            if any(pattern.fullmatch(normalized) for pattern in self._skip):
                return NoSmartLink.SKIPPED
            template = next((link for match, _, link in self._routes if match.fullmatch(normalized)), template)
        if template is None:
            return NoSmartLink.NO_TEMPLATE
        return self.filled(template, url, address)

    def filled(self, template: LinkTemplate, url: str, address: Address) -> LinkPlan | NoSmartLink:
        """The plan for an address with a template that was chosen for it."""
        try:
            parts = template.fill(url, address, self._param_names)
        except UnicodeEncodeError:
            return NoSmartLink.UNUSABLE_ADDRESS
        return NoSmartLink.BREAKS_TEMPLATE if parts is None else plan_of(template, parts)

    def _is_smartlink(self, address: Address) -> bool:
        """Whether an address is a SmartLink, or a click or impression address of Kochava."""
        name = address.name
        if name in _KOCHAVA_HOSTS or name.endswith(".smart.link"):
            return True
        if name == "control.kochava.com" and address.path.rstrip("/") == "/v1/cpi/click":
            return True
        if self._hosts and (name in self._hosts or address.host in self._hosts):
            return True
        if address.host not in self._template_hosts:
            return False
        return any(template.owns(address) for template in self._templates)


def _with_ref(url: str, ref: str) -> str:
    address = urlsplit(url)
    kept = [field for field in address.query.split("&") if field and field.partition("=")[0] != "ref"]
    return urlunsplit(address._replace(query="&".join([*kept, f"ref={ref}"])))
