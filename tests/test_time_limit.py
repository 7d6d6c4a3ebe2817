"""One timer for all work that is limited to the same time."""

from __future__ import annotations

import asyncio

import pytest

from kochava_bot_middleware.clock import LimitedWork, TimeLimit

SHORT = 0.02


async def for_ever(limit: TimeLimit) -> None:
    with limit.work():
        await asyncio.Event().wait()


async def test_each_piece_of_work_that_takes_too_long_is_ended() -> None:
    """Those that are under way together, and those that begin later."""
    limit = TimeLimit(SHORT)
    ended = await asyncio.gather(*(for_ever(limit) for _ in range(3)), return_exceptions=True)
    assert [TimeoutError] * 3 == [type(each) for each in ended]
    with pytest.raises(TimeoutError):
        await for_ever(limit)
    assert asyncio.current_task() is not None


async def test_work_that_ends_in_time_is_left_alone() -> None:
    """Also when the timer that was set for it comes while other work is under way."""
    limit = TimeLimit(SHORT)
    with limit.work() as quick:
        pass
    with pytest.raises(TimeoutError):
        await for_ever(limit)
    assert not quick.is_late
    task = asyncio.current_task()
    assert task is not None
    assert 0 == task.cancelling()


async def test_an_error_and_a_cancellation_of_others_pass() -> None:
    """Neither is taken for the end of the time."""
    limit = TimeLimit(60)
    with pytest.raises(ZeroDivisionError), limit.work():
        raise ZeroDivisionError
    task = asyncio.create_task(for_ever(limit))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_who_is_cancelled_by_others_too_ends_cancelled() -> None:
    """The task is wanted to end, not only this work of it."""
    limit = TimeLimit(60)
    works: list[LimitedWork] = []
    lateness: list[bool] = []

    async def run() -> None:
        with limit.work() as work:
            works.append(work)
            try:
                await asyncio.Event().wait()
            finally:
                lateness.append(work.is_late)

    late, wanted_to_end = asyncio.create_task(run()), asyncio.create_task(run())
    await asyncio.sleep(0)
    for work in works:
        work.cancel()
    wanted_to_end.cancel()
    await asyncio.wait({late, wanted_to_end})
    assert ([True, False], True) == (lateness, wanted_to_end.cancelled())
    assert isinstance(late.exception(), TimeoutError)


def test_it_works_in_a_loop_after_another() -> None:
    """The timer of the first one never comes."""
    limit = TimeLimit(SHORT)

    async def quick() -> None:
        with limit.work():
            pass

    asyncio.run(quick())
    with pytest.raises(TimeoutError):
        asyncio.run(for_ever(limit))
