"""Compares an export of Kochava with the counters, by day and event. Purely from values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal

import attrs

from ..exceptions import KochavaBotError
from ..kochava.records import Engagement
from ..store.records import DayCount
from ..tracking.counting import Facts
from .report import date_of

DayEvent = tuple[date, str]

_WHOLE_NUMBER = re.compile(
    r"(?P<plain>[0-9]{1,15})(\.0?)?|[0-9]{1,3}(?P<mark>[,.'\u2019\x20\xa0\u202f])[0-9]{3}((?P=mark)[0-9]{3}){0,3}"
)
"""Plain, as ``12`` or ``12.0``, or with a mark between thousands: ``1,234`` and ``1.234`` are the same."""


@attrs.frozen(kw_only=True)
class Columns:
    """
    Names of the columns of an export.

    Attributes:
        count: How many events a row stands for; ``None``: one.
        zone: Of times that do not name theirs.
    """

    date: str
    event: str
    count: str | None = None
    zone: tzinfo = UTC


@attrs.frozen(kw_only=True)
class Difference:
    """A day and event of which the export has another number than was delivered."""

    day: date
    event: str
    delivered: int
    exported: int


def exported_in(rows: Iterable[Mapping[str, str | None]], names: Iterable[str], columns: Columns) -> Counter[DayEvent]:
    """
    The events of an export by day, in UTC, and name.

    Raises:
        KochavaBotError: A column is missing or there more than once, or what is in a row cannot be read.
    """
    names = list(names)
    for name in (columns.date, columns.event, *(() if columns.count is None else (columns.count,))):
        if name not in names:
            msg = f"the export has no column {name!r}; it has {', '.join(map(repr, names)) or 'none'}"
            raise KochavaBotError(msg)
        if names.count(name) > 1:
            msg = f"the export has {names.count(name)} columns {name!r}: rename all but the one that is meant"
            raise KochavaBotError(msg)
    exported: Counter[DayEvent] = Counter()
    for number, row in enumerate(rows, 2):
        day = _day(row[columns.date] or "", columns, number)
        count = 1 if columns.count is None else _count(row[columns.count] or "", columns.count, number)
        exported[day, (row[columns.event] or "").strip()] += count
    return exported


def delivered_in(counts: Iterable[DayCount]) -> Counter[DayEvent]:
    """The delivered events by day and name."""
    delivered: Counter[DayEvent] = Counter()
    for each in counts:
        facts = Facts.from_text(each.facts)
        if facts is not None and facts.kind == Engagement.kind and each.what.startswith("done:"):
            delivered[date_of(each.day), facts.name] += each.count
    return delivered


def differences(
    delivered: Counter[DayEvent], exported: Counter[DayEvent], *, tolerance: Decimal
) -> Iterator[Difference]:
    """
    What differs by more than *tolerance*, a part of what was delivered, in the order of days.

    Both are compared on the days that the export has: it is rarely of the same days as the counters.
    """
    days = {day for day, _ in exported}
    if not days:
        return
    for key in sorted(delivered.keys() | exported.keys()):
        day, event = key
        ours, theirs = delivered[key], exported[key]
        if min(days) <= day <= max(days) and abs(ours - theirs) > tolerance * ours:
            yield Difference(day=day, event=event, delivered=ours, exported=theirs)


def _day(text: str, columns: Columns, number: int) -> date:
    text = text.strip()
    try:
        if (day := _day_without_time(text)) is None:
            moment = datetime.fromtimestamp(int(text), UTC) if text.isdigit() else datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=columns.zone)).astimezone(UTC).date()
    except (OSError, OverflowError, ValueError):
        msg = f"row {number}, column {columns.date!r}: wanted a date or time such as 2026-11-01 13:00, got {text!r}"
        raise KochavaBotError(msg) from None
    if columns.zone is not UTC:
        msg = f"row {number}, column {columns.date!r}: a day without a time is one of UTC; leave out --timezone"
        raise KochavaBotError(msg)
    return day


def _day_without_time(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _count(text: str, column: str, number: int) -> int:
    found = _WHOLE_NUMBER.fullmatch(text.strip())
    if found is None:
        msg = f"row {number}, column {column!r}: wanted a whole number, got {text!r}"
        raise KochavaBotError(msg)
    return int(found["plain"] or "".join(filter(str.isdigit, found[0])))
