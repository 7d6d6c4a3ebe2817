"""What settings classes say about their values: secrets, validators of one field, rules between fields."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

from ..exceptions import Violation

Validator = Callable[[Any, Any, Any], None]


@attrs.frozen(repr=False)
class Secret:
    """A token or key. It never prints: read `value` where it is used, and nowhere else."""

    value: str

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__


class InvalidSettings(ValueError):
    """Values that settings cannot have. Keys are relative to what was checked; the key of itself is empty."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(map(str, self.violations)))


class InvalidValue(InvalidSettings):
    """One value that a setting cannot have. Raised by validators; `from_mapping` adds the key."""

    def __init__(self, wanted: str, got: object) -> None:
        super().__init__([Violation(key="", wanted=wanted, got=describe(got))])

    def __str__(self) -> str:
        (violation,) = self.violations
        return f"wanted {violation.wanted}, got {violation.got}"


def joined(key: str, inner: str) -> str:
    """The path of *inner*, a name or an index such as ``[0]``, below *key*; either may be empty."""
    return f"{key}{inner}" if not key or not inner or inner.startswith("[") else f"{key}.{inner}"


def under(key: str, violations: Iterable[Violation]) -> Iterator[Violation]:
    """The same violations, with *key* put before each key."""
    return (attrs.evolve(violation, key=joined(key, violation.key)) for violation in violations)


@attrs.frozen
class Rule:
    """
    What must hold between fields of one class, which lists its rules as ``RULES``.

    It is checked only when each of the fields is valid by itself; `check` takes their values and yields what is wrong.
    """

    fields: tuple[str, ...]
    check: Callable[..., Iterable[Violation]]


def check_rules(instance: Any) -> None:
    """
    For ``__attrs_post_init__``, so that the rules also hold for objects that are not made from a mapping.

    Raises:
        InvalidSettings: With everything that is wrong.
    """
    values = {name: getattr(instance, name) for rule in type(instance).RULES for name in rule.fields}
    violations = list(broken_rules(type(instance), values))
    if violations:
        raise InvalidSettings(violations)


def broken_rules(cls: Any, values: Mapping[str, Any]) -> Iterator[Violation]:
    """What is wrong by those rules of *cls* whose fields are all in *values*."""
    rules: tuple[Rule, ...] = getattr(cls, "RULES", ())
    for rule in rules:
        if all(name in values for name in rule.fields):
            yield from rule.check(*(values[name] for name in rule.fields))


def both_or_neither(first: str, second: str) -> Rule:
    """A rule: two fields are set together. The violation is reported for the one that is missing."""

    def check(one: object, other: object) -> Iterator[Violation]:
        if (one is None) != (other is None):
            wanted = f"both `{first}` and `{second}`, or neither"
            yield Violation(key=first if one is None else second, wanted=wanted, got="nothing")

    return Rule((first, second), check)


def needed_by(switch: str, needed: str) -> Rule:
    """A rule: when *switch* is on, *needed* must be set."""

    def check(on: bool, value: object) -> Iterator[Violation]:  # noqa: FBT001 - as settings have it
        if on and value is None:
            yield Violation(key=needed, wanted=f"`{needed}` to be set, since `{switch}` is on", got="nothing")

    return Rule((switch, needed), check)


def describe(value: object) -> str:
    """A value as a message may show it: short, with its type, and never a secret."""
    if value is None or isinstance(value, (Secret, Mapping, list, tuple, set)):
        # Members may be secrets of another key.
        return kind_of(value)
    # An address may hold a password.
    text = re.sub(r"://[^/\s]*@", "://…@", repr(value))
    kind = "str" if isinstance(value, str) else type(value).__name__
    return f"{text if len(text) <= 60 else text[:59] + '…'} ({kind})"


def kind_of(value: object) -> str:
    """What kind of value it is, without any part of the value itself, which may be a secret in the wrong place."""
    match value:
        case None:
            return "nothing"
        case Secret():
            return "a secret"
        case str():
            return "a text" if value else "an empty text"
        case Mapping() | list() | tuple() | set():
            return f"a {type(value).__name__} of {len(value)}"
        case _:
            return f"a value of type {type(value).__name__}"


def one_of(*choices: str) -> Validator:
    """An attrs validator: the value is one of *choices*."""

    def validate(_instance: Any, _attribute: Any, value: Any) -> None:
        if value not in choices:
            wanted = "one of " + ", ".join(map(repr, choices))
            raise InvalidValue(wanted, value)

    return validate


def at_least(minimum: float, *, exclusive: bool = False) -> Validator:
    """
    An attrs validator: the number is finite and not below *minimum* (with *exclusive*: above it); ``None`` passes.
    """

    def validate(_instance: Any, _attribute: Any, value: Any) -> None:
        if value is None:
            return
        # Every comparison with `nan` is false.
        is_infinite = isinstance(value, float) and not math.isfinite(value)
        if is_infinite or value < minimum or (exclusive and value == minimum):
            raise InvalidValue(wanted=f"a number {'above' if exclusive else 'of at least'} {minimum:g}", got=value)

    return validate


def not_empty(_instance: Any, _attribute: Any, value: Any) -> None:
    """An attrs validator: the text or collection has something in it, not only white space; ``None`` passes."""
    if value is not None and not (value.strip() if isinstance(value, str) else value):
        raise InvalidValue(wanted="something, not nothing at all", got=value)


def one_word(_instance: Any, _attribute: Any, value: Any) -> None:
    """An attrs validator: the secret has no white space; ``None`` passes."""
    # A line's end that was read together with the token is the usual mistake.
    if value is not None and value.value.split() != [value.value]:
        raise InvalidValue(wanted="a token without white space", got=value)


def http_url(_instance: Any, _attribute: Any, value: Any) -> None:
    """An attrs validator: an absolute http(s) address with a host; ``None`` passes."""
    if value is None:
        return
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise InvalidValue(wanted="an address that begins with https:// or http://", got=value)
    if re.search(r"[\x00-\x1f\x7f]|\s\Z", value):
        raise InvalidValue(wanted="an address without line breaks, and without blanks after it", got=value)
    if not _has_host(value):
        raise InvalidValue(wanted="an address with a host, such as https://host.example", got=value)


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        return bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", parts.netloc)
    except ValueError:
        return False


def host_and_port(host: str, port: int) -> str:
    """Both as in a URL: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def each(validator: Validator) -> Validator:
    """An attrs validator: every value of the mapping or list passes *validator*. Violations have the value's key."""

    def validate(instance: Any, attribute: Any, values: Any) -> None:
        keyed = values.items() if isinstance(values, Mapping) else ((f"[{at}]", one) for at, one in enumerate(values))
        violations: list[Violation] = []
        for key, value in keyed:
            try:
                validator(instance, attribute, value)
            except InvalidValue as exc:
                violations += under(str(key), exc.violations)
        if violations:
            raise InvalidSettings(violations)

    return validate
