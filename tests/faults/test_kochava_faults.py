"""Every fault of Kochava, one after the other, while users write: each record arrives, in order."""

from __future__ import annotations

import asyncio
import functools
import random
from pathlib import Path

import pytest

from tests.faults.fault_run import FaultRun, fault_run
from tests.faults.fault_server import Mode
from tests.faults.history import StepKind
from tests.faults.short_settings import DELIVERY_LEASE_SECONDS

FAULTS = (
    Mode.STATUS,
    Mode.RESET,
    Mode.HALF_BODY,
    Mode.HALF_HEADER,
    Mode.HANG,
    Mode.SLOW,
    Mode.TOO_MANY_SECONDS,
    Mode.TOO_MANY_DATE,
)
CUTTING = (Mode.RESET, Mode.HALF_HEADER)
PHASE_SECONDS = 0.5


def seen(run: FaultRun) -> set[str]:
    return {step.note for step in run.steps if step.kind in (StepKind.TAKEN, StepKind.NOT_TAKEN)}


def _half_of_them(fault: Mode, chance: random.Random) -> Mode:
    return fault if chance.random() < 0.5 else Mode.OK


async def make_faults(run: FaultRun, chance: random.Random) -> None:
    """Each fault for a while, mixed with good answers, then a closed port, then all faults at random."""
    run.kochava.retry_after = 1
    # Longer than the worker waits: it is taken, and the worker does not know.
    run.kochava.slow_seconds = DELIVERY_LEASE_SECONDS / 2
    for fault in FAULTS:
        run.mode = functools.partial(_half_of_them, fault, chance)
        await run.clock.sleep(PHASE_SECONDS)
        await run.until(lambda: fault.value in seen(run))  # noqa: B023 - called before the next fault
    await run.kochava.down()
    await run.clock.sleep(PHASE_SECONDS)
    await run.kochava.up()
    run.mode = lambda: chance.choice((*FAULTS, Mode.OK, Mode.OK))
    await run.clock.sleep(2 * PHASE_SECONDS)
    run.mode = lambda: Mode.OK


async def test_no_fault_of_kochava_loses_or_reorders(address: str, tmp_path: Path, seed: int) -> None:
    """A separate worker and a bot with one inside, on one store."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        chance = random.Random(seed)
        children = [await run.start(is_bot=True, is_worker=True), await run.start(is_worker=True)]
        people = await run.people(15)
        over = asyncio.Event()
        writing = asyncio.create_task(run.write(people, until=over, pause=(0.02, 0.2)))
        await make_faults(run, chance)
        over.set()
        await writing
        await run.drained()
        await run.check()
        for child in children:
            await run.stop(child)

        assert {mode.value for mode in (*FAULTS, Mode.OK)} == seen(run)


@pytest.mark.parametrize("mode", [Mode.TOO_MANY_SECONDS, Mode.TOO_MANY_DATE])
async def test_no_request_is_sent_while_kochava_asks_to_wait(mode: Mode, tmp_path: Path, seed: int) -> None:
    """Both forms of Retry-After: meanwhile only requests that were under way arrive."""
    async with fault_run(tmp_path, f"sqlite:///{tmp_path / 'bot.db'}", seed=seed) as run:
        arrivals: list[float] = []
        run.on_arrival = lambda _name: arrivals.append(run.clock.monotonic())
        run.kochava.retry_after = 2
        run.mode = lambda: mode
        await run.start(is_bot=True, is_worker=True)
        await run.write_times(await run.people(15), 1)
        await run.until(lambda: bool(arrivals))
        await run.clock.sleep(arrivals[0] + 0.95 - run.clock.monotonic())
        early = [at - arrivals[0] for at in arrivals]
        run.mode = lambda: Mode.OK
        await run.drained()
        await run.check()

    assert [] == [at for at in early if at > 0.5], early


@pytest.mark.parametrize("mode", CUTTING)
async def test_a_ping_is_sent_once_per_attempt(mode: Mode, tmp_path: Path, seed: int) -> None:
    """A connection that is cut off ends the attempt; only the worker repeats it."""
    async with fault_run(tmp_path, f"sqlite:///{tmp_path / 'bot.db'}", seed=seed) as run:
        await run.start(is_bot=True, is_worker=True)
        people = await run.people(4)
        run.mode = lambda: mode
        await run.write_times(people, 1)
        await run.until(lambda: mode.value in seen(run))
        await run.clock.sleep(PHASE_SECONDS)
        run.mode = lambda: Mode.OK
        await run.drained()
        await run.check()
