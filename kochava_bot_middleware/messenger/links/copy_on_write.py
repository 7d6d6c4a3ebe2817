"""
Copy-on-write changes of what a body consists of: objects, arrays, JSON text and form text.

An object may be a mapping, or an instance of an attrs or data class. Each function returns the same value when nothing
in it changes, and never writes into the caller's.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, unquote_plus

import attrs

from .link import Scope, Trail

Changes = dict[str, Any]
"""New values of members of an object; empty when none changes."""

Visit = Callable[[Mapping[str, Any], Trail, Scope, Changes], None]
"""Looks at one object, and adds what changes in it to the last argument."""


def map_object(node: Any, trail: Trail, scope: Scope, visit: Visit) -> Any:
    """Change the members of an object, or of JSON text of an object. Anything else is returned as it is."""
    changes: Changes = {}
    if type(node) is dict:
        visit(node, trail, scope, changes)
        return node | changes if changes else node
    if isinstance(node, (str, bytes)):
        return _map_json(node, lambda decoded: map_object(decoded, trail, scope, visit))
    members = members_of(node)
    if members is None:
        return node
    visit(members, trail, scope, changes)
    return _changed_copy(node, changes) if changes else node


def map_array(node: Any, trail: Trail, scope: Scope, visit: Visit) -> Any:
    """Change the objects of a list, a tuple, or JSON text of an array. Anything else is returned as it is."""
    if not isinstance(node, (list, tuple)):
        if isinstance(node, (str, bytes)):
            return _map_json(node, lambda decoded: map_array(decoded, trail, scope, visit))
        return node
    items: list[Any] | None = None
    for index, item in enumerate(node):
        replaced = map_object(item, (trail, index), scope, visit)
        if replaced is item:
            continue
        if items is None:
            items = list(node)
        items[index] = replaced
    if items is None:
        return node
    if type(node) is list:
        return items
    if isinstance(node, list):
        list_copy = copy.copy(node)
        list_copy[:] = items
        return list_copy
    return node._make(items) if hasattr(node, "_make") else tuple(items)


def map_object_or_form(node: Any, trail: Trail, scope: Scope, visit: Visit) -> Any:
    """
    Change the members of an object, or the fields of form text such as ``recipient=…&message=…``.

    The values of form text are JSON text. Batches and older libraries send it.
    """
    text = node.decode("utf-8", "surrogateescape") if isinstance(node, bytes) else node
    if not isinstance(text, str) or text.lstrip()[:1] in ("{", "["):
        return map_object(node, trail, scope, visit)
    fields = list(form_fields(text))
    changes: Changes = {}
    visit({key: value for key, value, _ in fields}, trail, scope, changes)
    if not changes:
        return node
    # Fields that do not change keep their spelling.
    form = "&".join(
        f"{quote(key, safe='')}={quote(changes[key], safe='')}" if key in changes else written
        for key, _, written in fields
    )
    return form if isinstance(node, str) else form.encode("utf-8", "surrogateescape")


def members_of(node: Any) -> Mapping[str, Any] | None:
    """The members of an object; ``None`` for anything else."""
    if isinstance(node, Mapping):
        return node
    kind = type(node)
    if attrs.has(kind):
        return {field.name: getattr(node, field.name, None) for field in attrs.fields(kind)}
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(node, field.name, None) for field in dataclasses.fields(kind)}
    return None


def decoded(text: str | bytes) -> Any:
    """The object or array of JSON text; ``None`` for other text, and for what cannot be encoded as JSON again."""
    if text.lstrip()[:1] not in ("{", "[", b"{", b"["):
        return None
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def value_of(member: Any) -> Any:
    """The value of a member that may be given as an enum."""
    # `isinstance` asks the metaclass of enums, which takes four times as long.
    if type(member) is str:
        return member
    return member.value if isinstance(member, enum.Enum) else member


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        msg = f"{text} cannot be represented in JSON"
        raise ValueError(msg)
    return number


def _map_json(text: str | bytes, mapped: Callable[[Any], Any]) -> str | bytes:
    node = decoded(text)
    if node is None:
        return text
    result = mapped(node)
    if result is node:
        return text
    spaced = (b'": ' if isinstance(text, bytes) else '": ') in text  # type: ignore[operator]
    written = json.dumps(result, separators=(", ", ": ") if spaced else (",", ":"))
    return written.encode() if isinstance(text, bytes) else written


def _changed_copy(node: Any, changes: Changes) -> Any:
    if isinstance(node, dict):
        try:
            replaced = copy.copy(node)
        except Exception:  # noqa: BLE001  a dict class of the caller's that cannot be copied is still a dict
            replaced = dict(node)
        for key, value in changes.items():
            dict.__setitem__(replaced, key, value)
        return replaced
    if isinstance(node, Mapping):
        return {**node, **changes}
    try:
        if dataclasses.is_dataclass(node):
            return dataclasses.replace(node, **changes)  # type: ignore[type-var]
        fields = attrs.fields_dict(type(node))
        return attrs.evolve(node, **{fields[name].alias or name: value for name, value in changes.items()})
    except Exception:  # noqa: BLE001  a field without an argument, or a validator that does not accept the new address
        replaced = copy.copy(node)
        for name, value in changes.items():
            object.__setattr__(replaced, name, value)
        return replaced


_JSON_ENDS = ("}", "]", "%7d", "%5d")
"""How JSON text ends in a form; text with another end is incomplete and need not be decoded."""


def form_fields(text: str) -> Iterator[tuple[str, str, str]]:
    """Key and value of each field of form text, and the field as written."""
    pieces = text.split("&")
    position = 0
    while position < len(pieces):
        end = position + 1
        field = _form_field(pieces[position])
        if field[1][:1] in ("{", "[") and decoded(field[1]) is None:
            # Written by hand: an address in the JSON text has an ampersand that is not percent-encoded.
            for longer in range(end + 1, len(pieces) + 1):
                if not pieces[longer - 1].lower().endswith(_JSON_ENDS):
                    continue
                joined = _form_field("&".join(pieces[position:longer]))
                if joined[1][-1:] in ("}", "]") and decoded(joined[1]) is not None:
                    field, end = joined, longer
                    break
        yield field
        position = end


def _form_field(written: str) -> tuple[str, str, str]:
    key, _, value = written.partition("=")
    return unquote_plus(key), unquote_plus(value), written
