"""The store's server dies and comes back, again and again: what was answered 200 is there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.engines import OWN_SERVERS, Engine
from tests.faults.stage import stage

DEATHS = 3
AWAY_SECONDS = 0.7


@pytest.mark.parametrize("new_engine", OWN_SERVERS.values(), ids=OWN_SERVERS)
async def test_the_death_of_the_stores_server_loses_nothing(
    new_engine: Callable[[], Engine], tmp_path: Path, seed: int
) -> None:
    """Webhooks are refused meanwhile, deliveries wait; nobody has to be restarted."""
    engine = await asyncio.to_thread(new_engine)
    try:
        await engine.prepare()
        async with stage(tmp_path, engine.url, seed=seed) as place:
            lives = [await place.begin(is_bot=True), await place.begin(is_worker=True)]
            people = await place.people(12)
            over = asyncio.Event()
            writing = asyncio.create_task(place.write(people, until=over, pause=(0.02, 0.2)))
            for _ in range(DEATHS):
                await place.clock.sleep(0.6)
                with place.trouble("the store's server is dead"):
                    await asyncio.to_thread(engine.kill)
                    before = len(place.messenger.acknowledged)
                    await place.clock.sleep(AWAY_SECONDS)
                    answered = len(place.messenger.acknowledged) - before
                    await asyncio.to_thread(engine.start)
                # The answers to what was committed before the death may still have been on their way.
                assert answered <= len(people) * 2
            over.set()
            await writing
            await place.drained()
            history = await place.judge()
            for life in lives:
                await place.stop(life)
    finally:
        await asyncio.to_thread(engine.remove)

    assert len(history.promised) > 50
