"""A machine that is gone for good: another one goes on with its lanes, within one lease."""

from __future__ import annotations

from pathlib import Path

from tests.faults.fault_server import Mode
from tests.faults.history import StepKind
from tests.faults.short_settings import DELIVERY_LEASE_SECONDS, INBOX_LEASE_SECONDS
from tests.faults.stage import stage

GRACE_SECONDS = 1.0
"""For claiming, sending and a busy machine."""


async def test_lanes_of_a_dead_worker_are_served_within_one_lease(address: str, tmp_path: Path, seed: int) -> None:
    """It dies with eight requests under way; the other worker has been there all the time."""
    async with stage(tmp_path, address, seed=seed) as place:
        place.mode = lambda: Mode.HANG
        dying = await place.begin("dying", is_bot=True, is_worker=True)
        people = await place.people(8)
        await place.say(people, times=3)
        began = place.clock.monotonic()
        while sum(step.kind is StepKind.NOT_TAKEN for step in place.steps) < 8:
            assert place.clock.monotonic() - began < 10
            await place.clock.sleep(0.01)
        place.mode = lambda: Mode.OK
        other = await place.begin("other", is_bot=True, is_worker=True)
        await place.kill(dying)
        died_at = place.clock.monotonic()
        await place.drained(within_seconds=10)
        served_after = place.clock.monotonic() - died_at
        await place.judge()
        await place.stop(other)

    assert served_after < DELIVERY_LEASE_SECONDS + GRACE_SECONDS


async def test_events_of_a_dead_bot_are_handled_within_one_lease(address: str, tmp_path: Path, seed: int) -> None:
    """It dies amid its handlers; the people hear of it from the other one, in their order."""
    async with stage(tmp_path, address, seed=seed) as place:
        other = await place.begin("other", is_bot=True, is_worker=True)
        people = await place.people(8)
        dying = await place.begin("dying", is_bot=True, handler_seconds=60)
        await place.say(people, times=3)
        await place.kill(dying)
        died_at = place.clock.monotonic()
        await place.drained(within_seconds=10)
        served_after = place.clock.monotonic() - died_at
        await place.judge()
        await place.stop(other)

    assert served_after < INBOX_LEASE_SECONDS + GRACE_SECONDS
