"""A process is killed and started again on the same machine: it goes on at once, however long its leases were."""

from __future__ import annotations

from pathlib import Path

from tests.faults.fault_run import FaultRun, fault_run
from tests.faults.fault_server import Mode
from tests.faults.history import StepKind

LEASE_SECONDS = 60.0
AT_ONCE_SECONDS = 8.0
"""For starting, sending and a busy machine."""


def with_long_leases(run: FaultRun) -> None:
    run.settings["kochava"]["delivery"]["lease_seconds"] = LEASE_SECONDS
    run.settings["bot"]["inbox"]["lease_seconds"] = LEASE_SECONDS


async def test_a_worker_that_is_started_again_sends_at_once_what_it_had_claimed(
    address: str, tmp_path: Path, seed: int
) -> None:
    """Its predecessor is dead for certain; what a live process has leased stays its own."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        with_long_leases(run)
        run.mode = lambda: Mode.HANG
        bot = await run.start(is_bot=True)
        killed = await run.start("killed", is_worker=True)
        await run.people(8)
        await run.until(lambda: sum(step.kind is StepKind.NOT_TAKEN for step in run.steps) >= 8)
        await run.kill(killed)
        run.mode = lambda: Mode.OK
        killed_at = run.clock.monotonic()
        again = await run.start("again", is_worker=True)
        await run.drained(within_seconds=LEASE_SECONDS / 2)
        assert run.clock.monotonic() - killed_at < AT_ONCE_SECONDS
        await run.check()
        await run.stop(again)
        await run.stop(bot)


async def test_a_bot_that_is_started_again_handles_at_once_what_it_had_begun(
    address: str, tmp_path: Path, seed: int
) -> None:
    """Also while another bot, which is alive, has events leased."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        with_long_leases(run)
        killed = await run.start("killed", is_bot=True, is_worker=True, handler_seconds=60)
        people = await run.people(8)
        await run.write_times(people, 1)
        await run.kill(killed)
        killed_at = run.clock.monotonic()
        again = await run.start("again", is_bot=True, is_worker=True)
        await run.drained(within_seconds=LEASE_SECONDS / 2)
        assert run.clock.monotonic() - killed_at < AT_ONCE_SECONDS
        await run.check()
        await run.stop(again)


async def test_a_process_that_starts_leaves_the_leases_of_one_that_lives(
    address: str, tmp_path: Path, seed: int
) -> None:
    """Though both are on one machine."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        with_long_leases(run)
        busy = await run.start("busy", is_bot=True, handler_seconds=3)
        people = await run.people(4)
        await run.write_times(people, 1)
        others = [await run.start("new", is_bot=True, is_worker=True) for _ in range(2)]
        await run.drained()
        # Each was recorded once, by whoever handled it.
        await run.check()
        for child in (busy, *others):
            await run.stop(child)
