"""How an export of Kochava is read."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.exceptions import KochavaBotError
from kochava_bot_middleware.reporting.reconciliation import Columns, exported_in

NAMES = ("when", "event", "n")


def read(when: str = "2026-11-27", count: str = "1", *, zone: tzinfo = UTC) -> dict[tuple[date, str], int]:
    """One row."""
    columns = Columns(date="when", event="event", count="n", zone=zone)
    return dict(exported_in([{"when": when, "event": "Rating", "n": count}], NAMES, columns))


@pytest.mark.parametrize(
    ("when", "zone", "day"),
    [
        ("2026-11-28 00:30", "Europe/Berlin", 27),
        ("2026-11-28 01:00", "Europe/Berlin", 28),
        ("2026-11-27 19:30", "America/New_York", 28),
        ("2026-11-27 23:59:59.999", "UTC", 27),
        ("2026-11-28T00:30:00+01:00", "America/New_York", 27),
        ("2026-11-28T00:30:00Z", "America/New_York", 28),
        ("1795737600", "America/New_York", 27),
    ],
)
def test_time_counts_on_its_day_of_utc(when: str, zone: str, day: int) -> None:
    """A time of its own zone, or of the one that is given."""
    assert {(date(2026, 11, day), "Rating"): 1} == read(when, zone=ZoneInfo(zone))


@pytest.mark.parametrize("when", ["2026-11-27", " 2026-11-27 ", "20261127"])
def test_day_without_a_time_is_one_of_utc(when: str) -> None:
    """With and without hyphens."""
    assert {(date(2026, 11, 27), "Rating"): 1} == read(when)


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("1234", 1234),
        (" 12 ", 12),
        ("12.0", 12),
        ("0", 0),
        ("1,234", 1234),
        ("1.234", 1234),
        ("1 234 567", 1_234_567),
        ("1\u00a0234", 1234),
        ("1\u202f234", 1234),
        ("1'234", 1234),
    ],
)
def test_count_may_have_a_mark_between_thousands(written: str, count: int) -> None:
    """Whichever a spreadsheet writes."""
    assert {(date(2026, 11, 27), "Rating"): count} == read(count=written)


@pytest.mark.parametrize(
    "written", ["", "1,5", "1.5", "1,23", "1,234.567", "-1", "many", "nan", "1e999999999", "9" * 16]
)
def test_count_that_is_no_whole_number_names_its_row(written: str) -> None:
    """A decimal comma is not taken for a mark between thousands."""
    with pytest.raises(KochavaBotError, match=r"row 2, column 'n': wanted a whole number, got"):
        read(count=written)


@given(when=st.text(), count=st.text())
def test_whatever_is_in_a_row_is_read_or_refused(when: str, count: str) -> None:
    """Nothing else is raised."""
    with suppress(KochavaBotError):
        assert read(when, count, zone=ZoneInfo("Asia/Tokyo"))


@pytest.mark.parametrize("when", ["0001-01-01 00:00", "9999-12-31 23:59-05:00", "9" * 30, "1764201600000"])
def test_time_out_of_range_names_its_row(when: str) -> None:
    """It cannot be converted to UTC, or is no time in seconds."""
    with pytest.raises(KochavaBotError, match=r"row 2, column 'when': wanted a date or time"):
        read(when, zone=ZoneInfo("Asia/Tokyo"))
