"""
Every place of an outgoing body with an address: `iter_links` tells them, `replace_links` and `map_links` change them.

All are pure: the caller's body is never written into, order and unknown keys stay, JSON text stays JSON text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .forms import map_body
from .message import MessageWalk
from .site import KeepReason, LinkKind, LinkSite, Path, Show, Trail, reason_to_keep, site_of
from .steps import Scope
from .text import TextLimit
from .tree import Changes, decoded, map_sequence, members_of

__all__ = [
    "KeepReason",
    "LinkKind",
    "LinkSite",
    "Path",
    "Show",
    "TextLimit",
    "Visit",
    "iter_links",
    "map_links",
    "reason_to_keep",
    "replace_links",
    "show_links",
]

Visit = Callable[[LinkSite], str | None]
"""Is shown a link and gives its replacement, or ``None`` to leave it."""


def iter_links(body: Any, *, endpoint: str = "messages", text_links: bool = False) -> Iterator[LinkSite]:
    """
    The links of a body, in the order in which they are numbered; those that must stay say why.

    Args:
        body: What is sent: an object, attrs instances anywhere in it, or JSON text of it or of its members.
        endpoint: Last part of the Graph path; tells a user-level menu from the Page's.
        text_links: Also find addresses in plain text.
    """
    sites: list[LinkSite] = []

    def visit(site: LinkSite) -> None:
        sites.append(site)

    map_links(body, visit, endpoint=endpoint, text_limit=TextLimit.MESSENGER if text_links else None)
    return iter(sites)


def replace_links(body: Any, replacements: Mapping[Path, str]) -> Any:
    """The body with other addresses at the paths of some of its links; the same object when none applies."""
    return map_links(body, lambda site: replacements.get(site.path), text_limit=TextLimit.MESSENGER)


def map_links(
    body: Any,
    visit: Visit,
    *,
    endpoint: str = "messages",
    text_limit: TextLimit | None = None,
    every_place: bool = True,
) -> Any:
    """
    The body with each link replaced by what *visit* gives for it; the same object when nothing changes.

    Args:
        visit: Gives the new address, or ``None`` to leave the link.
        endpoint: As of `iter_links`.
        every_place: Also visit addresses that nobody taps: pictures, media, payloads that look like one.
        text_limit: Also visit addresses in plain text, which may not grow beyond it; ``None`` leaves text alone.
    """

    def show(*facts: Any) -> str | None:
        return visit(site_of(*facts))

    return show_links(body, show, endpoint=endpoint, text_limit=text_limit, every_place=every_place)


def show_links(
    body: Any,
    show: Show,
    *,
    endpoint: str = "messages",
    text_limit: TextLimit | None = None,
    every_place: bool = True,
) -> Any:
    """`map_links` for who asks little of each link, and is told it as arguments."""
    walk = _BodyWalk(MessageWalk(show, text_limit, every_place=every_place), endpoint)
    if type(body) is dict:
        changes = walk.body(body, (), _NO_SCOPE)
        return body | changes if changes else body
    if _is_array(body):
        return map_sequence(body, (), _NO_SCOPE, walk.request)
    return map_body(body, (), _NO_SCOPE, walk.body)


_NO_SCOPE = Scope()


def _is_array(body: Any) -> bool:
    return isinstance(body, (list, tuple)) or (isinstance(body, (str, bytes)) and body.lstrip()[:1] in ("[", b"["))


class _BodyWalk:
    """From the outermost object of a call down to its messages and menus."""

    def __init__(self, walk: MessageWalk, endpoint: str) -> None:
        self._walk = walk
        self._user_level = endpoint == "custom_user_settings"

    def body(self, body: Mapping[str, Any], trail: Trail, _outer: Scope) -> Changes:
        """What is posted to one endpoint."""
        walk = self._walk
        changes: Changes = {}
        user_id = _user_id(body)
        scope = Scope("", "", user_id is None and not self._user_level, user_id)
        if "message" in body:
            walk.mapping(body, "message", trail, scope, changes, walk.message)
        if not _RARE.isdisjoint(body):
            for key in body:
                if key in _RARE:
                    self._rare(key, body, trail, scope, changes)
        return changes

    def request(self, request: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        """
        One request of a Graph batch; its body is a form, or an object that a library will make one of.

        Also one of several bodies in an array.
        """
        if "body" not in request:
            return self._form(request, trail, scope)
        content = request.get("body")
        replaced = map_body(content, (trail, "body"), scope, self._form)
        return {} if replaced is content else {"body": replaced}

    def _form(self, body: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        outer, self._user_level = self._user_level, False
        try:
            return self.body(body, trail, scope)
        finally:
            self._user_level = outer

    def _rare(self, key: str, body: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        walk = self._walk
        if key == "batch":
            if not trail:
                walk.sequence(body, key, trail, scope, changes, self.request)
        elif key == "messages":
            walk.sequence(body, key, trail, scope, changes, walk.message)
        elif key == "persistent_menu":
            walk.sequence(body, key, trail, scope, changes, walk.menu)
        elif key in ("call_to_actions", "welcome_message_flow"):
            walk.sequence(body, key, trail, scope, changes, walk.menu_item)
        elif key == "components":
            changes.update(walk.utility(body, trail, scope))
        elif key == "library_template_button_inputs":
            walk.sequence(body, key, trail, scope, changes, self._library_button)
        elif key == "home_url":
            walk.mapping(body, key, trail, scope, changes, self._home)
        else:
            walk.kept(body, key, trail, scope, changes, *_KEPT[key])

    def _home(self, home: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        self._walk.kept(home, "url", trail, scope, changes, LinkKind.HOME_URL, KeepReason.HOME_URL)
        return changes

    def _library_button(self, button: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        self._walk.mapping(button, "url", trail, scope, changes, self._library_url)
        return changes

    def _library_url(self, url: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        changes: Changes = {}
        self._walk.kept(url, "base_url", trail, scope, changes, LinkKind.UTILITY, KeepReason.UTILITY_TEMPLATE)
        return changes


_KEPT = {
    "account_linking_url": (LinkKind.ACCOUNT_LINK, KeepReason.ACCOUNT_LINK),
    "payment_privacy_url": (LinkKind.PRIVACY, KeepReason.PRIVACY),
    "profile_picture_url": (LinkKind.PICTURE, KeepReason.PICTURE),
}

_RARE = frozenset(
    {
        "batch",
        "messages",
        "persistent_menu",
        "call_to_actions",
        "welcome_message_flow",
        "components",
        "library_template_button_inputs",
        "home_url",
        *_KEPT,
    }
)


def _user_id(body: Mapping[str, Any]) -> str | None:
    recipient = body.get("recipient")
    if isinstance(recipient, (str, bytes)):
        recipient = decoded(recipient)
    members = members_of(recipient)
    found = body.get("psid") if members is None else members.get("id")
    return str(found) if isinstance(found, (str, int)) and found else None
