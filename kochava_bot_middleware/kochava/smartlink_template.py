"""
A SmartLink written as a template: ``https://acme.smart.link/ab12cd34e?url={url}``.

The destination of a SmartLink is set by its owner in Kochava; only a ``{key}`` in it can be filled, by ``?key=value``.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

import attrs

from ..settings import InvalidValue
from .urls import Address, address_of

URL_PLACEHOLDERS = ("url", "host", "path", "query")
"""Of the address that the SmartLink stands for; each also as ``{url:raw}``, without percent-encoding."""

CONTEXT_PLACEHOLDERS = (
    "user_id",
    "page_id",
    "channel",
    "handler",
    "creative",
    "template",
    "title",
    "index",
    "ref",
    "ad_id",
)
"""Of the message that holds the link."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_UNFIT = re.compile(r"[^\x21-\x7e]|[\\^`|<>\"]")


class Placeholder(NamedTuple):
    """A name in braces."""

    name: str
    raw: bool = False


Part = str | Placeholder


def parts_of(text: str, known: tuple[str, ...], *, wanted: str) -> tuple[Part, ...]:
    """
    Literal texts and placeholders of *text*, in order.

    Raises:
        ValueError: It has a placeholder that is not in *known*, or a lone brace; *wanted* says what is accepted.
    """
    parts: list[Part] = []
    position = 0
    for match in _PLACEHOLDER.finditer(text):
        name, _, flag = match[1].partition(":")
        if name not in known or flag not in ("", "raw") or (flag and name not in URL_PLACEHOLDERS):
            accepted = f"{wanted} whose placeholders are among {', '.join(f'{{{one}}}' for one in known)}"
            raise InvalidValue(accepted, match[0])
        parts += [text[position : match.start()], Placeholder(name, flag == "raw")]
        position = match.end()
    parts.append(text[position:])
    if any(isinstance(part, str) and ("{" in part or "}" in part) for part in parts):
        accepted = f"{wanted} whose braces come in pairs"
        raise InvalidValue(accepted, text)
    return tuple(part for part in parts if part != "")


@attrs.frozen(eq=False)
class LinkTemplate:
    """
    A template that was read and found usable.

    Attributes:
        text: As it was written.
        parts: What it consists of.
        host: Its host, in lower case and with the port.
        path: Its path up to the first placeholder.
        path_is_whole: No placeholder is in the path.
        names: The query parameters it sets itself.
        frame: What stands before and after ``{url}`` when there is no other placeholder; else ``None``.
    """

    text: str
    parts: tuple[Part, ...]
    host: str
    path: str
    path_is_whole: bool
    names: frozenset[str]
    frame: tuple[str, str] | None

    @classmethod
    def parse(cls, text: object) -> LinkTemplate:
        """
        Read a template.

        Raises:
            ValueError: It could not work; the message says what would.
        """
        wanted = "a SmartLink template"
        if not isinstance(text, str) or not text.startswith(("https://", "http://")):
            accepted = f"{wanted} that begins with https:// or http://"
            raise InvalidValue(accepted, text)
        if _UNFIT.search(_PLACEHOLDER.sub("", text)):
            accepted = f"{wanted} in plain ASCII without spaces (percent-encode the rest)"
            raise InvalidValue(accepted, text)
        parts = parts_of(text, URL_PLACEHOLDERS + CONTEXT_PLACEHOLDERS, wanted=wanted)
        assert isinstance(parts[0], str)
        start, whole = address_of(parts[0]), address_of(text)
        if start is None or whole is None or start.host != whole.host:
            accepted = f"{wanted} whose host is written out"
            raise InvalidValue(accepted, text)
        return cls(
            text=text,
            parts=parts,
            host=start.host,
            path=start.path or "/",
            path_is_whole="{" not in whole.path,
            names=frozenset(unquote_plus(field.partition("=")[0]) for field in whole.query.split("&") if field),
            frame=_frame(parts),
        )

    @property
    def carries_url(self) -> bool:
        """Whether different addresses give different links."""
        return any(isinstance(part, Placeholder) and part.name == "url" for part in self.parts)

    def owns(self, address: Address) -> bool:
        """Whether an address was made from this template."""
        if address.host != self.host:
            return False
        path = address.path or "/"
        return path == self.path if self.path_is_whole else path.startswith(self.path)

    def fill(self, url: str, address: Address) -> tuple[Part, ...]:
        """
        The parts with the placeholders of the address replaced; neighbouring texts joined.

        Raises:
            UnicodeEncodeError: The address holds half a surrogate pair.
        """
        if self.frame is not None:
            before, after = self.frame
            return (before + encoded(url) + after,)
        filled: list[Part] = []
        for part in self.parts:
            piece: Part = part
            if isinstance(part, Placeholder) and part.name in URL_PLACEHOLDERS:
                value: str = url if part.name == "url" else getattr(address, part.name)
                piece = value if part.raw else encoded(value)
            if filled and isinstance(piece, str) and isinstance(filled[-1], str):
                filled[-1] += piece
            else:
                filled.append(piece)
        return tuple(filled)


def _frame(parts: tuple[Part, ...]) -> tuple[str, str] | None:
    match parts:
        case (str(before), Placeholder("url", False)):
            return before, ""
        case (str(before), Placeholder("url", False), str(after)):
            return before, after
    return None


def encoded(value: str) -> str:
    """Percent-encode all but the unreserved characters of RFC 3986."""
    return quote(value, safe="")
