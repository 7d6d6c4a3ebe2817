"""
Where the links of an outgoing body lead.

Only the local Kochava is asked: the address that a SmartLink leads to is the one that the bot had written. So the page
shows what was changed for a bot in any language, and does not ask the code that changed it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from ..kochava.server import fill_destination, query_params

_ADDRESS = re.compile(r"https?://[^\s\"<>]+")


@attrs.frozen(kw_only=True)
class ChangedLink:
    """One address of a body; *title* is that of the button or element around it, empty when there is none."""

    title: str
    before: str
    after: str


class LinkReader:
    """
    Finds the SmartLinks of bodies.

    Args:
        smartlinks: Path of each SmartLink, and its destination with ``{key}``.
        hosts: The hosts of SmartLinks.
    """

    def __init__(self, smartlinks: Mapping[str, str], hosts: Mapping[str, str]) -> None:
        self._smartlinks = smartlinks
        self._hosts = hosts

    def before(self, body: Any) -> tuple[Any, list[ChangedLink]]:
        """*body* with each SmartLink replaced by the address to which it leads, and these links in reading order."""
        links: list[ChangedLink] = []
        return self._before(body, "", links), links

    def _before(self, value: Any, title: str, links: list[ChangedLink]) -> Any:
        if isinstance(value, str):
            return self._of_text(value, title, links)
        if isinstance(value, Mapping):
            title = str(value.get("title") or title)
            return {name: self._before(member, title, links) for name, member in value.items()}
        if isinstance(value, list):
            return [self._before(item, title, links) for item in value]
        return value

    def _of_text(self, text: str, title: str, links: list[ChangedLink]) -> str:
        def led(match: re.Match[str]) -> str:
            destination = self.destination(match[0])
            if destination is None:
                return match[0]
            links.append(ChangedLink(title=title, before=destination, after=match[0]))
            return destination

        return _ADDRESS.sub(led, text) if "://" in text else text

    def destination(self, url: str) -> str | None:
        """Where this address leads; ``None`` if it is no SmartLink, or one that leads nowhere."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        template = self._smartlinks.get(parts.path) if parts.hostname in self._hosts else None
        return None if template is None else fill_destination(template, query_params(url.partition("#")[0]))
