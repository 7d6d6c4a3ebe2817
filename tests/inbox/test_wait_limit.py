"""How long the answer to Facebook waits."""

from __future__ import annotations

import asyncio

import pytest

from kochava_bot_middleware.inbox.in_flight import WaitLimit

SHORT_SECONDS = 0.02


def new_waiter() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("count", [1, 3])
async def test_what_never_comes_is_waited_for_no_longer_than_said(count: int) -> None:
    """When the time is over the wait ends, for each that waits."""
    limit = WaitLimit(SHORT_SECONDS)
    waiters = [new_waiter() for _ in range(count)]
    async with asyncio.timeout(5):
        await asyncio.gather(*(limit.wait(waiter) for waiter in waiters))
    assert [True] * count == [waiter.done() for waiter in waiters]


async def test_later_waits_get_their_full_time() -> None:
    """The one timer that serves all is set anew for whoever began to wait later."""
    limit = WaitLimit(SHORT_SECONDS)
    async with asyncio.timeout(5):
        for _ in range(2):
            began = asyncio.get_running_loop().time()
            await limit.wait(new_waiter())
            assert SHORT_SECONDS / 2 < asyncio.get_running_loop().time() - began


@pytest.mark.parametrize("is_done_before", [True, False])
async def test_what_comes_in_time_is_not_waited_for_longer(is_done_before: bool) -> None:
    """The wait ends with it, also when it was there already."""
    limit = WaitLimit(3600)
    waiter = new_waiter()
    if is_done_before:
        waiter.set_result(None)
    else:
        asyncio.get_running_loop().call_soon(waiter.set_result, None)
    async with asyncio.timeout(5):
        await limit.wait(waiter)


async def test_a_wait_that_is_cancelled_harms_no_other() -> None:
    """A request that Facebook gave up is passed over when the time of those before and after it is over."""
    limit = WaitLimit(SHORT_SECONDS)
    before, given_up = (asyncio.create_task(limit.wait(new_waiter())) for _ in range(2))
    await asyncio.sleep(0)
    given_up.cancel()
    async with asyncio.timeout(5):
        await limit.wait(new_waiter())
        await before
    assert given_up.cancelled()
