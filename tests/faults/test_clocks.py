"""The machine's clock is set forwards and backwards, by seconds and by an hour, while users write and requests fail."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from kochava_bot_middleware.queues.consumer import SWEEP_SECONDS
from tests.faults.fault_run import DRAIN_SECONDS, fault_run
from tests.faults.fault_server import Mode

AHEAD_SECONDS = (4.0, 0.0, -4.0, 0.0, 3600.0, 0.0)
"""Compared with the true time, one after the other."""

EVERY_SECONDS = 0.5
AROUND_SECONDS = 0.1


async def test_a_clock_that_jumps_loses_and_reorders_nothing(address: str, tmp_path: Path, seed: int) -> None:
    """All processes of the machine see each jump at the same moment."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        chance = random.Random(seed)
        run.mode = lambda: Mode.STATUS if chance.random() < 0.2 else Mode.OK
        # With a clock ahead of Facebook's, a greeting seems to be answered before it was sent, which is no click.
        greeting = await run.start(is_bot=True, is_worker=True)
        people = await run.people(12)
        await run.drained()
        await run.stop(greeting)
        begin = run.clock.monotonic() + 1.0
        moments = [begin + EVERY_SECONDS * number for number in range(len(AHEAD_SECONDS))]
        jumps = list(zip(moments, AHEAD_SECONDS, strict=True))
        children = [
            await run.start(is_bot=True, jumps=jumps),
            await run.start(is_worker=True, jumps=jumps),
            await run.start(is_worker=True, jumps=jumps),
        ]
        over = asyncio.Event()
        writing = asyncio.create_task(run.write(people, until=over, pause=(0.02, 0.2)))
        for at, ahead in jumps:
            await run.clock.sleep(max(0.0, at - AROUND_SECONDS - run.clock.monotonic()))
            # A jump forwards lets leases expire, so what is under way then may be taken over.
            with run.interruption(f"the clock is {ahead:g} s ahead"):
                await run.clock.sleep(2 * AROUND_SECONDS)
        await run.clock.sleep(EVERY_SECONDS)
        over.set()
        await writing
        run.mode = lambda: Mode.OK
        # What was put off while the clock was ahead waits for the next sweep, which comes once a minute.
        await run.drained(within_seconds=SWEEP_SECONDS + DRAIN_SECONDS)
        await run.check()
        for child in children:
            await run.stop(child)
