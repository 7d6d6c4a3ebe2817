"""Work of other threads in an event loop: what its caller gets, however it ends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterator

import pytest

from kochava_bot_middleware.background import call_in, run_in


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One that runs in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_each_thread_gets_its_own_result(loop: asyncio.AbstractEventLoop) -> None:
    """Of many that call at once."""
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: run_in(loop, double(number)), range(200)))
    assert [2 * number for number in range(200)] == answers


def test_work_that_is_cancelled_is_an_error_of_its_call(loop: asyncio.AbstractEventLoop) -> None:
    """The thread that waits for it is not cancelled itself, so what catches errors catches it."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(concurrent.futures.CancelledError):
        run_in(loop, cancelled())


def test_what_cannot_be_begun_is_an_error_of_its_call(loop: asyncio.AbstractEventLoop) -> None:
    """Even what would end the loop, which serves others."""

    def begin() -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        call_in(loop, begin)
    assert 4 == run_in(loop, double(2))


def test_nothing_is_waited_for_where_nothing_was_begun(loop: asyncio.AbstractEventLoop) -> None:
    """Such as a call that became part of a handling's commit."""
    called: list[asyncio.AbstractEventLoop] = []
    assert call_in(loop, lambda: called.append(asyncio.get_running_loop())) is None
    assert [loop] == called


def test_no_call_waits_for_a_loop_that_is_closed() -> None:
    """Not the first one, and none that comes after it."""
    loop = asyncio.new_event_loop()
    loop.close()
    for _ in range(2):
        work = double(1)
        with pytest.raises(RuntimeError, match="closed"):
            run_in(loop, work)
        work.close()
