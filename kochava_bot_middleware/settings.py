"""
The machinery that turns a settings mapping into frozen objects, once.

Each room has its own attrs class and never sees a mapping. Scalars are not coerced: ``"5"`` is not a number, since a
silent conversion hides the mistake until it costs data. All violations come in one `SettingsError`.
"""

from __future__ import annotations

import collections.abc
import difflib
import enum
import os
import tomllib
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs
from cattrs import Converter

from .exceptions import SettingsError, Violation

T = TypeVar("T")
Validator = Callable[[Any, Any, Any], None]

ENVIRONMENT_PREFIX = "KOCHAVA_BOT"
"""``KOCHAVA_BOT__KOCHAVA__STORE`` sets ``kochava.store``: two underscores stand for a dot."""


@attrs.frozen(repr=False)
class Secret:
    """
    A token or key. It never prints: read `value` where it is used, and nowhere else.
    """

    value: str

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


class Refusal(ValueError):
    """
    One value is wrong. Raised by validators of settings classes; `from_mapping` adds the key.
    """

    def __init__(self, wanted: str, got: object) -> None:
        self.wanted = wanted
        self.got = describe(got)
        super().__init__(f"wanted {self.wanted}, got {self.got}")


def describe(value: object) -> str:
    """
    A value as a message may show it: short, with its type, and never a secret.
    """
    if value is None:
        return "nothing"
    if isinstance(value, Secret):
        return f"a secret of {len(value.value)} characters"
    if isinstance(value, (Mapping, list, tuple, set)):
        # Its members may be secrets of another key.
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:59] + '…'} ({type(value).__name__})"


def one_of(*choices: str) -> Validator:
    """
    An attrs validator: the value is one of *choices*.
    """

    def validate(_instance: Any, _attribute: Any, value: Any) -> None:
        if value not in choices:
            wanted = "one of " + ", ".join(map(repr, choices))
            raise Refusal(wanted, value)

    return validate


def at_least(minimum: float, *, exclusive: bool = False) -> Validator:
    """
    An attrs validator: the number is not below *minimum* (with *exclusive*: above it); ``None`` passes.
    """

    def validate(_instance: Any, _attribute: Any, value: Any) -> None:
        if value is not None and (value < minimum or (exclusive and value == minimum)):
            wanted = f"a number {'above' if exclusive else 'of at least'} {minimum:g}"
            raise Refusal(wanted, value)

    return validate


def not_empty(_instance: Any, _attribute: Any, value: Any) -> None:
    """
    An attrs validator: the text or collection has something in it; ``None`` passes.
    """
    if value is not None and not value:
        wanted = "something, not nothing at all"
        raise Refusal(wanted, value)


def http_url(_instance: Any, _attribute: Any, value: Any) -> None:
    """
    An attrs validator: an absolute http(s) address; ``None`` passes.
    """
    if value is not None and not (isinstance(value, str) and value.startswith(("https://", "http://"))):
        wanted = "an address that begins with https:// or http://"
        raise Refusal(wanted, value)


def from_mapping(cls: type[T], mapping: Mapping[str, Any], *, key: str = "") -> T:
    """
    Build the settings object *cls* from *mapping*.

    Args:
        key: Path of the mapping itself, put before each key in messages; empty for the top.

    Raises:
        SettingsError: With every violation, each with its key, what was wanted and what was got.
    """
    try:
        settings: T = _CONVERTER.structure(mapping, cls)
    except _Violations as exc:
        raise SettingsError(list(exc.under(key))) from None
    except Refusal as exc:
        raise SettingsError([Violation(key=key or "settings", wanted=exc.wanted, got=exc.got)]) from None
    return settings


def from_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """
    Read a TOML settings file.

    Raises:
        SettingsError: It cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError([Violation(key=str(path), wanted="a readable TOML file", got=str(exc.strerror))]) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise SettingsError([Violation(key=str(path), wanted="a TOML file", got=str(exc))]) from exc


def from_environment(environment: Mapping[str, str], *, over: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Settings from environment variables, laid over the mapping *over*.

    ``KOCHAVA_BOT__BOT__APP_SECRET`` sets ``bot.app_secret``. A value that reads as a TOML number, boolean, array or
    inline table is one (``30``, ``true``, ``["a"]``); everything else is text, and so is what stands in TOML quotes.
    """
    settings = _copy(over or {})
    for name, text in sorted(environment.items()):
        prefix, *path = name.split("__")
        if prefix != ENVIRONMENT_PREFIX or not path:
            continue
        target = settings
        for part in path[:-1]:
            target = target.setdefault(part.lower(), {})
            if not isinstance(target, dict):
                raise SettingsError([Violation(key=name, wanted="a table to set a member of", got="a single value")])
        target[path[-1].lower()] = _toml_value(text)
    return settings


def _copy(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in mapping.items()}


def _toml_value(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    return value if isinstance(value, (bool, int, float, str, list, dict)) else text


class _Violations(Exception):
    """
    All that is wrong within one mapping or sequence, with paths relative to it.
    """

    def __init__(self, violations: list[Violation]) -> None:
        super().__init__(len(violations))
        self.violations = violations

    def under(self, key: str) -> Iterator[Violation]:
        for violation in self.violations:
            inner = violation.key
            path = f"{key}{inner}" if not key or inner.startswith("[") or not inner else f"{key}.{inner}"
            yield attrs.evolve(violation, key=path or key)


class _Collector:
    """
    Runs steps that may refuse, and keeps every refusal.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def structure(self, key: str, value: Any, kind: Any) -> Any:
        return self.run(key, lambda: _CONVERTER.structure(value, kind))

    def run(self, key: str, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except _Violations as exc:
            self.violations.extend(exc.under(key))
        except Refusal as exc:
            self.violations.append(Violation(key=key, wanted=exc.wanted, got=exc.got))
        return None

    def check(self) -> None:
        if self.violations:
            raise _Violations(self.violations)


def _structure_class(value: Any, cls: Any) -> Any:
    if isinstance(value, cls):
        return value
    if not isinstance(value, Mapping):
        wanted = "a mapping"
        raise Refusal(wanted, value)
    types_of = get_type_hints(cls)
    collector = _Collector()
    arguments: dict[str, Any] = {}
    known = {field.name: field for field in attrs.fields(cls) if field.init}
    for name in value:
        if name not in known:
            collector.violations.append(_unknown(str(name), list(known)))
    for name, field in known.items():
        if name in value:
            arguments[name] = _structure_field(collector, field, value[name], types_of[name])
        elif field.default is attrs.NOTHING:
            collector.violations.append(Violation(key=name, wanted="a value (it is required)", got="nothing"))
    collector.check()
    built = collector.run("", lambda: cls(**arguments))
    collector.check()
    return built


def _structure_field(collector: _Collector, field: Any, value: Any, kind: Any) -> Any:
    before = len(collector.violations)
    structured = collector.structure(field.name, value, kind)
    if len(collector.violations) == before and field.validator is not None:
        collector.run(field.name, lambda: field.validator(None, field, structured))
    return structured


def _unknown(name: str, known: list[str]) -> Violation:
    near = difflib.get_close_matches(name, known, n=1)
    wanted = f"probably `{near[0]}`" if near else f"one of {', '.join(sorted(known))}"
    return Violation(key=name, wanted=wanted, got="an unknown key")


def _structure_sequence(value: Any, kind: Any) -> Any:
    if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple)):
        wanted = "a list"
        raise Refusal(wanted, value)
    member = get_args(kind)[0]
    collector = _Collector()
    members = tuple(collector.structure(f"[{index}]", item, member) for index, item in enumerate(value))
    collector.check()
    return members


def _structure_mapping(value: Any, kind: Any) -> Any:
    if not isinstance(value, Mapping):
        wanted = "a mapping"
        raise Refusal(wanted, value)
    member = get_args(kind)[1]
    collector = _Collector()
    members: dict[str, Any] = {}
    for name, item in value.items():
        if not isinstance(name, str):
            collector.violations.append(Violation(key=str(name), wanted="a text as key", got=describe(name)))
        members[name] = collector.structure(str(name), item, member)
    collector.check()
    return members


def _structure_union(value: Any, union: Any) -> Any:
    """
    Try the members in order; what a mapping or list says in detail wins over a list of types.
    """
    members = get_args(union)
    if value is None and type(None) in members:
        return None
    wanted: list[str] = []
    for member in members:
        if member is type(None):
            continue
        try:
            return _CONVERTER.structure(value, member)
        except Refusal as exc:
            wanted.append(exc.wanted)
    raise Refusal(" or ".join(wanted), value)


def _structure_enum(value: Any, cls: Any) -> Any:
    try:
        return cls(value)
    except ValueError:
        wanted = "one of " + ", ".join(repr(member.value) for member in cls)
        raise Refusal(wanted, value) from None


def _structure_secret(value: Any, _cls: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value:
        wanted = "a non-empty text"
        # The value itself may be a secret of the wrong shape, so only its type is told.
        raise Refusal(wanted, None if value is None else type(value))
    return Secret(value)


def _structure_callable(value: Any, _kind: Any) -> Any:
    if not callable(value):
        wanted = "a callable"
        raise Refusal(wanted, value)
    return value


def _scalar(kinds: type | tuple[type, ...], wanted: str) -> Callable[[Any, Any], Any]:
    def structure(value: Any, kind: Any) -> Any:
        if issubclass(kind, enum.Enum):
            # cattrs finds a hook by class first, and a StrEnum is a str.
            return _structure_enum(value, kind)
        # A bool is an int to Python, but never what a person meant by a number.
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise Refusal(wanted, value)
        return value

    return structure


def _origin_in(*origins: Any) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) in origins or kind in origins


def _converter() -> Converter:
    converter = Converter()
    converter.register_structure_hook_func(attrs.has, _structure_class)
    converter.register_structure_hook_func(_origin_in(tuple, collections.abc.Sequence), _structure_sequence)
    converter.register_structure_hook_func(_origin_in(collections.abc.Mapping), _structure_mapping)
    converter.register_structure_hook_func(_origin_in(Union, types.UnionType), _structure_union)
    converter.register_structure_hook_func(_origin_in(collections.abc.Callable), _structure_callable)
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, type) and issubclass(kind, enum.Enum), _structure_enum
    )
    converter.register_structure_hook(Secret, _structure_secret)
    converter.register_structure_hook(str, _scalar(str, "a text"))
    converter.register_structure_hook(bool, _scalar(bool, "true or false"))
    converter.register_structure_hook(int, _scalar(int, "a whole number"))
    converter.register_structure_hook(float, _scalar((int, float), "a number"))
    return converter


_CONVERTER = _converter()
