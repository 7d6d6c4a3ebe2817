"""SIGKILL at every named point of an event's way, several times each, on every durable store."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.faults.kill_points import KillPoint
from tests.faults.nursery import Life
from tests.faults.stage import REQUEST_LEFT, Stage, stage

BOT_POINTS = (
    KillPoint.BEFORE_ADMISSION,
    KillPoint.AFTER_ADMISSION,
    KillPoint.IN_HANDLER,
    KillPoint.AFTER_RECORDING,
    KillPoint.BEFORE_RECORDING,
    KillPoint.EVENT_TAKEOVER,
)
"""Who dies before a takeover leaves something to be taken over."""

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

PATIENCE_SECONDS = 20.0


async def die_at(place: Stage, points: Iterable[str], chance: random.Random, **roles: Any) -> Life:
    """One life after the other, each of which dies at its point; then one that lives on."""
    for point in points:
        is_takeover = point in (KillPoint.EVENT_TAKEOVER, KillPoint.RECORD_TAKEOVER)
        life = await place.begin(deaths={point: 1 if is_takeover else chance.randint(1, 4)}, **roles)
        await asyncio.wait({life.dead}, timeout=PATIENCE_SECONDS)
        assert life.dead.done(), f"never came {point}\n{place.nursery.log_end()}"
        assert -9 == life.dead.result(), place.nursery.log_end()
    return await place.begin(**roles)


async def test_nothing_is_lost_by_a_death_at_any_named_point(address: str, tmp_path: Path, seed: int) -> None:
    """Bots and workers die side by side; the promises are judged by both platforms' books."""
    async with stage(tmp_path, address, seed=seed) as place:
        chance = random.Random(seed)
        first = await place.begin(is_bot=True)
        people = await place.people(12)
        await place.stop(first)
        over = asyncio.Event()
        writing = asyncio.create_task(place.write(people, until=over, pause=(0.02, 0.2)))
        bots = list(itertools.chain(*itertools.repeat(BOT_POINTS, TIMES)))
        workers = list(itertools.chain(*itertools.repeat(WORKER_POINTS, TIMES)))
        last = await asyncio.gather(
            die_at(place, bots, chance, is_bot=True, handler_seconds=0.01),
            die_at(place, workers, chance, is_worker=True),
        )
        over.set()
        await writing
        await place.drained()
        history = await place.judge()
        for life in last:
            await place.stop(life)

    points = (*BOT_POINTS, *WORKER_POINTS)
    assert dict.fromkeys(points, TIMES) == {point: place.deaths[point] for point in points}
    assert len(history.promised) > 100
