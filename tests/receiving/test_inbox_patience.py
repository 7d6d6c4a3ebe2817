"""
How long the answer to Facebook waits for a task.
"""

from __future__ import annotations

import asyncio

import pytest

from kochava_bot_middleware.receiving.patience import Patience, cancel

SHORT_SECONDS = 0.02


async def never() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("count", [1, 3])
async def test_a_task_that_hangs_is_waited_for_no_longer_than_said(count: int) -> None:
    """When the time is over the wait ends, for each that waits, and the tasks go on."""
    patience = Patience(SHORT_SECONDS)
    tasks = [asyncio.create_task(never()) for _ in range(count)]
    async with asyncio.timeout(5):
        await asyncio.gather(*(patience.wait(task) for task in tasks))
    assert [False] * count == [task.done() for task in tasks]
    await cancel(tasks)


async def test_later_waits_get_their_full_time() -> None:
    """The one timer that serves all is set anew for whoever began to wait later."""
    patience = Patience(SHORT_SECONDS)
    tasks = [asyncio.create_task(never()) for _ in range(2)]
    async with asyncio.timeout(5):
        for task in tasks:
            began = asyncio.get_running_loop().time()
            await patience.wait(task)
            assert SHORT_SECONDS / 2 < asyncio.get_running_loop().time() - began
    await cancel(tasks)


async def test_a_task_that_ends_is_not_waited_for_longer() -> None:
    """The wait ends with the task, whatever it ends with."""
    patience = Patience(3600)
    failing = asyncio.create_task(asyncio.sleep(0))
    failing.cancel()
    async with asyncio.timeout(5):
        await patience.wait(failing)
    assert failing.cancelled()


async def test_a_wait_that_is_cancelled_leaves_the_task_alone() -> None:
    """A request that Facebook gave up does not orphan what it stored."""
    patience = Patience(3600)
    released = asyncio.Event()
    task = asyncio.create_task(released.wait())
    waiting = asyncio.create_task(patience.wait(task))
    await asyncio.sleep(0)
    await cancel([waiting])
    released.set()
    assert await task
