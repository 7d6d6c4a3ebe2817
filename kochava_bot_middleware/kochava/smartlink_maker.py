"""
From the plan of an address and the facts of a message to one SmartLink.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable
from typing import NamedTuple

import attrs

from .smartlink_template import CONTEXT_PLACEHOLDERS, LinkTemplate, Part, Placeholder, encoded, parts_of


class NotMade(enum.StrEnum):
    """
    Why an address gets no SmartLink.
    """

    ALREADY_SMARTLINK = "already_smartlink"
    SKIPPED = "skipped"
    NO_TEMPLATE = "no_template"
    UNUSABLE_ADDRESS = "unusable_address"


@attrs.frozen(kw_only=True)
class LinkContext:
    """
    What is known where a link is sent; ``None`` or empty where it is not.

    Attributes:
        user_id: PSID or IGSID of the recipient.
        page_id: The Page or Instagram account.
        channel: ``messenger`` or ``instagram``.
        handler: Name of the handler that sends.
        creative: Name of the creative; the handler's stands in when there is none.
        template: ``template_type`` around the link.
        title: Title of the button or element.
        index: Running number of the link in the message.
        ref: ``ref`` of the referral that led the person here.
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


class Plan(NamedTuple):
    """
    What an address alone decides of its SmartLink.

    Attributes:
        template: What it is made from.
        head: The link up to where the parameters go.
        open_head: The same, ready for a parameter to be appended.
        tail: What follows the parameters: the fragment.
        parts: Instead of all these, when the message has to fill placeholders first.
    """

    template: LinkTemplate
    head: str
    open_head: str
    tail: str
    parts: tuple[Part, ...]


class Param(NamedTuple):
    """
    A parameter that SmartLinks carry, read from the settings.
    """

    name: str
    parts: tuple[Part, ...]
    is_fixed: bool


_encoded_again = functools.lru_cache(maxsize=1024)(encoded)
"""Parameters are few: the same handlers and users come again."""


class LinkMaker:
    """
    Makes the SmartLinks of one message: what all its links have in common is worked out once.
    """

    def __init__(
        self,
        context: LinkContext,
        *,
        params: tuple[Param, ...],
        plan: Callable[[str], Plan | NotMade],
        user_id: Callable[[str], str],
    ) -> None:
        self._context = context
        self._params = params
        self._plan = plan
        self._user_id = user_id
        self._varies = any(
            isinstance(part, Placeholder) and part.name in ("template", "title", "index")
            for param in params
            for part in param.parts
        )
        self._suffixes: dict[LinkTemplate, str] = {}
        self._shared_suffixes: dict[LinkTemplate, str] = {}

    def make(
        self,
        url: str,
        template: str = "",
        title: str = "",
        index: int | None = None,
        shared: bool = False,  # noqa: FBT001, FBT002  called for every link of every message
    ) -> str | NotMade:
        """
        The SmartLink for *url*, or why there is none.

        Args:
            shared: Others are sure to get the link, so it does not name the user.
        """
        plan = self._plan(url)
        if isinstance(plan, NotMade):
            return plan
        source, head, open_head, tail, parts = plan
        if parts or self._varies:
            return self._varied(plan, template, title, index, shared=shared)
        suffixes = self._shared_suffixes if shared else self._suffixes
        suffix = suffixes.get(source)
        if suffix is None:
            suffix = suffixes[source] = _query(self._params, source.names, self._values(shared=shared))
        return open_head + suffix + tail if suffix else head + tail

    def _varied(self, plan: Plan, template: str, title: str, index: int | None, *, shared: bool) -> str:
        values = self._values(shared=shared)
        for name, value in (("template", template), ("title", title), ("index", index)):
            if value not in (None, ""):
                values[name] = _text(value)
        if plan.parts:
            text = "".join(part if isinstance(part, str) else encoded(values[part.name]) for part in plan.parts)
            plan = planned(plan.template, (text,))
        suffix = _query(self._params, plan.template.names, values)
        return plan.open_head + suffix + plan.tail if suffix else plan.head + plan.tail

    def _values(self, *, shared: bool) -> dict[str, str]:
        context = self._context
        return {
            "user_id": "" if shared or not context.user_id else self._user_id(_text(context.user_id)),
            "page_id": _text(context.page_id),
            "channel": _text(context.channel),
            "handler": _text(context.handler),
            "creative": _text(context.creative or context.handler),
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
    # Half a surrogate pair has no percent-encoded form.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def param_of(name: str, text: str) -> Param:
    """
    Read a parameter of the settings.
    """
    parts = parts_of(text, CONTEXT_PLACEHOLDERS, wanted="a parameter")
    return Param(name, parts, all(isinstance(part, str) for part in parts))


def _query(params: tuple[Param, ...], taken: frozenset[str], values: dict[str, str]) -> str:
    fields = []
    for name, parts, is_fixed in params:
        if name in taken:
            continue
        if is_fixed or any(isinstance(part, Placeholder) and values[part.name] for part in parts):
            text = "".join([part if isinstance(part, str) else values[part.name] for part in parts])
            fields.append(f"{_encoded_again(name)}={_encoded_again(text)}")
    return "&".join(fields)


def planned(template: LinkTemplate, parts: tuple[Part, ...]) -> Plan:
    """
    What to put around the parameters; with placeholders left in *parts*, that is known only with the message.
    """
    if len(parts) != 1 or not isinstance(parts[0], str):
        return Plan(template, "", "", "", parts)
    head, mark, fragment = parts[0].partition("#")
    joiner = "&" if "?" in head else "?"
    if head[-1:] in ("?", "&"):
        joiner = ""
    return _make_plan((template, head, head + joiner, mark + fragment, ()))


_make_plan = functools.partial(tuple.__new__, Plan)
"""A `Plan` from a tuple of its fields, in half the time of a call."""
