"""
JSON and form text with other links, everything else spelled as it was: spaces, escapes, and the order of members.

For requests of other senders, which must leave as they would without this package but for their links.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Mapping
from typing import Any, Final

from .copy_on_write import decoded, form_fields

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SCALAR: Final = re.compile(r"[^\s,\]}]+")

_UNRESERVED: Final = frozenset(f"{string.ascii_letters}{string.digits}_.-~")
_SPECIAL: Final = frozenset("%&+#")
_LOWER_CASE: Final = re.compile("%(?:[a-f]|.[a-f])")


def json_like(text: str, new: Any) -> str:
    """
    JSON text of *new*, which is what *text* says but for some strings.

    What differs in more than strings is written anew.
    """
    try:
        walk = _JsonWalk(text)
        walk.value(0, new)
    except (ValueError, LookupError, RecursionError):
        return json.dumps(new)
    return walk.written()


def form_like(text: str, new: Mapping[str, str]) -> str:
    """Form text with the fields of *new*, which are those of *text* with other values."""
    return "&".join(_field_like(written, key, old, new.get(key, old)) for key, old, written in form_fields(text))


def text_like(old: str, new: str) -> str:
    """*new* as *old* is spelled, where both are JSON text or forms; else *new*."""
    changed = decoded(new)
    if changed is not None and decoded(old) is not None:
        return json_like(old, changed)
    if "=" not in old:
        return new
    fields = {key: value for key, value, _ in form_fields(new)}
    return form_like(old, fields) if fields.keys() == {key for key, _, _ in form_fields(old)} else new


class _DiffersInMore(ValueError):
    """A value is not the text with other strings."""


class _JsonWalk:
    """Goes through JSON text and a value at once, and notes where strings differ."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._edits: list[tuple[int, int, str]] = []

    def written(self) -> str:
        """The text with what was noted."""
        parts, position = [], 0
        for start, end, token in self._edits:
            parts += [self._text[position:start], token]
            position = end
        return "".join([*parts, self._text[position:]])

    def value(self, start: int, new: Any) -> int:
        """Pass the value at *start*, which shall be *new*; returns where it ends."""
        start = self._after_space(start)
        match self._text[start]:
            case '"':
                old, end = self._string(start)
                if not isinstance(new, str):
                    raise _DiffersInMore
                if new != old:
                    self._edits.append((start, end, _token_like(self._text[start:end], old, new)))
                return end
            case "{":
                return self._object(start, new)
            case "[":
                return self._array(start, new)
            case _:
                end = self._match(_SCALAR, start)
                if json.loads(self._text[start:end]) != new:
                    raise _DiffersInMore
                return end

    def _object(self, start: int, new: Any) -> int:
        if not isinstance(new, dict):
            raise _DiffersInMore
        keys = set()
        position = self._after_space(start + 1)
        while self._text[position] != "}":
            key, position = self._string(position)
            keys.add(key)
            position = self._after_comma(self.value(self._after_space(position) + 1, new[key]))
        if keys != new.keys():
            raise _DiffersInMore
        return position + 1

    def _array(self, start: int, new: Any) -> int:
        if not isinstance(new, list):
            raise _DiffersInMore
        items = 0
        position = self._after_space(start + 1)
        while self._text[position] != "]":
            position = self._after_comma(self.value(position, new[items]))
            items += 1
        if items != len(new):
            raise _DiffersInMore
        return position + 1

    def _after_comma(self, position: int) -> int:
        position = self._after_space(position)
        return self._after_space(position + 1) if self._text[position] == "," else position

    def _after_space(self, position: int) -> int:
        return self._match(_SPACE, position)

    def _string(self, start: int) -> tuple[str, int]:
        end = self._match(_STRING, start)
        return json.loads(self._text[start:end], strict=False), end

    def _match(self, pattern: re.Pattern[str], position: int) -> int:
        match = pattern.match(self._text, position)
        if match is None:
            raise _DiffersInMore
        return match.end()


def _token_like(token: str, old: str, new: str) -> str:
    """The JSON string *new*, with the escapes of *token*, which says *old*."""
    write = next((write for write in _JSON_STRINGS if write(old) == token), _JSON_STRINGS[0])
    return write(text_like(old, new))


def _field_like(written: str, key: str, old: str, new: str) -> str:
    if new == old:
        return written
    name, _, spelled = written.partition("=")
    return f"{name}={_value_like(spelled, text_like(old, new))}"


def _value_like(spelled: str, value: str) -> str:
    """A value of a form, of whose characters those stand for themselves that do so in *spelled*."""
    literal = _UNRESERVED | set(spelled) - _SPECIAL
    space = "+" if "+" in spelled else "%20"
    escape = "%%%02x" if _LOWER_CASE.search(spelled) else "%%%02X"

    def written(char: str) -> str:
        if char in literal:
            return char
        return space if char == " " else "".join(escape % byte for byte in char.encode("utf-8", "surrogatepass"))

    return "".join(map(written, value))


def _with_slashes(text: str) -> str:
    return json.dumps(text).replace("/", "\\/")


_JSON_STRINGS: Final[tuple[Callable[[str], str], ...]] = (
    json.dumps,
    lambda text: json.dumps(text, ensure_ascii=False),
    _with_slashes,
    lambda text: json.dumps(text, ensure_ascii=False).replace("/", "\\/"),
)
"""How JSON libraries write a string."""
