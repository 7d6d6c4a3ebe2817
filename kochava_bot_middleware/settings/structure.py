"""
The machinery that turns a settings mapping into frozen objects, once.

Each room has its own attrs class and never sees a mapping. Scalars are not coerced: ``"5"`` is not a number, since a
silent conversion hides the mistake until it costs data. All violations come in one `SettingsError`. A value is never
told where a secret was wanted, or something that holds one.
"""

from __future__ import annotations

import collections.abc
import difflib
import enum
import functools
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs
from cattrs import Converter

from ..exceptions import SettingsError, Violation
from .rules import (
    Refusal,
    Refusals,
    Rule,
    Secret,
    describe,
    kind_of,
)
from .sources import EnvironmentName, EnvironmentText, laid_over
from .values import callable_itself, enum_member, plain, scalar, secret, text

T = TypeVar("T")


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, key: str = "") -> T:
    """
    Build the settings object *cls* from *mapping*.

    Args:
        key: Path of the mapping itself, put before each key in messages; empty for the top.

    Raises:
        SettingsError: With every violation, each with its key, what was wanted and what was got.
    """
    collector = _Collector()
    settings = collector.structure(key, mapping, cls)
    if collector.violations:
        raise SettingsError([attrs.evolve(wrong, key=wrong.key or "settings") for wrong in collector.violations])
    return cast("T", settings)


class _Collector:
    """Runs steps that may refuse, and keeps every refusal."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def structure(self, key: str, value: Any, kind: Any) -> Any:
        """*value* as a *kind*; ``None`` when it is refused."""
        try:
            return _CONVERTER.structure(value, kind)
        except Refusals as exc:
            # What is within was masked where it was found.
            self.violations.extend(exc.under(key))
        except Refusal as exc:
            got = kind_of(value) if _holds_secrets(kind) else exc.got
            self.violations.append(Violation(key=key, wanted=exc.wanted, got=got))
        return None

    def validate(self, field: Any, value: Any, kind: Any) -> None:
        """Run the validator of a field."""
        try:
            field.validator(None, field, value)
        except Refusals as exc:
            broken = list(exc.under(field.name))
            if _holds_secrets(kind):
                broken = [attrs.evolve(violation, got="something else") for violation in broken]
            self.violations.extend(broken)
        except Refusal as exc:
            got = kind_of(value) if _holds_secrets(kind) else exc.got
            self.violations.append(Violation(key=field.name, wanted=exc.wanted, got=got))

    def check(self) -> None:
        """Raise what was kept."""
        if self.violations:
            raise Refusals(self.violations)


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


def _structure_class(value: Any, cls: Any) -> Any:
    if isinstance(value, cls):
        return value
    given = _members(value, cls)
    known = {field.name: field for field in attrs.fields(cls) if field.init}
    types_of = _types_of(cls)
    collector = _Collector()
    right: dict[str, Any] = {}
    misspelt: set[str] = set()
    for name in given:
        if name not in known:
            if isinstance(given[name], Mapping) and any(key in known for key in given[name]):
                collector.violations.append(_wrapping(str(name)))
                continue
            near = difflib.get_close_matches(str(name).lower(), known, n=1)
            misspelt.update(near)
            collector.violations.append(_unknown(str(name), near, list(known)))
    for name, field in known.items():
        before = len(collector.violations)
        if name in given:
            structured = collector.structure(name, given[name], types_of[name])
            if len(collector.violations) == before and field.validator is not None:
                collector.validate(field, structured, types_of[name])
        elif field.default is attrs.NOTHING:
            collector.violations.append(Violation(key=name, wanted="a value (it is required)", got="nothing"))
        else:
            structured = field.default.factory() if hasattr(field.default, "factory") else field.default
        if len(collector.violations) == before:
            right[name] = structured
    # What was probably meant to be given is not missing as well.
    collector.violations.extend(
        _broken(cls, {name: right[name] for name in right if name in given or name not in misspelt})
    )
    collector.check()
    return cls(**right)


def _members(value: Any, cls: Any) -> Mapping[Any, Any]:
    """The members of a mapping by name of field, what comes from the environment laid over the rest."""
    value = plain(value)
    if not isinstance(value, Mapping):
        wanted = "a mapping"
        raise Refusal(wanted, value)
    fields = {field.name for field in attrs.fields(cls)}
    members = {name: member for name, member in value.items() if not isinstance(name, EnvironmentName)}
    for name, member in value.items():
        if isinstance(name, EnvironmentName):
            key = name.lower() if name.lower() in fields else str(name)
            members[key] = laid_over(members.get(key), member)
    return members


def _broken(cls: Any, right: Mapping[str, Any]) -> Iterator[Violation]:
    rules: tuple[Rule, ...] = getattr(cls, "RULES", ())
    for rule in rules:
        if all(name in right for name in rule.fields):
            yield from rule.check(*(right[name] for name in rule.fields))


def _unknown(name: str, near: list[str], known: list[str]) -> Violation:
    wanted = f"probably `{near[0]}`" if near else f"one of {', '.join(sorted(known))}"
    return Violation(key=name, wanted=wanted, got="an unknown key")


def _wrapping(name: str) -> Violation:
    # Such as a whole settings file where one of its tables is wanted.
    return Violation(key=name, wanted="what this holds, one level higher", got="a mapping around it")


def _structure_sequence(value: Any, kind: Any) -> Any:
    value = plain(value)
    if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple)):
        wanted = "a list"
        raise Refusal(wanted, value)
    member = get_args(kind)[0]
    collector = _Collector()
    members = tuple(collector.structure(f"[{index}]", item, member) for index, item in enumerate(value))
    collector.check()
    return members


def _structure_mapping(value: Any, kind: Any) -> Any:
    value = plain(value)
    if not isinstance(value, Mapping):
        wanted = "a mapping"
        raise Refusal(wanted, value)
    member = get_args(kind)[1]
    collector = _Collector()
    members: dict[str, Any] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            collector.violations.append(Violation(key=str(name), wanted="a text as key", got=describe(name)))
        members[str(name)] = collector.structure(str(name), item, member)
    collector.check()
    return members


def _structure_union(value: Any, union: Any) -> Any:
    """Try the members in order; what a mapping or list says in detail wins over a list of types."""
    members = [member for member in get_args(union) if member is not type(None)]
    if value is None and type(None) in get_args(union):
        return None
    if isinstance(value, EnvironmentText):
        # Whatever it is, it is a text as well.
        members.sort(key=lambda member: member in (str, Secret))
    wanted: list[str] = []
    for member in members:
        try:
            return _CONVERTER.structure(value, member)
        except Refusal as exc:
            wanted.append(exc.wanted)
    raise Refusal(" or ".join(wanted), value)


def _origin_in(*origins: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) in origins or kind in origins


def _converter() -> Converter:
    converter = Converter()
    converter.register_structure_hook_func(attrs.has, _structure_class)
    converter.register_structure_hook_func(_origin_in(tuple, collections.abc.Sequence), _structure_sequence)
    converter.register_structure_hook_func(_origin_in(collections.abc.Mapping), _structure_mapping)
    converter.register_structure_hook_func(_origin_in(Union, types.UnionType), _structure_union)
    converter.register_structure_hook_func(_origin_in(collections.abc.Callable), callable_itself)
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, enum.Enum), enum_member
    )
    converter.register_structure_hook(Secret, secret)
    converter.register_structure_hook(str, text)
    converter.register_structure_hook(bool, scalar(bool, "true or false"))
    converter.register_structure_hook(int, scalar(int, "a whole number"))
    converter.register_structure_hook(float, scalar((int, float), "a number"))
    return converter


_CONVERTER = _converter()
