"""What is known of one link in an outgoing body: where it is, what it is, and why it must stay as it is, if so."""

from __future__ import annotations

import enum
import functools
import re
from typing import Any, NamedTuple, Protocol

Path = tuple[str | int, ...]
"""Keys and indexes from the body down to the address, through JSON text and form text as if they were objects."""

Trail = tuple[Any, ...]
"""A `Path` as the walk carries it: the trail so far and one more key; empty at the body. See `path_of`."""


class LinkKind(enum.StrEnum):
    """The place of the platform that holds the address."""

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


UNTAPPED = frozenset({LinkKind.PICTURE, LinkKind.MEDIA, LinkKind.PAYLOAD})
"""Kinds of which nobody ever opens the address."""


class KeepReason(enum.StrEnum):
    """Why an address must not be changed, whatever the settings say (`MESSENGER_EXTENSIONS` apart)."""

    MEDIA = "media"
    """Facebook plays it, and refuses an address that is not its own (2018185, 2018188), or fetches it."""
    PICTURE = "picture"
    """Facebook fetches it."""
    ACCOUNT_LINK = "account_link"
    """Facebook appends a token of five minutes, and the page must lead back."""
    PRIVACY = "privacy"
    """The legal text of a form."""
    OPEN_GRAPH = "open_graph"
    """The card is built by crawling this very page."""
    HOME_URL = "home_url"
    """Its domain must be whitelisted."""
    MESSENGER_LINK = "messenger_link"
    """m.me, ig.me and messenger.com/t open inside Messenger and are attributed by their ``ref``."""
    MESSENGER_EXTENSIONS = "messenger_extensions"
    """The send fails with code 100 unless the host is in ``whitelisted_domains``."""
    UTILITY_TEMPLATE = "utility_template"
    """A suffix of an approved address, or an address under approval."""
    OPAQUE = "opaque"
    """A payload or code that only looks like an address."""
    NOT_HTTP = "not_http"
    """Neither http nor https."""
    UNKNOWN_PLACE = "unknown_place"
    """Nothing says that a person can tap it."""


class LinkSite(NamedTuple):
    """
    One address in an outgoing body.

    Attributes:
        path: Where it is. In plain text the last item is the position of the address in the text.
        url: The address as written.
        kind: Which place of the platform it is in.
        template: ``template_type`` around it, or empty.
        title: Title of the button, or else of the element around it; empty when it has none.
        index: Running number, from 1, among the links of this body that are in a place to be tapped; 0 for others.
        keep: Why it must stay as it is; ``None`` when it may be replaced.
        shared: Others than the recipient are sure to get it, so it must not name the recipient.
        extensions: A button with ``messenger_extensions``; the address must be https and its host whitelisted.
        user_id: PSID or IGSID that the body around it names; of a batch, each request's own.
        room: How many characters (on Instagram bytes) a replacement may have; ``None`` outside of plain text.
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
    room: int | None = None


class Show(Protocol):
    """
    Is told of a link during the walk and gives its replacement, or ``None`` to leave it.

    The arguments are the fields of a `LinkSite`, which costs too much to be made for every link of every message. Of
    reasons to stay, *keep* has only what is around the link; `reason_to_keep` adds what the address says.
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
        room: int | None,
        /,
    ) -> str | None:
        """The new address, or ``None``."""


def site_of(
    trail: Trail,
    url: str,
    kind: LinkKind,
    template: str,
    title: str,
    index: int,
    keep: KeepReason | None,
    *others: Any,
) -> LinkSite:
    """The site of what a `Show` is told."""
    return LinkSite(path_of(trail), url, kind, template, title, index, keep or reason_to_keep(url), *others)


def path_of(trail: Trail) -> Path:
    """The keys of a trail, from the body down."""
    keys: list[str | int] = []
    while trail:
        trail, key = trail
        keys.append(key)
    return tuple(reversed(keys))


MESSENGER_HOSTS = frozenset({"m.me", "www.m.me", "ig.me", "www.ig.me"})
CONVERSATION_HOSTS = frozenset({"messenger.com", "www.messenger.com", "m.messenger.com"})
"""Where only ``/t/…`` is a conversation."""

_SCHEMES = ("https://", "http://")
_HOST = re.compile(r"https?://(?:[^/?#\\@]*@)?([^/?#\\@:]+)(?::[0-9]*)?(/t/)?")


@functools.lru_cache(maxsize=4096)
def reason_to_keep(url: str) -> KeepReason | None:
    """Why an address must stay as it is wherever it stands; ``None`` when the address alone is no reason."""
    lowered = url.lower()
    if not lowered.startswith(_SCHEMES):
        return KeepReason.NOT_HTTP
    if ".me" in lowered or "messenger.com" in lowered:
        address = _HOST.match(lowered)
        if address is not None:
            host = address[1].rstrip(".")
            if host in MESSENGER_HOSTS or (host in CONVERSATION_HOSTS and address[2]):
                return KeepReason.MESSENGER_LINK
    return None
