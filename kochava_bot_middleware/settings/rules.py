"""What settings classes say of their values: secrets, validators of one field, rules over several."""

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


class Refusal(ValueError):
    """One value is wrong. Raised by validators of settings classes; `from_mapping` adds the key."""

    def __init__(self, wanted: str, got: object) -> None:
        self.wanted = wanted
        self.got = describe(got)
        super().__init__(f"wanted {self.wanted}, got {self.got}")


class Refusals(ValueError):
    """All that is wrong within one mapping or sequence, with keys relative to it."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = list(violations)
        super().__init__("; ".join(map(str, self.violations)))

    def under(self, key: str) -> Iterator[Violation]:
        """The same, with *key* put before each key."""
        for violation in self.violations:
            inner = violation.key
            path = f"{key}{inner}" if not key or inner.startswith("[") or not inner else f"{key}.{inner}"
            yield attrs.evolve(violation, key=path)


@attrs.frozen
class Rule:
    """
    What must hold between fields of one class. A class lists its own as ``RULES``.

    Attributes:
        fields: Names of the fields that it needs; it is asked only when each of them is right by itself.
        check: Takes their values in this order, and gives what is wrong.
    """

    fields: tuple[str, ...]
    check: Callable[..., Iterable[Violation]]


def check_rules(instance: Any) -> None:
    """
    For ``__attrs_post_init__``, so that the rules hold for objects that are not made from a mapping, too.

    Raises:
        Refusals: With all that is wrong.
    """
    broken = [
        violation
        for rule in type(instance).RULES
        for violation in rule.check(*(getattr(instance, name) for name in rule.fields))
    ]
    if broken:
        raise Refusals(broken)


def both_or_neither(first: str, second: str) -> Rule:
    """A rule: two fields are set together. What is told is the one that is not."""

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
    text = repr(value)
    kind = "str" if isinstance(value, str) else type(value).__name__
    return f"{text if len(text) <= 60 else text[:59] + '…'} ({kind})"


def kind_of(value: object) -> str:
    """What sort of value it is, without a word of the value itself, which may be a secret in the wrong place."""
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
            raise Refusal(wanted, value)

    return validate


def at_least(minimum: float, *, exclusive: bool = False) -> Validator:
    """
    An attrs validator: the number is not below *minimum* (with *exclusive*: above it), nor endless; ``None`` passes.
    """

    def validate(_instance: Any, _attribute: Any, value: Any) -> None:
        if value is None:
            return
        # Of `nan`, every comparison is false.
        endless = isinstance(value, float) and not math.isfinite(value)
        if endless or value < minimum or (exclusive and value == minimum):
            wanted = f"a number {'above' if exclusive else 'of at least'} {minimum:g}"
            raise Refusal(wanted, value)

    return validate


def not_empty(_instance: Any, _attribute: Any, value: Any) -> None:
    """An attrs validator: the text or collection has something in it, and not only white space; ``None`` passes."""
    if value is not None and not (value.strip() if isinstance(value, str) else value):
        wanted = "something, not nothing at all"
        raise Refusal(wanted, value)


def http_url(_instance: Any, _attribute: Any, value: Any) -> None:
    """An attrs validator: an absolute http(s) address with a host; ``None`` passes."""
    if value is None:
        return
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        wanted = "an address that begins with https:// or http://"
        raise Refusal(wanted, value)
    if not _has_host(value):
        wanted = "an address with a host, such as https://host.example"
        raise Refusal(wanted, value)


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port is what checks it.
        return bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", parts.netloc)
    except ValueError:
        return False


def each(validator: Validator) -> Validator:
    """
    An attrs validator: every value of the mapping or list passes *validator*. Each that does not is told by its key.
    """

    def validate(instance: Any, attribute: Any, values: Any) -> None:
        keyed = values.items() if isinstance(values, Mapping) else ((f"[{at}]", one) for at, one in enumerate(values))
        broken = []
        for key, value in keyed:
            try:
                validator(instance, attribute, value)
            except Refusal as exc:
                broken.append(Violation(key=str(key), wanted=exc.wanted, got=exc.got))
        if broken:
            raise Refusals(broken)

    return validate
