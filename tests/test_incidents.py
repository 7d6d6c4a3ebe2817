"""How incidents are logged."""

from __future__ import annotations

import logging

import pytest

from kochava_bot_middleware.incidents import Incidents
from tests.fakes import VirtualClock
from tests.tracking.stage import USER_ID, stage

LOGGER = "kochava_bot_middleware.example"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def incidents(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> Incidents:
    caplog.set_level(logging.INFO)
    return Incidents(clock, logging.getLogger(LOGGER))


def test_incident_is_logged_when_it_begins_once_a_minute_and_when_it_is_over(
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


def test_each_subject_is_an_incident(incidents: Incidents, caplog: pytest.LogCaptureFixture) -> None:
    """An empty subject leaves no gap in the line."""
    incidents.report("store_failed", "track")
    incidents.report("store_failed", reason="StoreUnavailable")
    assert ["store_failed track", "store_failed StoreUnavailable"] == caplog.messages


def test_incidents_use_the_logger_that_they_are_given(incidents: Incidents, caplog: pytest.LogCaptureFixture) -> None:
    """So that the lines of one package can be switched off."""
    incidents.report("store_failed")
    assert [LOGGER] == [record.name for record in caplog.records]


async def test_problems_of_data_as_a_whole_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """They have no key."""
    on = stage()
    await on.kochava.track("Rated", object(), user_id=USER_ID)
    await on.kochava.track("Rated", {7: 1}, user_id=USER_ID)
    await on.kochava.identify([], user_id=USER_ID)  # type: ignore[arg-type]
    assert [
        "event_data_problem Rated: its data is of type object, which JSON does not have",
        "event_data_problem Rated.(a key of type int) is not text",
        "identity_problem identities is not a mapping",
    ] == caplog.messages
    assert {"kochava_bot_middleware.tracking"} == {record.name for record in caplog.records}
