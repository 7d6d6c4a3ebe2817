"""The store's server is killed and started again, several times: what was answered 200 is not lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.engines import OWN_SERVERS, Engine
from tests.faults.fault_run import fault_run

KILLS = 3
DOWN_SECONDS = 0.7


@pytest.mark.parametrize("new_engine", OWN_SERVERS.values(), ids=OWN_SERVERS)
async def test_killing_the_stores_server_loses_nothing(
    new_engine: Callable[[], Engine], tmp_path: Path, seed: int
) -> None:
    """Meanwhile webhooks are refused and deliveries wait; no process has to be restarted."""
    engine = await asyncio.to_thread(new_engine)
    try:
        await engine.prepare()
        async with fault_run(tmp_path, engine.url, seed=seed) as run:
            children = [await run.start(is_bot=True), await run.start(is_worker=True)]
            people = await run.people(12)
            over = asyncio.Event()
            writing = asyncio.create_task(run.write(people, until=over, pause=(0.02, 0.2)))
            for _ in range(KILLS):
                await run.clock.sleep(0.6)
                with run.interruption("the store's server is down"):
                    await asyncio.to_thread(engine.kill)
                    before = len(run.messenger.acknowledged)
                    await run.clock.sleep(DOWN_SECONDS)
                    answered = len(run.messenger.acknowledged) - before
                    await asyncio.to_thread(engine.start)
                # The answers to what was committed before the kill may still have been under way.
                assert answered <= len(people) * 2
            await run.until_promised(50)
            over.set()
            await writing
            await run.drained()
            await run.check()
            for child in children:
                await run.stop(child)
    finally:
        await asyncio.to_thread(engine.remove)
