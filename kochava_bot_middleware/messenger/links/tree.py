"""
Copy-on-write steps through an outgoing body: dicts, lists, tuples, attrs and data classes, JSON text and form text.

Each step gives back the same object when nothing below it changed, and never writes into the caller's.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from .site import Trail

Scope = TypeVar("Scope")
Changes = dict[str, Any]
"""The members of a mapping that get a new value; empty when none does."""

ChangesOf = Callable[[Mapping[str, Any], Trail, Scope], Changes]


def map_mapping(node: Any, trail: Trail, scope: Scope, changes_of: ChangesOf[Scope]) -> Any:
    """
    Apply *changes_of* to the members of *node*: a mapping, an attrs or data class instance, or a JSON object as text.

    Anything else is given back as it is.
    """
    if type(node) is dict:
        changes = changes_of(node, trail, scope)
        return node | changes if changes else node
    if isinstance(node, (str, bytes)):
        return _map_text(node, lambda decoded: map_mapping(decoded, trail, scope, changes_of))
    members = members_of(node)
    if members is None:
        return node
    changes = changes_of(members, trail, scope)
    return _rebuilt(node, changes) if changes else node


def map_sequence(node: Any, trail: Trail, scope: Scope, changes_of: ChangesOf[Scope]) -> Any:
    """Apply *changes_of* to each item of *node*: a list, a tuple, or a JSON array as text."""
    if not isinstance(node, (list, tuple)):
        if isinstance(node, (str, bytes)):
            return _map_text(node, lambda decoded: map_sequence(decoded, trail, scope, changes_of))
        return node
    items: list[Any] | None = None
    for index, item in enumerate(node):
        replaced = map_mapping(item, (trail, index), scope, changes_of)
        if replaced is item:
            continue
        if items is None:
            items = list(node)
        items[index] = replaced
    if items is None:
        return node
    return items if type(node) is list else _sequence_like(node, items)


def members_of(node: Any) -> Mapping[str, Any] | None:
    """The members of a mapping, or of an instance of an attrs or data class; ``None`` for anything else."""
    if isinstance(node, Mapping):
        return node
    kind = type(node)
    if attrs.has(kind):
        return {field.name: getattr(node, field.name, None) for field in attrs.fields(kind)}
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(node, field.name, None) for field in dataclasses.fields(kind)}
    return None


def decoded(text: str | bytes) -> Any:
    """
    The object or array that *text* spells in JSON; ``None`` when it does not, or could not be written back as JSON.
    """
    if text.lstrip()[:1] not in ("{", "[", b"{", b"["):
        return None
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        return None


def word(value: Any) -> Any:
    """The platform's word for a member that may be given as an enum."""
    return value.value if isinstance(value, enum.Enum) else value


def _map_text(text: str | bytes, mapped: Callable[[Any], Any]) -> str | bytes:
    node = decoded(text)
    if node is None:
        return text
    result = mapped(node)
    if result is node:
        return text
    spaced = (b'": ' if isinstance(text, bytes) else '": ') in text  # type: ignore[operator]
    written = json.dumps(result, separators=(", ", ": ") if spaced else (",", ":"))
    return written.encode() if isinstance(text, bytes) else written


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        msg = f"{text} has no JSON form"
        raise ValueError(msg)
    return number


def _rebuilt(node: Any, changes: Changes) -> Any:
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
        return attrs.evolve(node, **{_argument(node, name): value for name, value in changes.items()})
    except Exception:  # noqa: BLE001  a field without an argument, or a validator that knows no longer address
        replaced = copy.copy(node)
        for name, value in changes.items():
            object.__setattr__(replaced, name, value)
        return replaced


def _argument(node: Any, name: str) -> str:
    return attrs.fields_dict(type(node))[name].alias or name


def _sequence_like(node: Any, items: list[Any]) -> Any:
    if isinstance(node, list):
        replaced = copy.copy(node)
        replaced[:] = items
        return replaced
    return node._make(items) if hasattr(node, "_make") else tuple(items)
