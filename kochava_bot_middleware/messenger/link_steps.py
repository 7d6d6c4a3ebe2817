"""
The steps that every walk over links takes: down into a member, or to an address, which a visitor is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .link_site import UNTAPPED, KeepReason, LinkKind, LinkSite, Path, make_site, reason_to_keep
from .link_tree import Changes, ChangesOf, map_mapping, map_sequence
from .text_links import addresses

Visit = Callable[[LinkSite], str | None]
"""Is shown a link and gives its replacement, or ``None`` to leave it."""

DEEPEST = 40
"""Length of a path at which the walk stops; the platform's own bodies stay below 20."""


_BUTTON = LinkKind.BUTTON


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


class LinkSteps:
    """
    Shows each link to a visitor and gathers the replacements. Serves one body, since it numbers the links.
    """

    def __init__(self, visit: Visit, *, every_place: bool) -> None:
        self._visit = visit
        self._ignored = frozenset() if every_place else UNTAPPED
        self._number = 0

    def mapping(
        self,
        parent: Mapping[str, Any],
        key: str,
        path: Path,
        scope: Scope,
        changes: Changes,
        changes_of: ChangesOf[Scope],
    ) -> None:
        """
        Walk on into the object under *key*, if there is one.
        """
        node = parent.get(key)
        if node is not None and len(path) < DEEPEST:
            replaced = map_mapping(node, (*path, key), scope, changes_of)
            if replaced is not node:
                changes[key] = replaced

    def sequence(
        self,
        parent: Mapping[str, Any],
        key: str,
        path: Path,
        scope: Scope,
        changes: Changes,
        changes_of: ChangesOf[Scope],
    ) -> None:
        """
        Walk on into each item of the array under *key*, if there is one.
        """
        node = parent.get(key)
        if node is not None and len(path) < DEEPEST:
            replaced = map_sequence(node, (*path, key), scope, changes_of)
            if replaced is not node:
                changes[key] = replaced

    def kept(
        self,
        parent: Mapping[str, Any],
        key: str,
        path: Path,
        scope: Scope,
        changes: Changes,
        kind: LinkKind,
        reason: KeepReason,
    ) -> None:
        """
        Show an address that is not for replacing.
        """
        if kind in self._ignored:
            return
        url = parent.get(key)
        if isinstance(url, str) and url:
            template, title, shared, user_id = scope
            replaced = self._visit(
                make_site(((*path, key), url, kind, template, title, 0, reason, shared, False, user_id, None))
            )
            if replaced is not None and replaced != url:
                changes[key] = replaced

    def link(
        self,
        parent: Mapping[str, Any],
        key: str,
        path: Path,
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
        keep = keep or reason_to_keep(url)
        replaced = self._visit(
            make_site(((*path, key), url, kind, template, title, number, keep, shared, extensions, user_id, None))
        )
        if replaced is not None and replaced != url:
            changes[key] = replaced

    def plain_link(self, button: Mapping[str, Any], path: Path, scope: Scope) -> Changes:
        """
        Show the address of a URL button that has nothing but a title beside it.
        """
        url = button.get("url")
        if not isinstance(url, str):
            return {}
        template, title, shared, user_id = scope
        own_title = button.get("title")
        if isinstance(own_title, str):
            title = own_title
        self._number = number = self._number + 1
        keep = reason_to_keep(url)
        replaced = self._visit(
            make_site(((*path, "url"), url, _BUTTON, template, title, number, keep, shared, False, user_id, None))
        )
        return {} if replaced is None or replaced == url else {"url": replaced}

    def text(
        self,
        parent: Mapping[str, Any],
        path: Path,
        scope: Scope,
        changes: Changes,
        limit: int,
        size: Callable[[str], int],
    ) -> None:
        """
        Show each address in a text, with the room that *limit* leaves for its replacement.
        """
        text = parent.get("text")
        if not isinstance(text, str) or "://" not in text:
            return
        written, position, free = [], 0, limit - size(text)
        for start, url in addresses(text):
            self._number += 1
            room = free + size(url)
            site = LinkSite(
                (*path, "text", start), url, LinkKind.TEXT, scope.template, "", self._number,
                reason_to_keep(url), scope.shared, False, scope.user_id, room,
            )  # fmt: skip
            replaced = self._visit(site)
            if replaced is not None and replaced != url:
                free = room - size(replaced)
                written += [text[position:start], replaced]
                position = start + len(url)
        if written:
            changes["text"] = "".join([*written, text[position:]])


def title_of(node: Mapping[str, Any]) -> str:
    """
    The title of an element or template; empty when it has none.
    """
    title = node.get("title")
    return title if isinstance(title, str) else ""
