"""
Finds and replaces the links of a whole outgoing body: `iter_links` and `replace_links`.

Both leave the caller's body as it is. The order of keys and unknown keys are preserved, JSON text stays JSON text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from .copy_on_write import Changes, decoded, map_array, map_object, map_object_or_form, members_of
from .link import KeepReason, Link, LinkKind, Replace, Scope, Trail, link_of
from .templates import MessageWalk
from .walk import TextLimit, visit_member

_SHARED = Scope(shared=True)
"""Around a body: other people get its links, unless it names a person."""

_FIXED_LINKS = {
    "account_linking_url": (LinkKind.ACCOUNT_LINK, KeepReason.ACCOUNT_LINK),
    "payment_privacy_url": (LinkKind.PRIVACY, KeepReason.PRIVACY),
    "profile_picture_url": (LinkKind.PICTURE, KeepReason.PICTURE),
}

_RARE_MEMBERS = frozenset(
    {
        "batch",
        "messages",
        "persistent_menu",
        "call_to_actions",
        "welcome_message_flow",
        "components",
        "library_template_button_inputs",
        "home_url",
        *_FIXED_LINKS,
    }
)


def iter_links(body: Any, *, endpoint: str = "messages", text_links: bool = False) -> Iterator[Link]:
    """
    The links of a body, in the order in which they are numbered, with the reason why one must not be replaced.

    Args:
        body: An object with attrs instances anywhere in it, or JSON text of it or of its members.
        endpoint: Last part of the Graph path; distinguishes the menu of one person from that of the Page.
        text_links: Also find addresses in plain text.
    """
    links: list[Link] = []

    def collect(*arguments: Any) -> None:
        links.append(link_of(*arguments))

    replace_links(body, collect, endpoint=endpoint, text_limit=TextLimit.MESSENGER if text_links else None)
    return iter(links)


def replace_links(
    body: Any,
    replace: Replace,
    *,
    endpoint: str = "messages",
    text_limit: TextLimit | None = None,
    every_place: bool = True,
) -> Any:
    """
    The body with each link replaced by the result of *replace*; the same object when nothing changes.

    Args:
        body: As in `iter_links`.
        replace: Called for each link.
        endpoint: As in `iter_links`.
        text_limit: Also replace addresses in plain text, which may not become longer than this.
        every_place: Also call *replace* for what is never opened: pictures, media, payloads that look like an address.
    """
    walk = _BodyWalk(replace, text_limit, every_place=every_place)
    outer = Scope() if endpoint == "custom_user_settings" else _SHARED
    if type(body) is dict:
        return map_object(body, (), outer, walk.body)
    if isinstance(body, (list, tuple)) or (isinstance(body, (str, bytes)) and body.lstrip()[:1] in ("[", b"[")):
        return map_array(body, (), outer, walk.request)
    return map_object_or_form(body, (), outer, walk.body)


class _BodyWalk(MessageWalk):
    """Walks through the body of one call, which may be a batch of calls."""

    def body(self, body: Mapping[str, Any], trail: Trail, outer: Scope, changes: Changes) -> None:
        """The body of one call."""
        user_id = _user_id(body)
        scope = Scope("", "", user_id is None and outer.shared, user_id)
        if "message" in body:
            visit_member(map_object, "message", body, trail, scope, changes, self.message)
        if not _RARE_MEMBERS.isdisjoint(body):
            for key in body:
                if key in _RARE_MEMBERS:
                    self._rare_member(key, body, trail, scope, changes)

    def request(self, request: Mapping[str, Any], trail: Trail, _outer: Scope, changes: Changes) -> None:
        """A request of a Graph batch, whose body is a form or an object; or one of several bodies in an array."""
        if "body" in request:
            visit_member(map_object_or_form, "body", request, trail, _SHARED, changes, self.body)
        else:
            self.body(request, trail, _SHARED, changes)

    def _rare_member(self, key: str, body: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        match key:
            case "batch":
                if not trail:
                    visit_member(map_array, key, body, trail, scope, changes, self.request)
            case "messages":
                visit_member(map_array, key, body, trail, scope, changes, self.message)
            case "persistent_menu":
                menu = partial(visit_member, map_array, "call_to_actions", visit=self.menu_item)
                visit_member(map_array, key, body, trail, scope, changes, menu)
            case "call_to_actions" | "welcome_message_flow":
                visit_member(map_array, key, body, trail, scope, changes, self.menu_item)
            case "components":
                self.utility_template(body, trail, scope, changes)
            case "library_template_button_inputs":
                utility = partial(self.fixed_link, kind=LinkKind.UTILITY, reason=KeepReason.UTILITY_TEMPLATE)
                button = partial(visit_member, map_object, "url", visit=partial(utility, "base_url"))
                visit_member(map_array, key, body, trail, scope, changes, button)
            case "home_url":
                url = partial(self.fixed_link, "url", kind=LinkKind.HOME_URL, reason=KeepReason.HOME_URL)
                visit_member(map_object, key, body, trail, scope, changes, url)
            case _:
                self.fixed_link(key, body, trail, scope, changes, *_FIXED_LINKS[key])


def _user_id(body: Mapping[str, Any]) -> str | None:
    recipient = body.get("recipient")
    if isinstance(recipient, (str, bytes)):
        recipient = decoded(recipient)
    members = members_of(recipient)
    found = body.get("psid") if members is None else members.get("id")
    return str(found) if isinstance(found, (str, int)) and found else None
