"""A process that is killed and not started again: another one takes over its work within one lease."""

from __future__ import annotations

from pathlib import Path

from tests.faults.fault_run import fault_run
from tests.faults.fault_server import Mode
from tests.faults.history import StepKind
from tests.faults.short_settings import DELIVERY_LEASE_SECONDS, INBOX_LEASE_SECONDS

GRACE_SECONDS = 1.0
"""For claiming, sending and a busy machine."""


async def test_records_of_a_killed_worker_are_sent_within_one_lease(address: str, tmp_path: Path, seed: int) -> None:
    """It is killed with eight requests under way; the other worker is already running."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        run.mode = lambda: Mode.HANG
        killed = await run.start("killed", is_bot=True, is_worker=True)
        people = await run.people(8)
        await run.write_times(people, 3)
        await run.until(lambda: sum(step.kind is StepKind.NOT_TAKEN for step in run.steps) >= 8)
        run.mode = lambda: Mode.OK
        other = await run.start("other", is_bot=True, is_worker=True)
        await run.kill(killed)
        killed_at = run.clock.monotonic()
        await run.drained(within_seconds=10)
        taken_over_after = run.clock.monotonic() - killed_at
        await run.check()
        await run.stop(other)

    assert taken_over_after < DELIVERY_LEASE_SECONDS + GRACE_SECONDS


async def test_events_of_a_killed_bot_are_handled_within_one_lease(address: str, tmp_path: Path, seed: int) -> None:
    """It is killed while handlers run; the other one handles the events, in order."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        other = await run.start("other", is_bot=True, is_worker=True)
        people = await run.people(8)
        killed = await run.start("killed", is_bot=True, handler_seconds=60)
        await run.write_times(people, 3)
        await run.kill(killed)
        killed_at = run.clock.monotonic()
        await run.drained(within_seconds=10)
        taken_over_after = run.clock.monotonic() - killed_at
        await run.check()
        await run.stop(other)

    assert taken_over_after < INBOX_LEASE_SECONDS + GRACE_SECONDS
