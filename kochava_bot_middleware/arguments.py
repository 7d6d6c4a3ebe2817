"""
Arguments of calls, checked. Ids may be given as whole numbers, since databases keep them so.

No message repeats an id: it may be in a log.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NoReturn, TypeAlias

from .exceptions import TrackingError
from .kochava.contact_details import holds_contact_details
from .messenger.events import Channel
from .settings import describe, kind_of

Id: TypeAlias = str | int

Ids: TypeAlias = Mapping[str, Id]
"""Ids by name."""

AHEAD_SECONDS = 3600.0
"""How far in the future the time of an event may be: clocks differ."""


def checked_id(name: str, value: object) -> str:
    """The argument *name* as text; raises a `TrackingError` if it is no id."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        got = "an empty text" if isinstance(value, str) else kind_of(value)
        msg = f"`{name}` is one id, as a text that is not empty or a whole number, got {got}"
        raise TrackingError(msg)
    try:
        value.encode()
    except UnicodeEncodeError:
        msg = f"`{name}` holds half a character (a lone surrogate), which cannot be stored or sent"
        raise TrackingError(msg) from None
    return value


def optional_id(name: str, value: object) -> str | None:
    """As `checked_id`; ``None`` stays."""
    return None if value is None else checked_id(name, value)


def optional_channel(value: object) -> Channel | None:
    """The argument ``channel``, which may be ``None``; raises a `TrackingError` if there is no such channel."""
    if value is None:
        return None
    channel = next((one for one in Channel if one == value), None)
    if channel is None:
        msg = f"`channel` is one of {', '.join(repr(one.value) for one in Channel)}, got {describe(value)}"
        raise TrackingError(msg)
    return channel


def optional_time(value: object, *, now: float, known: Iterable[datetime | None] = ()) -> int | None:
    """
    The argument ``time``, which may be ``None``, in whole seconds since the epoch, and not after *now*.

    Args:
        known: Times of the events being handled. None of them is refused, also where the clock of this machine was set
            back.

    Raises:
        TrackingError: It is no time, has no time zone, or is more than an hour in the future.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            _refuse_time("one without a time zone; add it, as in `datetime.now(UTC)`")
        value = value.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse_time(kind_of(value))
    if isinstance(value, float) and not math.isfinite(value):
        _refuse_time("a number that is not finite")
    if value > now + AHEAD_SECONDS and value > max((each.timestamp() for each in known if each is not None), default=0):
        _refuse_time("one that is more than an hour in the future; give seconds, not milliseconds")
    if value < 0:
        _refuse_time("one before 1970")
    return int(min(value, now))


def _refuse_time(got: str) -> NoReturn:
    msg = f"`time` is a datetime with a time zone, or seconds since the epoch, got {got}"
    raise TrackingError(msg)


def checked_device_ids(value: object, *, own_keys: Collection[str]) -> dict[str, str]:
    """
    The argument ``device_ids``, which may be ``None``, as texts by name.

    Args:
        own_keys: Names under which ids of Messenger and Instagram are sent.

    Raises:
        TrackingError: It is no mapping of ids; or one is that of Messenger, or an e-mail address or telephone number.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not value:
        msg = f'`device_ids` holds ids by name, such as {{"adid": "38400000-8cf0-…"}}, got {kind_of(value)}'
        raise TrackingError(msg)
    ids: dict[str, str] = {}
    for key, given in value.items():
        if not isinstance(key, str) or not key.strip() or not key.isprintable():
            msg = f"`device_ids` holds ids by name, such as `adid` or `idfa`, got {kind_of(key)} as name"
            raise TrackingError(msg)
        where = f"device_ids[{key[:100]!r}]"
        if key in own_keys:
            msg = f"`{where}`: an id of Messenger or Instagram is wanted as `user_id`, with its `channel`, got it here"
            raise TrackingError(msg)
        ids[key] = checked_id(where, given)
        if holds_contact_details(f"{key}={ids[key]}"):
            msg = f"`{where}` is the id of a device or account, got what may be an e-mail address or telephone number"
            raise TrackingError(msg)
    return ids


def name_of_device_id(key: str, value: str) -> str:
    """What stands for the id of a person of whom no id of Messenger or Instagram is known."""
    return f"{key}:{value}"


def people_named(user_id: object, device_ids: object, *, own_keys: Collection[str]) -> list[str]:
    """
    The ids of the people whom a call names by ``user_id`` or ``device_ids``, one person perhaps by several.

    Raises:
        TrackingError: Nobody is named, or an argument is no id.
    """
    if device_ids is None:
        return [checked_id("user_id", user_id)]
    names = [name_of_device_id(*each) for each in checked_device_ids(device_ids, own_keys=own_keys).items()]
    return names if user_id is None else [checked_id("user_id", user_id), *names]
