"""SIGKILL at random moments: as often as `--kills` says, over all durable stores."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from tests.faults.children import Child
from tests.faults.fault_run import KILLED, FaultRun, fault_run

KILLED_AFTER_SECONDS = (0.0, 0.35)


async def kill_repeatedly(run: FaultRun, times: int, chance: random.Random, **roles: Any) -> Child:
    """Start one process after the other, each killed some time after it works, then one that is not."""
    for _ in range(times):
        child = await run.start(**roles)
        await run.clock.sleep(chance.uniform(*KILLED_AFTER_SECONDS))
        await run.kill(child)
    return await run.start(**roles)


async def test_nothing_is_lost_by_kills_at_random_moments(address: str, tmp_path: Path, seed: int, kills: int) -> None:
    """Bots, workers, and bots with a worker inside, at the same time on one store."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        first = await run.start(is_bot=True)
        people = await run.people(12)
        over = asyncio.Event()
        writing = asyncio.create_task(run.write(people, until=over, pause=(0.02, 0.2)))
        roles: list[dict[str, Any]] = [{"is_bot": True}, {"is_worker": True}, {"is_bot": True, "is_worker": True}]
        shares = [kills // 3 + (number < kills % 3) for number in range(3)]
        last = await asyncio.gather(
            *(
                kill_repeatedly(run, share, random.Random(seed * 10 + number), handler_seconds=0.005, **role)
                for number, (share, role) in enumerate(zip(shares, roles, strict=True))
            )
        )
        await run.kill(first)
        over.set()
        await writing
        await run.drained()
        await run.check()
        for child in last:
            await run.stop(child)

    assert kills + 1 == run.kills[KILLED]
