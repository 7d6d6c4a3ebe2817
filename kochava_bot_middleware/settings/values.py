"""
Single values of settings: what is taken for a text, a number, a secret.

Each function raises `Refusal`, and takes the wanted type as second argument, as cattrs wants it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any

from .rules import Refusal, Secret
from .sources import EnvironmentText


def enum_member(value: Any, cls: Any) -> Any:
    """The member of an enum with this value."""
    try:
        return cls(_unquoted(value))
    except ValueError:
        wanted = "one of " + ", ".join(repr(member.value) for member in cls)
        raise Refusal(wanted, value) from None


def secret(value: Any, _cls: Any) -> Secret:
    """A text that is kept from print."""
    if isinstance(value, Secret):
        return value
    found = _unquoted(value)
    if not isinstance(found, str) or not found:
        wanted = "a non-empty text"
        raise Refusal(wanted, None)
    return Secret(found)


def callable_itself(value: Any, _kind: Any) -> Any:
    """What can be called, as it is."""
    if not callable(value):
        wanted = "a callable"
        raise Refusal(wanted, value)
    return value


def text(value: Any, kind: Any) -> Any:
    """A text, or the member of an enum of texts."""
    if issubclass(kind, enum.Enum):
        # cattrs finds a hook by class first, and a StrEnum is a str.
        return enum_member(value, kind)
    if not isinstance(value, str):
        wanted = "a text"
        raise Refusal(wanted, value)
    return _unquoted(value)


def scalar(kinds: type | tuple[type, ...], wanted: str) -> Callable[[Any, Any], Any]:
    """Makes the function for numbers, or for booleans."""

    def structure(value: Any, _kind: Any) -> Any:
        value = plain(value)
        # A bool is an int to Python, but never what a person meant by a number.
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise Refusal(wanted, value)
        if isinstance(value, float) and not math.isfinite(value):
            raise Refusal(wanted, value)
        return value

    return structure


def plain(value: Any) -> Any:
    """A value that is not meant as text: what comes from the environment is read as TOML."""
    return value.parsed() if isinstance(value, EnvironmentText) else value


def _unquoted(value: Any) -> Any:
    return value.unquoted() if isinstance(value, EnvironmentText) else value
