"""The steps of a walk through a body: into a member, and to a link, which is passed to the replacing function."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

from .copy_on_write import Changes, Visit, map_array, map_object
from .link import NEVER_OPENED, KeepReason, LinkKind, Replace, Scope, Trail
from .text import addresses

MAX_DEPTH = 12
"""How often something may contain its like (menus in menus, shared contents) before the walk stops."""

BUTTON_TEXT_LIMIT = 640
"""Characters allowed in the text of a button template."""

_SPECIAL_BUTTON = frozenset({"webview_share_button", "messenger_extensions", "fallback_url"})


class TextLimit(enum.Enum):
    """Maximum length of the text of a message."""

    MESSENGER = 1999
    """Characters: the Send API allows fewer than 2000."""
    INSTAGRAM = 1000
    """Bytes of UTF-8."""

    def size(self, text: str) -> int:
        """The length of *text* as counted by the platform."""
        return len(text) if self is TextLimit.MESSENGER else len(text.encode("utf-8", "surrogatepass"))


def visit_member(
    map_node: Callable[[Any, Trail, Scope, Visit], Any],
    key: str,
    parent: Mapping[str, Any],
    trail: Trail,
    scope: Scope,
    changes: Changes,
    visit: Visit,
) -> None:
    """Visit what is under *key*: an object with `map_object`, each object of an array with `map_array`."""
    node = parent.get(key)
    if node is not None:
        replaced = map_node(node, (trail, key), scope, visit)
        if replaced is not node:
            changes[key] = replaced


class LinkWalk:
    """
    Numbers the links of one body and collects their replacements.

    The steps take the *key* of a member, its object *parent* and the *trail* of that object, and add what changes to
    *changes*.
    """

    def __init__(self, replace: Replace, *, every_place: bool) -> None:
        self._replace = replace
        self.every_place = every_place
        self._number = 0
        self._depth = 0

    def nested(self, step: Callable[..., None], *arguments: Any) -> None:
        """Take a step into something that may contain its like."""
        if self._depth < MAX_DEPTH:
            self._depth += 1
            step(*arguments)
            self._depth -= 1

    def fixed_link(
        self,
        key: str,
        parent: Mapping[str, Any],
        trail: Trail,
        scope: Scope,
        changes: Changes,
        kind: LinkKind,
        reason: KeepReason,
    ) -> None:
        """An address that must not be replaced."""
        if kind in NEVER_OPENED and not self.every_place:
            return
        url = parent.get(key)
        if isinstance(url, str) and url:
            template, title, shared, user_id = scope
            replaced = self._replace((trail, key), url, kind, template, title, 0, reason, shared, False, user_id, None)
            if replaced is not None and replaced != url:
                changes[key] = replaced

    def tappable_link(
        self,
        key: str,
        parent: Mapping[str, Any],
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
        """An address that a person can tap; *keep* is why the object around it does not allow a replacement."""
        url = parent.get(key)
        if not isinstance(url, str):
            return
        self._number = number = self._number + 1
        template, _, _, user_id = scope
        replaced = self._replace(
            (trail, key), url, kind, template, title, number, keep, shared, extensions, user_id, None
        )
        if replaced is not None and replaced != url:
            changes[key] = replaced

    def buttons(self, parent: Mapping[str, Any], trail: Trail, scope: Scope, changes: Changes, visit: Visit) -> None:
        """The array ``buttons``. Plain URL buttons, which nearly all are, need no *visit*."""
        buttons = parent.get("buttons")
        if type(buttons) is not list:
            visit_member(map_array, "buttons", parent, trail, scope, changes, visit)
            return
        trail = (trail, "buttons")
        replace = self._replace
        template, element_title, shared, user_id = scope
        items: list[Any] | None = None
        for position, button in enumerate(buttons):
            if type(button) is dict and button.get("type") == "web_url" and _SPECIAL_BUTTON.isdisjoint(button):
                url = button.get("url")
                if not isinstance(url, str):
                    continue
                title = button.get("title")
                if not isinstance(title, str):
                    title = element_title
                self._number = number = self._number + 1
                link = ((trail, position), "url")
                new = replace(link, url, LinkKind.BUTTON, template, title, number, None, shared, False, user_id, None)
                if new is None or new == url:
                    continue
                replaced: Any = button.copy()
                replaced["url"] = new
            else:
                replaced = map_object(button, (trail, position), scope, visit)
                if replaced is button:
                    continue
            if items is None:
                items = buttons.copy()
            items[position] = replaced
        if items is not None:
            changes["buttons"] = items

    def text(
        self,
        parent: Mapping[str, Any],
        trail: Trail,
        scope: Scope,
        changes: Changes,
        limit: int,
        size: Callable[[str], int],
    ) -> None:
        """The addresses in the plain text ``text``, which may have the length *limit* as measured by *size*."""
        text = parent.get("text")
        if not isinstance(text, str) or "://" not in text:
            return
        template, _, shared, user_id = scope
        written, position, free = [], 0, limit - size(text)
        for start, url in addresses(text):
            self._number += 1
            max_length = free + size(url)
            link = ((trail, "text"), start)
            replaced = self._replace(
                link, url, LinkKind.TEXT, template, "", self._number, None, shared, False, user_id, max_length
            )
            if replaced is not None and replaced != url:
                free = max_length - size(replaced)
                written += [text[position:start], replaced]
                position = start + len(url)
        if written:
            changes["text"] = "".join([*written, text[position:]])
