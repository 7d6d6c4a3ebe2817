"""Form text: ``recipient=…&message=…`` with JSON text as values, as batches and older libraries send it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus

from .site import Trail
from .tree import ChangesOf, Scope, decoded, map_mapping


class _Field(NamedTuple):
    key: str
    value: str
    written: str


def map_body(node: Any, trail: Trail, scope: Scope, changes_of: ChangesOf[Scope]) -> Any:
    """Apply *changes_of* to the members of a body: of all that `map_mapping` takes, or the fields of a form."""
    if isinstance(node, str):
        text = node
    elif isinstance(node, bytes):
        text = node.decode("utf-8", "surrogateescape")
    else:
        return map_mapping(node, trail, scope, changes_of)
    if text.lstrip()[:1] in ("{", "["):
        return map_mapping(node, trail, scope, changes_of)
    mapped = _map_form(text, trail, scope, changes_of)
    if mapped is text:
        return node
    return mapped if isinstance(node, str) else mapped.encode("utf-8", "surrogateescape")


def _map_form(text: str, trail: Trail, scope: Scope, changes_of: ChangesOf[Scope]) -> str:
    """Fields that do not change keep their spelling; those that do are percent-encoded."""
    fields = list(_fields(text))
    changes = changes_of({field.key: field.value for field in fields}, trail, scope)
    if not changes:
        return text
    return "&".join(
        f"{quote(field.key, safe='')}={quote(changes[field.key], safe='')}" if field.key in changes else field.written
        for field in fields
    )


_CLOSING = ("}", "]", "%7d", "%5d")
"""How JSON text ends in a form; what does not end so need not be decoded to be seen to be incomplete."""


def _fields(text: str) -> Iterator[_Field]:
    pieces = text.split("&")
    position = 0
    while position < len(pieces):
        end = position + 1
        field = _field(pieces[position])
        if field.value[:1] in ("{", "[") and decoded(field.value) is None:
            # Written by hand: the address inside the JSON has an ampersand that was not encoded.
            for longer in range(end + 1, len(pieces) + 1):
                if not pieces[longer - 1].lower().endswith(_CLOSING):
                    continue
                whole = _field("&".join(pieces[position:longer]))
                if whole.value[-1:] in ("}", "]") and decoded(whole.value) is not None:
                    field, end = whole, longer
                    break
        yield field
        position = end


def _field(written: str) -> _Field:
    key, _, value = written.partition("=")
    return _Field(unquote_plus(key), unquote_plus(value), written)
