"""One link of an outgoing body: its place, its kind, and the reason why it must not be replaced, if there is one."""

from __future__ import annotations

import enum
import functools
import re
from typing import Any, NamedTuple, Protocol

Path = tuple[str | int, ...]
"""Keys and indexes from the body to the address. JSON text and form text are treated like objects."""

Trail = tuple[Any, ...]
"""A `Path` while it is being built: a pair of the trail so far and one more key; empty for the body itself."""


class LinkKind(enum.StrEnum):
    """The member of the Send API that holds the address."""

    BUTTON = "button"
    FALLBACK_URL = "fallback_url"
    DEFAULT_ACTION = "default_action"
    ITEM_URL = "item_url"
    IMAGE_ACTION = "image_action"
    COUPON_URL = "coupon_url"
    ORDER_URL = "order_url"
    CHECKIN_URL = "checkin_url"
    MENU_ITEM = "menu_item"
    TEXT = "text"
    PICTURE = "picture"
    MEDIA = "media"
    CARD = "card"
    ACCOUNT_LINK = "account_link"
    PRIVACY = "privacy"
    HOME_URL = "home_url"
    UTILITY = "utility"
    PAYLOAD = "payload"


NEVER_OPENED = frozenset({LinkKind.PICTURE, LinkKind.MEDIA, LinkKind.PAYLOAD})
"""Kinds of addresses that a person never opens."""


class KeepReason(enum.StrEnum):
    """
    Why an address must not be replaced. Settings can overrule `MESSENGER_EXTENSIONS` and `MESSENGER_LINK`, no others.
    """

    MEDIA = "media"
    """Facebook plays it and requires an address of its own (2018185, 2018188), or fetches it."""
    PICTURE = "picture"
    """Facebook fetches it."""
    ACCOUNT_LINK = "account_link"
    """Facebook appends a token that is valid for five minutes, and the page must lead back."""
    PRIVACY = "privacy"
    """The privacy policy of a form."""
    OPEN_GRAPH = "open_graph"
    """The card is made from the content of this page."""
    HOME_URL = "home_url"
    """Its domain must be whitelisted."""
    MESSENGER_LINK = "messenger_link"
    """m.me, ig.me and messenger.com/t open inside Messenger and are attributed by their ``ref``."""
    MESSENGER_EXTENSIONS = "messenger_extensions"
    """The send fails with code 100 unless the host is in ``whitelisted_domains``."""
    UTILITY_TEMPLATE = "utility_template"
    """Part of an address that Facebook approves."""
    OPAQUE = "opaque"
    """A payload or code that looks like an address."""
    NOT_HTTP = "not_http"
    """Neither http nor https."""
    UNKNOWN_PLACE = "unknown_place"
    """It is not known whether a person can tap it."""


class Scope(NamedTuple):
    """What the objects around a link say about it, as in `Link`; *title* is that of the element."""

    template: str = ""
    title: str = ""
    shared: bool = False
    user_id: str | None = None


class Link(NamedTuple):
    """
    One address in an outgoing body.

    Attributes:
        path: Its place. In plain text the last item is the position of the address in the text.
        url: The address as written.
        kind: The kind of place.
        template: ``template_type`` around it, or empty.
        title: Title of the button, or else of the element around it; empty when it has none.
        index: Number, from 1, among the links of this body that a person can tap; 0 for others.
        keep: Why it must not be replaced; ``None`` when it may be.
        shared: Other people than the recipient get it, so it must not contain the recipient's id.
        extensions: A button with ``messenger_extensions``; the address must be https and its host whitelisted.
        user_id: PSID or IGSID in the body around it; in a batch, that of its request.
        max_length: How many characters (on Instagram bytes) a replacement may have; ``None`` outside of plain text.
    """

    path: Path
    url: str
    kind: LinkKind
    template: str
    title: str
    index: int  # type: ignore[assignment]  # a number, where tuples have a method
    keep: KeepReason | None
    shared: bool = False
    extensions: bool = False
    user_id: str | None = None
    max_length: int | None = None


class Replace(Protocol):
    """
    Given a link, returns its replacement, or ``None`` to keep it.

    The arguments are the fields of a `Link`, since creating one for every link of every message is too slow. Of the
    reasons to keep it, *keep* has only those of the objects around it; `reason_to_keep` adds that of the address.
    """

    def __call__(
        self,
        trail: Trail,
        url: str,
        kind: LinkKind,
        template: str,
        title: str,
        index: int,
        keep: KeepReason | None,
        shared: bool,  # noqa: FBT001  positional, since it is called for every link of every message
        extensions: bool,  # noqa: FBT001
        user_id: str | None,
        max_length: int | None,
        /,
    ) -> str | None: ...


def link_of(
    trail: Trail,
    url: str,
    kind: LinkKind,
    template: str,
    title: str,
    index: int,
    keep: KeepReason | None,
    *others: Any,
) -> Link:
    """The link with the arguments of a `Replace` function."""
    path: list[str | int] = []
    while trail:
        trail, key = trail
        path.append(key)
    return Link(tuple(reversed(path)), url, kind, template, title, index, keep or reason_to_keep(url), *others)


_MESSENGER_HOSTS = frozenset({"m.me", "www.m.me", "ig.me", "www.ig.me"})
_CONVERSATION_HOSTS = frozenset({"messenger.com", "www.messenger.com", "m.messenger.com"})
"""Only ``/t/…`` is a conversation there."""

_SCHEMES = ("https://", "http://")
_HOST = re.compile(r"https?://(?:[^/?#\\@]*@)?([^/?#\\@:]+)(?::[0-9]*)?(/t/)?")


@functools.lru_cache(maxsize=4096)
def reason_to_keep(url: str) -> KeepReason | None:
    """Why an address must not be replaced in any place; ``None`` when the address itself is no reason."""
    lowered = url.lower()
    if not lowered.startswith(_SCHEMES):
        return KeepReason.NOT_HTTP
    if ".me" in lowered or "messenger.com" in lowered:
        address = _HOST.match(lowered)
        if address is not None:
            host = address[1].rstrip(".")
            if host in _MESSENGER_HOSTS or (host in _CONVERSATION_HOSTS and address[2]):
                return KeepReason.MESSENGER_LINK
    return None
