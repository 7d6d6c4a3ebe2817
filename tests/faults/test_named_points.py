"""SIGKILL at every named point, several times each, on every durable store."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.faults.children import Child
from tests.faults.fault_run import REQUEST_LEFT, FaultRun, fault_run
from tests.faults.kill_points import KillPoint

BOT_POINTS = (
    KillPoint.BEFORE_STORING,
    KillPoint.AFTER_STORING,
    KillPoint.IN_HANDLER,
    KillPoint.AFTER_RECORDING,
    KillPoint.BEFORE_RECORDING,
    KillPoint.EVENT_TAKEOVER,
)
"""The kill before a takeover leaves something to be taken over."""

WORKER_POINTS = (
    KillPoint.AFTER_CLAIM,
    KillPoint.BEFORE_REQUEST,
    REQUEST_LEFT,
    KillPoint.AFTER_ANSWER,
    KillPoint.AFTER_SETTLEMENT,
    KillPoint.BEFORE_SETTLEMENT,
    KillPoint.RECORD_TAKEOVER,
)
TIMES = 3
"""How often each, on each store."""

TIMEOUT_SECONDS = 20.0


async def kill_at(run: FaultRun, points: Iterable[str], chance: random.Random, **roles: Any) -> Child:
    """Start one process after the other, each of which is killed at its point, then one that is not."""
    for point in points:
        is_takeover = point in (KillPoint.EVENT_TAKEOVER, KillPoint.RECORD_TAKEOVER)
        child = await run.start(kills={point: 1 if is_takeover else chance.randint(1, 4)}, **roles)
        await asyncio.wait({child.exited}, timeout=TIMEOUT_SECONDS)
        assert child.exited.done(), f"never reached: {point}\n{run.children.log_end()}"
        assert -9 == child.exited.result(), run.children.log_end()
    return await run.start(**roles)


async def test_nothing_is_lost_by_a_kill_at_any_named_point(address: str, tmp_path: Path, seed: int) -> None:
    """Bots and workers are killed at the same time; both platforms show whether the promises are kept."""
    async with fault_run(tmp_path, address, seed=seed) as run:
        chance = random.Random(seed)
        first = await run.start(is_bot=True)
        people = await run.people(12)
        await run.stop(first)
        over = asyncio.Event()
        writing = asyncio.create_task(run.write(people, until=over, pause=(0.02, 0.2)))
        bots = list(itertools.chain(*itertools.repeat(BOT_POINTS, TIMES)))
        workers = list(itertools.chain(*itertools.repeat(WORKER_POINTS, TIMES)))
        last = await asyncio.gather(
            kill_at(run, bots, chance, is_bot=True, handler_seconds=0.01),
            kill_at(run, workers, chance, is_worker=True),
        )
        await run.until_promised(100)
        over.set()
        await writing
        await run.drained()
        await run.check()
        for child in last:
            await run.stop(child)

    points = (*BOT_POINTS, *WORKER_POINTS)
    assert dict.fromkeys(points, TIMES) == {point: run.kills[point] for point in points}
