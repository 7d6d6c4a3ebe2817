"""
Finds and replaces the links of a whole outgoing body: `iter_links` and `replace_links`.

Both leave the caller's body as it is. The order of keys and unknown keys are preserved, JSON text stays JSON text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .containers import Changes, decoded, map_array, map_object_or_form, members_of
from .link import KeepReason, Link, LinkKind, Replace, Scope, Trail, link_of
from .message import MessageWalk
from .text import TextLimit

_NO_SCOPE = Scope()

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
        every_place: Also call *replace* for addresses that nobody opens: pictures, media, payloads that look like one.
    """
    walk = _BodyWalk(replace, text_limit, every_place=every_place)
    walk.is_user_level = endpoint == "custom_user_settings"
    if type(body) is dict:
        changes = walk.body(body, (), _NO_SCOPE)
        return body | changes if changes else body
    if isinstance(body, (list, tuple)) or (isinstance(body, (str, bytes)) and body.lstrip()[:1] in ("[", b"[")):
        return map_array(body, (), _NO_SCOPE, walk.request)
    return map_object_or_form(body, (), _NO_SCOPE, walk.body)


class _BodyWalk(MessageWalk):
    """Walks through the body of one call, which may be a batch of calls."""

    is_user_level = False
    """The body is for one person, although it names none."""

    def body(self, body: Mapping[str, Any], trail: Trail, _outer: Scope) -> Changes:
        """The body of one call."""
        changes: Changes = {}
        user_id = _user_id(body)
        scope = Scope("", "", user_id is None and not self.is_user_level, user_id)
        if "message" in body:
            self.into_object(body, "message", trail, scope, changes, self.message)
        if not _RARE_MEMBERS.isdisjoint(body):
            for key in body:
                if key in _RARE_MEMBERS:
                    self._rare_member(key, body, trail, scope, changes)
        return changes

    def request(self, request: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        """A request of a Graph batch, whose body is a form or an object; or one of several bodies in an array."""
        if "body" not in request:
            return self._request_body(request, trail, scope)
        content = request.get("body")
        replaced = map_object_or_form(content, (trail, "body"), scope, self._request_body)
        return {} if replaced is content else {"body": replaced}

    def _request_body(self, body: Mapping[str, Any], trail: Trail, scope: Scope) -> Changes:
        outer, self.is_user_level = self.is_user_level, False
        try:
            return self.body(body, trail, scope)
        finally:
            self.is_user_level = outer

    def _rare_member(self, key: str, body: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes) -> None:
        match key:
            case "batch":
                if not trail:
                    self.into_array(body, key, trail, scope, changes, self.request)
            case "messages":
                self.into_array(body, key, trail, scope, changes, self.message)
            case "persistent_menu":
                menu = self.only(self.into_array, "call_to_actions", self.menu_item)
                self.into_array(body, key, trail, scope, changes, menu)
            case "call_to_actions" | "welcome_message_flow":
                self.into_array(body, key, trail, scope, changes, self.menu_item)
            case "components":
                changes.update(self.utility_template(body, trail, scope))
            case "library_template_button_inputs":
                base_url = self.only(self.fixed_link, "base_url", LinkKind.UTILITY, KeepReason.UTILITY_TEMPLATE)
                button = self.only(self.into_object, "url", base_url)
                self.into_array(body, key, trail, scope, changes, button)
            case "home_url":
                url = self.only(self.fixed_link, "url", LinkKind.HOME_URL, KeepReason.HOME_URL)
                self.into_object(body, key, trail, scope, changes, url)
            case _:
                self.fixed_link(body, key, trail, scope, changes, *_FIXED_LINKS[key])


def _user_id(body: Mapping[str, Any]) -> str | None:
    recipient = body.get("recipient")
    if isinstance(recipient, (str, bytes)):
        recipient = decoded(recipient)
    members = members_of(recipient)
    found = body.get("psid") if members is None else members.get("id")
    return str(found) if isinstance(found, (str, int)) and found else None
