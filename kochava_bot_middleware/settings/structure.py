"""
Turns a settings mapping into frozen objects.

Scalars are not coerced: ``"5"`` is not a number, since a silent conversion hides the mistake until it costs data. All
violations come in one `SettingsError`. A value is never shown where a secret was wanted, or something that holds one.
"""

from __future__ import annotations

import collections.abc
import difflib
import enum
import functools
import importlib
import math
import os
import types
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs

from ..exceptions import SettingsError, Violation
from .sources import EnvironmentName, EnvironmentText, merged, text_of, value_of
from .validators import InvalidSettings, InvalidValue, Secret, broken_rules, describe, joined, kind_of, under

T = TypeVar("T")


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, key: str = "") -> T:
    """
    Build the settings object *cls* from *mapping*.

    Args:
        key: Path of the mapping itself, put before each key in messages; empty for the top.

    Raises:
        SettingsError: With every violation, each with its key, what was wanted and what was got.
    """
    if isinstance(mapping, (str, os.PathLike)) and not isinstance(mapping, EnvironmentText):
        wanted = "a mapping, such as a table of what `from_toml` reads from a file"
        raise SettingsError([Violation(key=key or "settings", wanted=wanted, got=kind_of(mapping))])
    reader = _Reader()
    settings = reader.read(key, mapping, cls)
    if reader.violations:
        raise SettingsError([attrs.evolve(each, key=each.key or "settings") for each in reader.violations])
    return cast("T", settings)


def setting_paths(cls: Any) -> Iterator[tuple[str, ...]]:
    """The path of each setting of *cls* and of the classes within it; names within mappings and lists are yours."""
    for name, kind in _types_of(cls).items():
        yield (name,)
        for member in get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,):
            if attrs.has(member) and member is not Secret:
                yield from ((name, *path) for path in setting_paths(member))


class _Reader:
    """Reads values as what settings classes want, and collects everything that is wrong with them."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def read(self, key: str, value: Any, kind: Any) -> Any:
        """*value* as a *kind*. Not to be used if the violations became more."""
        try:
            return self._read(key, value, kind)
        except InvalidValue as exc:
            self.violations += under(key, _masked(exc, value, kind))
            return None

    def _read(self, key: str, value: Any, kind: Any) -> Any:
        origin = get_origin(kind) or kind
        if origin in (Union, types.UnionType):
            return self._union(key, value, kind)
        if origin in (tuple, collections.abc.Sequence):
            return self._sequence(key, value, get_args(kind)[0])
        if origin is collections.abc.Mapping:
            return self._mapping(key, value, get_args(kind)[1])
        if attrs.has(kind) and kind is not Secret:
            return self._object(key, value, kind)
        return _single(value, kind)

    def _union(self, key: str, value: Any, union: Any) -> Any:
        """As the first member that it fits; violations within a mapping or list win over a list of types."""
        if value is None and type(None) in get_args(union):
            return None
        members = [member for member in get_args(union) if member is not type(None)]
        if isinstance(value, EnvironmentText):
            # Whatever it is, it is a text as well; and no text that may be one is imported.
            members.sort(key=lambda member: 2 if _is_callable(member) else member in (str, Secret))
        wanted: list[str] = []
        for member in members:
            try:
                return self._read(key, value, member)
            except InvalidValue as exc:
                wanted += [violation.wanted for violation in exc.violations]
        raise InvalidValue(wanted=" or ".join(wanted), got=value)

    def _sequence(self, key: str, value: Any, kind: Any) -> tuple[Any, ...]:
        value = value_of(value)
        if not isinstance(value, (list, tuple)):
            raise InvalidValue(wanted="a list", got=value)
        return tuple(self.read(f"{key}[{index}]", member, kind) for index, member in enumerate(value))

    def _mapping(self, key: str, value: Any, kind: Any) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for name, member in _mapping_of(value).items():
            path = joined(key, str(name))
            if not isinstance(name, str):
                self._add(path, wanted="a text as key", got=describe(name))
            members[str(name)] = self.read(path, member, kind)
        return members

    def _object(self, key: str, value: Any, cls: Any) -> Any:
        if isinstance(value, cls):
            return value
        given = _members(value, cls)
        fields = {field.name: field for field in attrs.fields(cls) if field.init}
        types_of = _types_of(cls)
        count = len(self.violations)
        misspelt = self._unknown_names(key, given, fields)
        valid: dict[str, Any] = {}
        for name, field in fields.items():
            before = len(self.violations)
            found = self._field(joined(key, name), given, field, types_of[name])
            if len(self.violations) == before:
                valid[name] = found
        # What was probably meant to be given is not missing as well.
        checkable = {name: one for name, one in valid.items() if name in given or name not in misspelt}
        self.violations += under(key, broken_rules(cls, checkable))
        return cls(**valid) if len(self.violations) == count else None

    def _unknown_names(self, key: str, given: Mapping[Any, Any], fields: Mapping[str, Any]) -> set[str]:
        """Add names that the class does not have; returns those that were probably meant."""
        misspelt: set[str] = set()
        for name in [name for name in given if name not in fields]:
            path = joined(key, str(name))
            if isinstance(given[name], Mapping) and any(member in fields for member in given[name]):
                # Such as a whole settings file where one of its tables is wanted.
                self._add(path, wanted="what this holds, one level higher", got="a mapping around it")
                continue
            near = difflib.get_close_matches(str(name).lower(), fields, n=1)
            wanted = f"probably `{near[0]}`" if near else f"one of {', '.join(sorted(fields))}"
            self._add(path, wanted=wanted, got="an unknown key")
            misspelt.update(near)
        return misspelt

    def _field(self, key: str, given: Mapping[Any, Any], field: Any, kind: Any) -> Any:
        if field.name not in given:
            if field.default is attrs.NOTHING:
                self._add(key, wanted="a value (it is required)", got="nothing")
            return field.default.factory() if hasattr(field.default, "factory") else field.default
        before = len(self.violations)
        found = self.read(key, given[field.name], kind)
        if field.validator is not None and len(self.violations) == before:
            try:
                field.validator(None, field, found)
            except InvalidSettings as exc:
                self.violations += under(key, _masked(exc, found, kind))
        return found

    def _add(self, key: str, *, wanted: str, got: str) -> None:
        self.violations.append(Violation(key=key, wanted=wanted, got=got))


def _masked(error: InvalidSettings, value: Any, kind: Any) -> list[Violation]:
    """The violations, without any part of *value* if a *kind* may hold secrets."""
    if not _holds_secrets(kind):
        return list(error.violations)
    return [attrs.evolve(each, got="something else" if each.key else kind_of(value)) for each in error.violations]


@functools.cache
def _holds_secrets(kind: Any) -> bool:
    if kind is Secret:
        return True
    if attrs.has(kind):
        return any(map(_holds_secrets, _types_of(kind).values()))
    if get_origin(kind) is collections.abc.Callable:
        return False
    return any(map(_holds_secrets, get_args(kind)))


def _types_of(cls: Any) -> dict[str, Any]:
    names = {field.name for field in attrs.fields(cls) if field.init}
    return {name: kind for name, kind in get_type_hints(cls).items() if name in names}


def _members(value: Any, cls: Any) -> Mapping[Any, Any]:
    """The members of a mapping by name of field; what comes from the environment replaces the rest."""
    value = _mapping_of(value)
    fields = {field.name for field in attrs.fields(cls)}
    members = {name: member for name, member in value.items() if not isinstance(name, EnvironmentName)}
    for name, member in value.items():
        if isinstance(name, EnvironmentName):
            key = name.lower() if name.lower() in fields else str(name)
            members[key] = merged(members.get(key), member)
    return members


def _mapping_of(value: Any) -> Mapping[Any, Any]:
    value = value_of(value)
    if not isinstance(value, Mapping):
        raise InvalidValue(wanted="a mapping", got=value)
    return value


def _single(value: Any, kind: Any) -> Any:
    """A callable, enum member, secret, text, boolean or number."""
    if _is_callable(kind):
        return _callable(value)
    if issubclass(kind, enum.Enum):
        try:
            return kind(text_of(value))
        except ValueError:
            wanted = "one of " + ", ".join(repr(member.value) for member in kind)
            raise InvalidValue(wanted, value) from None
    if kind is Secret:
        text = value.value if isinstance(value, Secret) else text_of(value)
        return Secret(_checked(text, isinstance(text, str) and text != "", "a non-empty text"))
    if kind is str:
        return _checked(text_of(value), isinstance(value, str), "a text")
    number = value_of(value)
    if kind is bool:
        return _checked(number, isinstance(number, bool), "true or false")
    # A bool is an int to Python, but not a number in settings.
    is_whole = isinstance(number, int) and not isinstance(number, bool)
    if kind is int:
        return _checked(number, is_whole, "a whole number")
    return _checked(number, is_whole or (isinstance(number, float) and math.isfinite(number)), "a number")


def _is_callable(kind: Any) -> bool:
    return (get_origin(kind) or kind) is collections.abc.Callable


def _callable(value: Any) -> Any:
    """A callable, or the one that a text names."""
    wanted = "a callable, or where it is, such as 'shop.tracking:before_record'"
    module, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    if module and name.isidentifier():
        try:
            value = getattr(importlib.import_module(module), name)
        except Exception as exc:
            wanted = f"{wanted}, that can be imported ({type(exc).__name__}: {exc})"
            raise InvalidValue(wanted, value) from exc
    return _checked(value, callable(value), wanted)


def _checked(value: Any, is_right: bool, wanted: str) -> Any:  # noqa: FBT001
    if not is_right:
        raise InvalidValue(wanted, value)
    return value
