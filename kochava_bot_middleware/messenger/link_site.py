"""
What is known of one link in an outgoing body: where it is, what it is, and why it must stay as it is, if so.
"""

from __future__ import annotations

import enum
import functools
import re
from typing import NamedTuple

Path = tuple[str | int, ...]
"""Keys and indexes from the body down to the address, through JSON text and form text as if they were objects."""


class LinkKind(enum.StrEnum):
    """
    The place of the platform that holds the address.
    """

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
    """
    Why an address must not be changed, whatever the settings say (`MESSENGER_EXTENSIONS` apart).
    """

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
    """m.me and ig.me open inside Messenger and are attributed by their ``ref``."""
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

    A named tuple, since thirty of them are made for one carousel and attrs takes three times as long.

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


make_site = functools.partial(tuple.__new__, LinkSite)
"""`LinkSite` from a tuple of all its fields, in half the time of a call."""

MESSENGER_HOSTS = frozenset({"m.me", "www.m.me", "ig.me", "www.ig.me"})

_SCHEMES = ("https://", "http://")
_HOST = re.compile(r"https?://(?:[^/?#\\@]*@)?([^/?#\\@:]+)", re.IGNORECASE)


@functools.lru_cache(maxsize=4096)
def reason_to_keep(url: str) -> KeepReason | None:
    """
    Why an address must stay as it is wherever it stands; ``None`` when the address alone is no reason.
    """
    lowered = url.lower()
    if not lowered.startswith(_SCHEMES):
        return KeepReason.NOT_HTTP
    if ".me" in lowered:
        host = _HOST.match(lowered)
        if host is not None and host[1].rstrip(".") in MESSENGER_HOSTS:
            return KeepReason.MESSENGER_LINK
    return None
