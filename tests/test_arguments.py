"""Checks of the arguments of calls."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware import TrackingError
from kochava_bot_middleware.arguments import AHEAD_SECONDS, checked_device_ids, optional_time, people_named

NOW = 1_800_000_000.5
OWN_KEYS = {"fb_user_id", "ig_user_id", "fb_user_ref"}


@given(seconds=st.floats(0, NOW + AHEAD_SECONDS), hours=st.integers(-14, 14))
def test_a_datetime_and_its_seconds_are_the_same_time(seconds: float, hours: int) -> None:
    """In whatever zone, and never after now."""
    moment = datetime.fromtimestamp(seconds, timezone(timedelta(hours=hours)))
    found = optional_time(seconds, now=NOW)
    assert found is not None
    assert found <= NOW
    assert abs(found - min(seconds, NOW)) <= 1
    at_moment = optional_time(moment, now=NOW) if moment.timestamp() <= NOW + AHEAD_SECONDS else found
    assert at_moment is not None
    assert abs(at_moment - found) <= 1


def test_no_time_is_none() -> None:
    """The event happened now."""
    assert optional_time(None, now=NOW) is None


@given(seconds=st.floats(min_value=1, allow_nan=False) | st.integers(min_value=1))
def test_a_time_over_an_hour_ahead_is_refused(seconds: float) -> None:
    """Such as milliseconds, or any number, however large."""
    with pytest.raises(TrackingError, match=r"more than an hour in the future|not finite"):
        optional_time(seconds + int(NOW + AHEAD_SECONDS) + 1, now=NOW)


@pytest.mark.parametrize(
    ("time", "why"),
    [
        (datetime(2026, 9, 1), "without a time zone; add it"),  # noqa: DTZ001
        (datetime(2026, 9, 1, tzinfo=UTC).date(), "a value of type date"),
        ("2026-09-01T00:00:00Z", "a text"),
        (True, "a value of type bool"),
        (math.nan, "not finite"),
        (math.inf, "not finite"),
        (-1, "before 1970"),
        (datetime(1969, 1, 1, tzinfo=UTC), "before 1970"),
    ],
)
def test_what_is_no_time_is_refused(time: Any, why: str) -> None:
    """The error says what is wanted, and what was got."""
    with pytest.raises(TrackingError, match=f"`time` is a datetime with a time zone, or seconds.*, got .*{why}"):
        optional_time(time, now=NOW)


@pytest.mark.parametrize(
    ("given_ids", "why"),
    [
        ({}, "`device_ids` holds ids by name, .*got a dict of 0"),
        (["adid"], "`device_ids` holds ids by name, .*got a list of 1"),
        ({5: "x"}, "got a value of type int as name"),
        ({" ": "x"}, "got a text as name"),
        ({"adid": ""}, r"`device_ids\['adid'\]` is one id, .*got an empty text"),
        ({"adid": "\ud800"}, "half a character"),
        ({"fb_user_id": "5"}, "wanted as `user_id`"),
        ({"account": "anna@example.org"}, "may be an e-mail address or telephone number"),
        ({"account": "anna%40example.org"}, "may be an e-mail address or telephone number"),
        ({"phone": "491701234567"}, "may be an e-mail address or telephone number"),
        ({"account": "+49 170 1234567"}, "may be an e-mail address or telephone number"),
    ],
)
def test_what_are_no_device_ids_is_refused(given_ids: Any, why: str) -> None:
    """The error repeats no id."""
    with pytest.raises(TrackingError, match=why) as caught:
        checked_device_ids(given_ids, own_keys=OWN_KEYS)
    assert "anna" not in str(caught.value)


@given(
    st.dictionaries(st.sampled_from(["adid", "idfa", "android_id", "imei"]), st.uuids() | st.integers(1), min_size=1)
)
def test_device_ids_are_texts(ids: dict[str, Any]) -> None:
    """Whole numbers included, since databases keep ids so."""
    given_ids = {key: value if isinstance(value, int) else str(value) for key, value in ids.items()}
    expected = {key: str(value) for key, value in ids.items()}
    assert expected == checked_device_ids(given_ids, own_keys=OWN_KEYS)


def test_a_call_names_a_person_by_all_their_ids() -> None:
    """Or by one."""
    assert ["5", "adid:a", "idfv:b"] == people_named(5, {"adid": "a", "idfv": "b"}, own_keys=OWN_KEYS)
    assert ["5"] == people_named("5", None, own_keys=OWN_KEYS)
    assert ["adid:a"] == people_named(None, {"adid": "a"}, own_keys=OWN_KEYS)
    with pytest.raises(TrackingError, match="`user_id` is one id"):
        people_named(None, None, own_keys=OWN_KEYS)
