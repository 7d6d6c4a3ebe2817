"""
Single values of a webhook, read without trusting their types.

Facebook's own samples disagree on types: ids are text or numbers, times are seconds, milliseconds or text. Each
function here takes whatever JSON may hold and gives one type, or ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypedDict

from ..events import Channel, HopContext, PriorMessage, Referral

_FIRST_MILLISECONDS = 10**12
"""Figures below are seconds: as milliseconds they would be times before September 2001."""

_END_OF_TIME = 253_402_300_799
"""The last second that a `datetime` can hold."""

_LONGEST_FIGURE = 18
"""Digits of a number given as text; longer text is no number the platform would send."""

_LONGEST_CALENDAR_TIME = 40
"""Characters of a date with time, fraction and offset, and some more."""

_WIDEST_ID_BITS = 64

_NOTHING: dict[str, Any] = {}


class Frame(TypedDict):
    """The fields that every event has, as arguments of its class."""

    channel: Channel
    page_id: str | None
    user_id: str | None
    timestamp: datetime | None
    standby: bool
    raw: Mapping[str, Any]
    attempt: int
    referral: Referral | None
    prior_message: PriorMessage | None
    hop_context: tuple[HopContext, ...]


def text(value: Any) -> str | None:
    """Text as it is, a whole number in its digits, ``None`` for all else."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _WIDEST_ID_BITS:
        return str(value)
    return None


def identifier(value: Any) -> str | None:
    """As `text`, but empty text is ``None``."""
    return (value if type(value) is str else text(value)) or None


def integer(value: Any) -> int | None:
    """A whole number, also one given as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and len(value) <= _LONGEST_FIGURE and value.isascii() and value.isdigit():
        return int(value)
    return None


def moment(value: Any) -> datetime | None:
    """
    A time in seconds or milliseconds since the epoch, told apart by size, or in ISO 8601 with its offset.

    ``None`` for zero and what is no time.
    """
    figure = value if type(value) is int or type(value) is float else integer(value)
    if figure is None:
        return _calendar_time(value) if isinstance(value, str) else None
    if not 0 < figure < _END_OF_TIME * 1000:
        return None
    if figure >= _FIRST_MILLISECONDS:
        figure /= 1000
    return datetime.fromtimestamp(figure, UTC) if figure < _END_OF_TIME else None


def _calendar_time(value: str) -> datetime | None:
    """As the Graph API writes times, such as ``2026-01-01T00:00:00+0000``."""
    if len(value) > _LONGEST_CALENDAR_TIME:
        return None
    try:
        time = datetime.fromisoformat(value)
        return None if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def members(value: Any) -> dict[str, Any]:
    """The object itself; an empty one for all else."""
    return value if isinstance(value, dict) else _NOTHING


def objects(value: Any) -> list[dict[str, Any]]:
    """Those items of a list that are objects."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def identifiers(value: Any) -> tuple[str, ...]:
    """Those items of a list that are ids."""
    found = map(identifier, value) if isinstance(value, list) else ()
    return tuple(item for item in found if item is not None)


def person(party: Any) -> str | None:
    """The id of a ``sender`` or ``recipient``: ``id``, or the ``user_ref`` of a plugin."""
    if not isinstance(party, dict):
        return None
    return identifier(party.get("id")) or identifier(party.get("user_ref"))


def referral(value: Any) -> Referral | None:
    """A ``referral``, wherever the platform puts it."""
    if not isinstance(value, dict):
        return None
    return Referral(
        ref=identifier(value.get("ref")),
        source=identifier(value.get("source")),
        type=identifier(value.get("type")),
        ad_id=identifier(value.get("ad_id")),
        referer_uri=identifier(value.get("referer_uri")),
        is_guest_user=value.get("is_guest_user") is True,
        ads_context=members(value.get("ads_context_data")),
        product_id=identifier(members(value.get("product")).get("id")),
    )


def prior_message(value: Any) -> PriorMessage | None:
    """A ``prior_message``."""
    if not isinstance(value, dict):
        return None
    return PriorMessage(source=identifier(value.get("source")), identifier=identifier(value.get("identifier")))


def hop_context(value: Any) -> tuple[HopContext, ...]:
    """A ``hop_context``: one object, or a list of them."""
    hops = objects([value] if isinstance(value, dict) else value)
    return tuple(HopContext(app_id=identifier(hop.get("app_id")), metadata=text(hop.get("metadata"))) for hop in hops)
