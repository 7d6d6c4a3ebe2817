"""The steps that every walk over links takes: down into a member, or to an address, which is shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .site import UNTAPPED, KeepReason, LinkKind, Show, Trail
from .text import addresses
from .tree import Changes, ChangesOf, map_mapping, map_sequence

DEEPEST = 12
"""How often a place may hold the like of itself (menus in menus, shared contents) before the walk stops there."""


class Scope(NamedTuple):
    """
    What the parents say about the links below them.

    Attributes:
        template: ``template_type`` around it, or empty.
        title: Title of the element around it, or empty.
        shared: Others than the recipient are sure to get it.
        user_id: PSID or IGSID that the body names.
    """

    template: str = ""
    title: str = ""
    shared: bool = False
    user_id: str | None = None


make_scope = functools.partial(tuple.__new__, Scope)
"""A `Scope` from a tuple of all its fields, in half the time of a call."""


class LinkSteps:
    """Shows each link and gathers the replacements. Serves one body, since it numbers the links."""

    def __init__(self, show: Show, *, every_place: bool) -> None:
        self._show = show
        self.every_place = every_place
        self._number = 0
        self._depth = 0

    def mapping(
        self,
        parent: Mapping[str, Any],
        key: str,
        trail: Trail,
        scope: Scope,
        changes: Changes,
        changes_of: ChangesOf[Scope],
    ) -> None:
        """Walk on into the object under *key*, if there is one."""
        node = parent.get(key)
        if node is not None:
            replaced = map_mapping(node, (trail, key), scope, changes_of)
            if replaced is not node:
                changes[key] = replaced

    def sequence(
        self,
        parent: Mapping[str, Any],
        key: str,
        trail: Trail,
        scope: Scope,
        changes: Changes,
        changes_of: ChangesOf[Scope],
    ) -> None:
        """Walk on into each item of the array under *key*, if there is one."""
        node = parent.get(key)
        if node is not None:
            replaced = map_sequence(node, (trail, key), scope, changes_of)
            if replaced is not node:
                changes[key] = replaced

    def deeper(self, step: Callable[..., None], *arguments: Any) -> None:
        """Take a step into something that may hold the like of itself."""
        if self._depth < DEEPEST:
            self._depth += 1
            step(*arguments)
            self._depth -= 1

    def kept(
        self,
        parent: Mapping[str, Any],
        key: str,
        trail: Trail,
        scope: Scope,
        changes: Changes,
        kind: LinkKind,
        reason: KeepReason,
    ) -> None:
        """Show an address that is not for replacing."""
        if kind in UNTAPPED and not self.every_place:
            return
        url = parent.get(key)
        if isinstance(url, str) and url:
            template, title, shared, user_id = scope
            replaced = self._show((trail, key), url, kind, template, title, 0, reason, shared, False, user_id, None)
            if replaced is not None and replaced != url:
                changes[key] = replaced

    def link(
        self,
        parent: Mapping[str, Any],
        key: str,
        trail: Trail,
        scope: Scope,
        changes: Changes,
        kind: LinkKind,
        title: str,
        keep: KeepReason | None = None,
        *,
        shared: bool,
        extensions: bool = False,
    ) -> None:
        """
        Show an address that a person can tap.

        Args:
            keep: What the object around it has against replacing it.
            shared: As of `LinkSite`; the object around it may say more than *scope*.
            extensions: As of `LinkSite`.
        """
        url = parent.get(key)
        if not isinstance(url, str):
            return
        self._number = number = self._number + 1
        template, _, _, user_id = scope
        replaced = self._show((trail, key), url, kind, template, title, number, keep, shared, extensions, user_id, None)
        if replaced is not None and replaced != url:
            changes[key] = replaced

    def plain_links(self, buttons: list[Any], trail: Trail, scope: Scope, changes_of: ChangesOf[Scope]) -> list[Any]:
        """
        Show the addresses of an array of buttons: at once those of URL buttons that say no more of themselves.

        Nearly all buttons are such; the others go to *changes_of*.
        """
        show = self._show
        template, element_title, shared, user_id = scope
        items: list[Any] | None = None
        for position, button in enumerate(buttons):
            if type(button) is dict and button.get("type") == "web_url" and _SAYING_MORE.isdisjoint(button):
                url = button.get("url")
                if not isinstance(url, str):
                    continue
                title = button.get("title")
                if not isinstance(title, str):
                    title = element_title
                self._number = number = self._number + 1
                link = ((trail, position), "url")
                new = show(link, url, LinkKind.BUTTON, template, title, number, None, shared, False, user_id, None)
                if new is None or new == url:
                    continue
                replaced: Any = button.copy()
                replaced["url"] = new
            else:
                replaced = map_mapping(button, (trail, position), scope, changes_of)
                if replaced is button:
                    continue
            if items is None:
                items = buttons.copy()
            items[position] = replaced
        return buttons if items is None else items

    def text(
        self,
        parent: Mapping[str, Any],
        trail: Trail,
        scope: Scope,
        changes: Changes,
        limit: int,
        size: Callable[[str], int],
    ) -> None:
        """Show each address in a text, with the room that *limit* leaves for its replacement."""
        text = parent.get("text")
        if not isinstance(text, str) or "://" not in text:
            return
        template, _, shared, user_id = scope
        written, position, free = [], 0, limit - size(text)
        for start, url in addresses(text):
            self._number += 1
            room = free + size(url)
            link = ((trail, "text"), start)
            replaced = self._show(
                link, url, LinkKind.TEXT, template, "", self._number, None, shared, False, user_id, room
            )
            if replaced is not None and replaced != url:
                free = room - size(replaced)
                written += [text[position:start], replaced]
                position = start + len(url)
        if written:
            changes["text"] = "".join([*written, text[position:]])


_SAYING_MORE = frozenset({"webview_share_button", "messenger_extensions", "fallback_url"})


def title_of(node: Mapping[str, Any]) -> str:
    """The title of an element or template; empty when it has none."""
    title = node.get("title")
    return title if isinstance(title, str) else ""
