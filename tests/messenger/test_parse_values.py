"""All forms of ids and times."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from tests.strategies import PERSON_ID, item, webhook

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("party", "user_id"),
    [
        ({"id": 6200000000000001}, PERSON_ID),
        ({"user_ref": "ref-1"}, "ref-1"),
        ({}, None),
        ({"id": True}, None),
        ({"id": 1.5}, None),
        ({"id": ""}, None),
        (None, None),
        (True, None),
    ],
)
def test_person(party: Any, user_id: str | None) -> None:
    """An id may be a number, the reference of a plugin, or missing."""
    (event,) = parse_webhook(webhook(item(message={"mid": "m"}, sender=party)))
    assert user_id == event.user_id


@pytest.mark.parametrize(
    ("timestamp", "wanted"),
    [
        (1_767_225_600_000, MOMENT),
        (1_767_225_600, MOMENT),
        ("1767225600000", MOMENT),
        ("1767225600", MOMENT),
        (1_767_225_600.0, MOMENT),
        (999_999_999_999, None),
        (1_000_000_000_000, datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)),
        (4_102_444_799_999, datetime(2099, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        (253_402_300_799_000, None),
        (253_402_300_798.5, datetime(9999, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)),
        (2**64 - 1, None),
        (1e308, None),
        (0, None),
        ("0", None),
        (-1, None),
        ("-1", None),
        ("", None),
        ("soon", None),
        ("²", None),
        ("2026-01-01T00:00:00+0000", MOMENT),
        ("2026-01-01T00:00:00Z", MOMENT),
        ("2026-01-01T02:00:00.000+02:00", MOMENT),
        ("2026-01-01T00:00:00", None),
        ("2026-01-01", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("2026-13-01T00:00:00Z", None),
        ("9" * 5000, None),
        (True, None),
        ([], None),
        (None, None),
    ],
)
def test_timestamp(timestamp: Any, wanted: datetime | None) -> None:
    """Seconds and milliseconds as numbers or text, and ISO 8601; ``None`` for anything else."""
    (event,) = parse_webhook(webhook(item(message={"mid": "m"}, timestamp=timestamp)))
    assert wanted == event.timestamp


@given(st.integers(min_value=10**12, max_value=4_102_444_799_999))
def test_milliseconds_are_exact(timestamp: int) -> None:
    """Milliseconds are not rounded."""
    (event,) = parse_webhook(webhook(item(message={"mid": "m"}, timestamp=timestamp)))
    assert event.timestamp is not None
    assert timestamp == round(event.timestamp.timestamp() * 1000)
