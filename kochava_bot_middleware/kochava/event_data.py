"""Cleans the names and data of events for Kochava: an invalid key is left out, and the event is kept."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import functools
import math
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import orjson

from ..exceptions import TrackingError
from .standard import (
    MANY_KEYS,
    MAX_BYTES,
    RESERVED_KEYS,
    REVENUE_KEYS,
    StandardEvent,
    is_currency,
    standard_event_like,
    standard_key_like,
)

_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
_DEEPEST = 20
_LONGEST_REMEMBERED = 100
_NOT_FINITE = "is not a finite number"
# Also the text of a Decimal that has no exact float.
_AMOUNT = re.compile(r"[+-]?\d+(\.\d+)?(E[+-]?\d+)?", re.ASCII)


class Severity(enum.Enum):
    """The effect of a problem on its key."""

    DROPPED = "dropped"
    """The key is left out; in strict mode the call raises."""

    WRONG = "wrong"
    """The key is kept, since leaving it out would be worse; in strict mode the call raises."""

    DOUBTFUL = "doubtful"
    """The key is kept; never raises, since the rule is not documented."""


@attrs.frozen(kw_only=True)
class Problem:
    """
    A problem in the data of an event.

    Attributes:
        key: The key; empty when it concerns the data as a whole.
        reason: What is wrong; never contains the value.
        severity: The effect on the key.
    """

    key: str
    reason: str
    severity: Severity = Severity.DROPPED


class _InvalidValue(Exception):
    pass


def clean_event_name(name: str, *, strict: bool) -> tuple[str, tuple[Problem, ...]]:
    """
    The name of an event with lone surrogates replaced, and its problems; when *strict*, what is wrong is raised.

    A standard event that is spelled otherwise is a custom event for Kochava, and misses in its reports.

    A leading underscore seems to mark Kochava's own names (``_install``), but is not forbidden by the documentation.
    """
    clean, problems = _clean_name_again(name) if len(name) <= _LONGEST_REMEMBERED else _clean_name(name)
    if strict:
        for problem in problems:
            if problem.severity is Severity.WRONG:
                msg = f"event {clean!r}: {problem.reason}"
                raise TrackingError(msg)
    return clean, problems


def _clean_name(name: str) -> tuple[str, tuple[Problem, ...]]:
    clean = name if name.isascii() else name.encode("utf-8", "replace").decode()
    if clean != name:
        return clean, (Problem(key="", reason="its name contains a lone surrogate", severity=Severity.WRONG),)
    if (meant := standard_event_like(name)) is not None:
        reason = f"Kochava knows its standard events by their exact names: write {str(meant)!r}, or choose another name"
        return clean, (Problem(key="", reason=reason, severity=Severity.WRONG),)
    if name.startswith("_") and name != StandardEvent.DEEPLINK:
        reason = "its name begins with an underscore, as Kochava's own do"
        return clean, (Problem(key="", reason=reason, severity=Severity.DOUBTFUL),)
    return clean, ()


_clean_name_again = functools.lru_cache(maxsize=1024)(_clean_name)
"""Names are few, and come again and again."""


def clean_event_data(data: Any, *, strict: bool, event_name: str = "") -> tuple[Any, tuple[Problem, ...]]:
    """
    The data of an event, ``None`` when it is empty, and its problems; when *strict*, what is wrong is raised.

    `decimal.Decimal` becomes an int when it is whole, a float when the float's shortest form is the same number, and
    text otherwise, so that no amount changes. Enum members become their values, dates ISO 8601 text, UUIDs text,
    tuples lists. Keys whose value is ``None`` are left out. *event_name* is for the message of the error.
    """
    problems: list[Problem] = []
    # An abstract class is asked ten times as slowly as a dict is recognised.
    is_mapping = type(data) is dict or isinstance(data, Mapping)
    clean = _clean_mapping(data, problems) if is_mapping else _clean_scalar(data, problems)
    if strict:
        for problem in problems:
            if problem.severity is not Severity.DOUBTFUL:
                where = f"key {problem.key!r}" if problem.key else "data"
                msg = f"event {event_name!r}, {where}: {problem.reason}"
                raise TrackingError(msg)
    return clean, tuple(problems)


def _clean_scalar(data: Any, problems: list[Problem]) -> Any:
    if data is None or data == "":
        return None
    try:
        value = _plain(data)
    except _InvalidValue as exc:
        problems.append(Problem(key="", reason=str(exc)))
        return None
    if isinstance(value, (list, dict)):
        problems.append(Problem(key="", reason="must be an object or one scalar value"))
        return None
    if isinstance(value, str) and len(value.encode()) > MAX_BYTES:
        problems.append(Problem(key="", reason=f"is over {MAX_BYTES} bytes"))
        return None
    return value


def _clean_mapping(data: Mapping[Any, Any], problems: list[Problem]) -> dict[str, Any] | None:
    clean: dict[str, Any] = {}
    for key, value in data.items():
        if value is None:
            if key == "currency":
                problems.append(Problem(key=key, reason="is not a code of ISO 4217"))
            continue
        # Nearly all values are plain text and small numbers, which need no conversion.
        if type(key) is str and key.isascii() and key not in RESERVED_KEYS and _is_plain(value):
            clean[key] = value
            continue
        try:
            name = _key(key)
            if name in RESERVED_KEYS:
                msg = "is reserved by Kochava"
                raise _InvalidValue(msg)
            plain = _plain(value)
        except _InvalidValue as exc:
            problems.append(Problem(key=_shown(key), reason=str(exc)))
            continue
        if isinstance(plain, dict):
            problems.append(Problem(key=name, reason="is nested", severity=Severity.DOUBTFUL))
        clean[name] = plain
    if not _OWN_KEYS.issuperset(clean):
        _check_standard_keys(clean, problems)
    if len(clean) > MANY_KEYS:
        reason = f"has {len(clean)} keys, over {MANY_KEYS}"
        problems.append(Problem(key="", reason=reason, severity=Severity.DOUBTFUL))
    _shrink(clean, problems)
    return clean or None


_VALUE_CHECKED = frozenset({"currency", *REVENUE_KEYS})

_OWN_KEYS = set[str]()
"""Keys that came before, of which neither the spelling nor the value is to be checked."""

_MOST_OWN_KEYS = 1000
_LONGEST_OWN_KEY = 60


def _check_standard_keys(clean: Mapping[str, Any], problems: list[Problem]) -> None:
    if "currency" in clean and not is_currency(clean["currency"]):
        problems.append(Problem(key="currency", reason="is not a code of ISO 4217", severity=Severity.WRONG))
    problems += [
        Problem(key=key, reason="is not a number", severity=Severity.WRONG)
        for key in REVENUE_KEYS
        if key in clean and not _is_amount(clean[key])
    ]
    for key in clean:
        if key in _OWN_KEYS:
            continue
        if (meant := standard_key_like(key)) is not None:
            reason = f"is not the standard key {str(meant)!r}"
            problems.append(Problem(key=_shown(key), reason=reason, severity=Severity.WRONG))
        elif key not in _VALUE_CHECKED and len(_OWN_KEYS) < _MOST_OWN_KEYS and len(key) <= _LONGEST_OWN_KEY:
            _OWN_KEYS.add(key)


def _is_amount(value: Any) -> bool:
    if isinstance(value, str):
        return _AMOUNT.fullmatch(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return bool(value.isascii())
    return kind is bool or (kind is int and _MIN_INT <= value <= _MAX_INT)


def _shrink(clean: dict[str, Any], problems: list[Problem]) -> None:
    """Remove the largest values until the rest is small enough."""
    size = len(orjson.dumps(clean))
    if size <= MAX_BYTES:
        return
    # Each is measured once, with its comma: a message can have tens of thousands of keys.
    sizes = {key: len(orjson.dumps({key: value})) - 1 for key, value in clean.items()}
    for largest in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if size <= MAX_BYTES:
            return
        del clean[largest]
        size -= sizes[largest]
        problems.append(Problem(key=_shown(largest), reason=f"makes the data larger than {MAX_BYTES} bytes"))


def _shown(key: Any) -> str:
    if not isinstance(key, str):
        return f"(a key of type {type(key).__name__})"
    return str(key)[:100].encode("utf-8", "replace").decode()


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if not isinstance(key, str):
        msg = "is not text"
        raise _InvalidValue(msg)
    return _text(str(key))


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            msg = "contains a lone surrogate"
            raise _InvalidValue(msg) from None
    return value


def _plain(value: Any, depth: int = 0) -> Any:
    """The value as a JSON type."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return _plain(value.value, depth + 1)
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    if depth >= _DEEPEST:
        msg = "is nested too deeply"
        raise _InvalidValue(msg)
    if isinstance(value, Mapping):
        return {_key(key): _plain(member, depth + 1) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member, depth + 1) for member in value]
    msg = f"is of type {type(value).__name__}, which JSON cannot represent"
    raise _InvalidValue(msg)


def _integer(value: int) -> int:
    if not _MIN_INT <= value <= _MAX_INT:
        msg = "does not fit into 64 bits"
        raise _InvalidValue(msg)
    return int(value)


def _float(value: float) -> float:
    if not math.isfinite(value):
        raise _InvalidValue(_NOT_FINITE)
    return float(value)


def _number(value: decimal.Decimal) -> int | float | str:
    if not value.is_finite():
        raise _InvalidValue(_NOT_FINITE)
    # A number with a huge exponent must not be converted to an int.
    if value.adjusted() <= 18 and value == value.to_integral_value() and _MIN_INT <= int(value) <= _MAX_INT:
        return int(value)
    number = float(value)
    return number if decimal.Decimal(repr(number)) == value else str(value)


_CONVERSIONS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (str, _text),
    (int, _integer),
    (float, _float),
    (decimal.Decimal, _number),
    (dt.date, lambda value: value.isoformat()),
    (uuid.UUID, str),
)
