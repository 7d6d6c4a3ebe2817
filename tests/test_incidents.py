"""One log line an incident."""

from __future__ import annotations

import logging

import pytest

from kochava_bot_middleware.incidents import Incidents
from tests.fakes import VirtualClock
from tests.tracking.tracked_bot import USER_ID, tracked_bot

ROOM = "kochava_bot_middleware.room"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def incidents(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> Incidents:
    caplog.set_level(logging.INFO)
    return Incidents(clock, logging.getLogger(ROOM))


def test_an_incident_is_told_when_it_begins_once_a_minute_and_when_it_is_over(
    incidents: Incidents, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it happens."""
    for _ in range(121):
        incidents.report("store_failed", "track", reason="StoreUnavailable")
        clock.stall(1)
    incidents.over("store_failed", "track")
    incidents.over("store_failed", "track")
    line = "store_failed track StoreUnavailable"
    again = f"{line} (60 more)"
    assert [line, again, again, "store_failed track is over (121 in all)"] == caplog.messages


def test_subjects_are_incidents_of_their_own(incidents: Incidents, caplog: pytest.LogCaptureFixture) -> None:
    """What is empty leaves no gap in the line."""
    incidents.report("store_failed", "track")
    incidents.report("store_failed", reason="StoreUnavailable")
    assert ["store_failed track", "store_failed StoreUnavailable"] == caplog.messages


def test_each_room_has_its_logger(incidents: Incidents, caplog: pytest.LogCaptureFixture) -> None:
    """So that one of them can be made silent."""
    incidents.report("store_failed")
    assert [ROOM] == [record.name for record in caplog.records]


async def test_problems_of_data_as_a_whole_can_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """They have no key to name."""
    bot = tracked_bot()
    async with bot.kochava:
        await bot.kochava.track("Rated", object(), user_id=USER_ID)
        await bot.kochava.track("Rated", {7: 1}, user_id=USER_ID)
        await bot.kochava.identify([], user_id=USER_ID)  # type: ignore[arg-type]
    assert [
        "event_data_problem Rated: its data is of type object, which JSON cannot represent",
        "event_data_problem Rated.(a key of type int) is not text",
        "identity_problem identities is not a mapping",
    ] == caplog.messages
    assert {"kochava_bot_middleware.tracking"} == {record.name for record in caplog.records}
