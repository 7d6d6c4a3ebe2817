"""SIGKILL at random moments: as often as `--kills` says, over all durable stores."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from tests.faults.nursery import Life
from tests.faults.stage import KILLED, Stage, stage

LIVED_SECONDS = (0.0, 0.35)


async def die_again_and_again(place: Stage, times: int, chance: random.Random, **roles: Any) -> Life:
    """One life after the other, each killed some time after it works; then one that lives on."""
    for _ in range(times):
        life = await place.begin(**roles)
        await place.clock.sleep(chance.uniform(*LIVED_SECONDS))
        await place.kill(life)
    return await place.begin(**roles)


async def test_nothing_is_lost_by_deaths_at_random_moments(address: str, tmp_path: Path, seed: int, kills: int) -> None:
    """Bots, workers and bots with a worker inside, side by side on one store."""
    async with stage(tmp_path, address, seed=seed) as place:
        first = await place.begin(is_bot=True)
        people = await place.people(12)
        over = asyncio.Event()
        writing = asyncio.create_task(place.write(people, until=over, pause=(0.02, 0.2)))
        roles: list[dict[str, Any]] = [{"is_bot": True}, {"is_worker": True}, {"is_bot": True, "is_worker": True}]
        shares = [kills // 3 + (number < kills % 3) for number in range(3)]
        last = await asyncio.gather(
            *(
                die_again_and_again(place, share, random.Random(seed * 10 + number), handler_seconds=0.005, **role)
                for number, (share, role) in enumerate(zip(shares, roles, strict=True))
            )
        )
        await place.kill(first)
        over.set()
        await writing
        await place.drained()
        await place.judge()
        for life in last:
            await place.stop(life)

    assert kills + 1 == place.deaths[KILLED]
