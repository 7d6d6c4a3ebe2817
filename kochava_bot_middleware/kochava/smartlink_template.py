"""
Templates of SmartLinks, such as ``https://acme.smart.link/ab12cd34e?url={url}``, and the addresses that fill them.

The destination of a SmartLink is set by its owner in Kochava; only a ``{key}`` in it can be filled, by ``?key=value``.
"""

from __future__ import annotations

import enum
import functools
import re
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

import attrs

from ..settings import InvalidValue

# A backslash ends the host for browsers but not for RFC 3986: with one before the path, the host is ambiguous.
_ADDRESS = re.compile(
    r"(https?)://(?:[^/?#\\\s]*@)?([^/?#\\@:\s\[\]]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(?=[/?#]|\Z)", re.IGNORECASE
)


class Address(NamedTuple):
    """The parts of an address: scheme and host in lower case; the port, and path, query and fragment, as written."""

    scheme: str
    name: str
    port: str | None
    rest: str

    @property
    def host(self) -> str:
        """Host, with the port if one is written."""
        return self.name if self.port is None else f"{self.name}:{self.port}"

    @property
    def path(self) -> str:
        """The path as written; may be empty."""
        return self.rest.partition("#")[0].partition("?")[0]

    @property
    def query(self) -> str:
        """The part between ``?`` and ``#``."""
        return self.rest.partition("#")[0].partition("?")[2]

    @property
    def normalized(self) -> str:
        """The address for comparison with patterns: scheme and host in lower case, no user, and a path."""
        return f"{self.scheme}://{self.host}{'' if self.rest.startswith('/') else '/'}{self.rest}"


def address_of(url: str) -> Address | None:
    """Split an address; ``None`` when it is not http(s) or its host is ambiguous."""
    match = _ADDRESS.match(url)
    if match is None:
        return None
    scheme, name, port = match.groups()
    return _make_address((scheme.lower(), name.lower().rstrip("."), port, url[match.end() :]))


_make_address = functools.partial(tuple.__new__, Address)
"""An `Address` from a tuple of its fields, in half the time of a call."""

URL_PLACEHOLDERS = ("url", "host", "path", "query")
"""Parts of the address that is replaced; each also as ``{url:raw}``, without percent-encoding."""

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
"""Properties of the message with the link."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NOT_ALLOWED = re.compile(r"[^\x21-\x7e]|[\\^`|<>\"]")


class Place(enum.Enum):
    """The part of a template in which a placeholder stands; it decides what fits there without percent-encoding."""

    PATH = enum.auto()
    VALUE = enum.auto()
    """In the query."""
    FIELDS = enum.auto()
    """In the query, where ``{query:raw}`` stands between separators: it gives whole parameters."""
    FRAGMENT = enum.auto()


class Placeholder(NamedTuple):
    """A name in braces; *place* only of one that is raw."""

    name: str
    raw: bool = False
    place: Place | None = None


Part = str | Placeholder


def parts_of(text: str, known: tuple[str, ...], *, wanted: str) -> tuple[Part, ...]:
    """The literal texts and placeholders of *text*, in order; the error for an unknown one says what is *wanted*."""
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
    A valid template.

    Attributes:
        parts: Its texts and placeholders.
        host: Its host, in lower case and with the port.
        path: Its path up to the first placeholder.
        path_is_whole: No placeholder is in the path.
        names: The query parameters that it sets itself.
        frame: The texts before and after ``{url}`` when there is no other placeholder; else ``None``.
    """

    parts: tuple[Part, ...]
    host: str
    path: str
    path_is_whole: bool
    names: frozenset[str]
    frame: tuple[str, str] | None

    @classmethod
    def parse(cls, text: object) -> LinkTemplate:
        """Read a template. When it is not valid, the message of the `ValueError` says what would be."""
        wanted = "a SmartLink template"
        if not isinstance(text, str) or not text.startswith(("https://", "http://")):
            accepted = f"{wanted} that begins with https:// or http://"
            raise InvalidValue(accepted, text)
        if _NOT_ALLOWED.search(_PLACEHOLDER.sub("", text)):
            accepted = f"{wanted} in plain ASCII without spaces (percent-encode the rest)"
            raise InvalidValue(accepted, text)
        parts = _placed(parts_of(text, URL_PLACEHOLDERS + CONTEXT_PLACEHOLDERS, wanted=wanted))
        assert isinstance(parts[0], str)
        start, whole = address_of(parts[0]), address_of(text)
        if start is None or whole is None or start.host != whole.host:
            accepted = f"{wanted} whose host is written out"
            raise InvalidValue(accepted, text)
        return cls(
            parts=parts,
            host=start.host,
            path=start.path or "/",
            path_is_whole="{" not in whole.path,
            names=names_of(whole.query),
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

    def fill(self, url: str, address: Address, own_names: frozenset[str] = frozenset()) -> tuple[Part, ...] | None:
        """
        The parts with the placeholders of the address replaced, and adjacent texts joined.

        ``None`` when a raw part of the address would end or change what the template itself says.
        `UnicodeEncodeError` is raised for a lone surrogate in the address.

        Args:
            own_names: Parameters that are appended.
        """
        if self.frame is not None:
            before, after = self.frame
            return (before + encoded(url) + after,)
        filled: list[Part] = []
        for part in self.parts:
            piece: Part = part
            if isinstance(part, Placeholder) and part.name in URL_PLACEHOLDERS:
                value: str = url if part.name == "url" else getattr(address, part.name)
                if part.place is not None and not _fits(value, part.place, self.names | own_names):
                    return None
                piece = _valid(value) if part.raw else encoded(value)
            if filled and isinstance(piece, str) and isinstance(filled[-1], str):
                filled[-1] += piece
            else:
                filled.append(piece)
        return tuple(filled)


def _placed(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The parts, with the places of what is raw."""
    placed: list[Part] = []
    before = ""
    for index, part in enumerate(parts):
        if isinstance(part, Placeholder) and part.raw:
            after = parts[index + 1] if index + 1 < len(parts) else "&"
            part = part._replace(place=_place(part.name, before, after))
        before += part if isinstance(part, str) else "{}"
        placed.append(part)
    return tuple(placed)


def _place(name: str, before: str, after: Part) -> Place:
    if "#" in before:
        return Place.FRAGMENT
    if "?" not in before:
        return Place.PATH
    is_alone = before[-1] in "?&" and isinstance(after, str) and after[0] in "&#"
    return Place.FIELDS if name == "query" and is_alone else Place.VALUE


_LEAVES_PATH = re.compile(r"[?#]|(?:\A|[/\\])(?:\.|%2e){1,2}(?:[/\\]|\Z)", re.IGNORECASE)
_LEAVES_VALUE = re.compile("[&#;]")
"""Go, for one, drops a parameter with a semicolon in it."""


def _fits(value: str, place: Place, own_names: frozenset[str]) -> bool:
    """Whether *value* can stand in a place as it is."""
    match place:
        case Place.PATH:
            return _LEAVES_PATH.search(value) is None
        case Place.VALUE:
            return _LEAVES_VALUE.search(value) is None
        case Place.FIELDS:
            return own_names.isdisjoint(names_of(value))
        case Place.FRAGMENT:
            return True


_NEVER_RAW = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]|%(?![0-9A-Fa-f]{2})")


def _valid(value: str) -> str:
    """*value* with what no address may contain percent-encoded, as browsers do it."""
    return _NEVER_RAW.sub(lambda match: quote(match[0], safe=""), value)


def names_of(query: str) -> frozenset[str]:
    """The names of the parameters of a query."""
    return frozenset(unquote_plus(field.partition("=")[0]) for field in query.split("&") if field)


def _frame(parts: tuple[Part, ...]) -> tuple[str, str] | None:
    match parts:
        case (str(before), Placeholder("url", raw=False)):
            return before, ""
        case (str(before), Placeholder("url", raw=False), str(after)):
            return before, after
    return None


_USUAL = re.compile(r"[%:/?=&A-Za-z0-9_.~-]*")


def encoded(value: str) -> str:
    """Percent-encode all but the unreserved characters of RFC 3986."""
    if _USUAL.fullmatch(value) is None:
        return quote(value, safe="")
    # Nearly all addresses have no other characters. It takes half the time of `quote`.
    value = value.replace("%", "%25").replace(":", "%3A").replace("/", "%2F")
    return value.replace("?", "%3F").replace("=", "%3D").replace("&", "%26")
