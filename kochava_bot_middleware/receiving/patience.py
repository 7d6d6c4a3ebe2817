"""
Waiting for the store no longer than Facebook shall wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any

CANCEL_SECONDS = 5.0
"""How long a shutdown waits for what it cancelled, and for the store to take what it lets go of."""


class Patience:
    """
    Waits for futures, for each as long as for any other. One timer serves them all, since nearly none of them needs it.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, waiter: asyncio.Future[None]) -> None:
        """
        Return when *waiter* is done; when the time is over, it is given ``None``.
        """
        self._expect(waiter, asyncio.get_running_loop())
        await waiter

    def _expect(self, waiter: asyncio.Future[None], loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        deadline = loop.time() + self._seconds
        waiting.append((deadline, waiter))
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, now = self._waiting, loop.time()
        while waiting and (waiting[0][0] <= now or waiting[0][1].done()):
            _wake(waiting.popleft()[1])
        self._timer = loop.call_at(waiting[0][0], self._expire, loop) if waiting else None


async def cancel(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """
    Cancel *tasks*, and wait a while for them to end.
    """
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_SECONDS)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
