"""The machine's clock is set: forwards, backwards, by seconds and by an hour, while people write and requests fail."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from tests.faults.fault_server import Mode
from tests.faults.stage import stage

AHEAD_SECONDS = (4.0, 0.0, -4.0, 0.0, 3600.0, 0.0)
"""Of the true time, one after the other."""

EVERY_SECONDS = 0.5
AROUND_SECONDS = 0.1


async def test_a_clock_that_jumps_loses_and_reorders_nothing(address: str, tmp_path: Path, seed: int) -> None:
    """All processes of the machine see each jump at the same moment."""
    async with stage(tmp_path, address, seed=seed) as place:
        chance = random.Random(seed)
        place.mode = lambda: Mode.STATUS if chance.random() < 0.2 else Mode.OK
        # A greeting sent by a clock ahead of Facebook's is answered before it was sent, which is no click.
        greeting = await place.begin(is_bot=True, is_worker=True)
        people = await place.people(12)
        await place.drained()
        await place.stop(greeting)
        begin = place.clock.monotonic() + 1.0
        moments = [begin + EVERY_SECONDS * number for number in range(len(AHEAD_SECONDS))]
        jumps = list(zip(moments, AHEAD_SECONDS, strict=True))
        lives = [
            await place.begin(is_bot=True, jumps=jumps),
            await place.begin(is_worker=True, jumps=jumps),
            await place.begin(is_worker=True, jumps=jumps),
        ]
        over = asyncio.Event()
        writing = asyncio.create_task(place.write(people, until=over, pause=(0.02, 0.2)))
        for at, ahead in jumps:
            await place.clock.sleep(max(0.0, at - AROUND_SECONDS - place.clock.monotonic()))
            # A forward jump ends leases, so what is under way then may be taken over.
            with place.trouble(f"the clock is {ahead:g} s ahead"):
                await place.clock.sleep(2 * AROUND_SECONDS)
        await place.clock.sleep(EVERY_SECONDS)
        over.set()
        await writing
        place.mode = lambda: Mode.OK
        await place.drained()
        await place.judge()
        for life in lives:
            await place.stop(life)
