"""New events on their way into the store, and the request that waits to hear of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from ..messenger.events import Event
from ..store.records import Entry


class Admission:
    """
    The events of one webhook that are being stored. Must be made in the running event loop.

    Attributes:
        fresh: The events, each with what is stored of it.
        told: Done when waiting is over: because this has ended, or because it takes too long.
        has_ended: The store has the events, or will never have them.
    """

    __slots__ = ("_error", "fresh", "has_ended", "told")

    def __init__(self, fresh: Sequence[tuple[Entry, Event]]) -> None:
        self.fresh = fresh
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_ended = False
        self._error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        """The events are stored or, with an *error*, they are not."""
        self.has_ended = True
        self._error = error
        if not self.told.done():
            self.told.set_result(None)

    def check(self) -> None:
        """Raise what it has ended with, if that was an error."""
        if self._error is not None:
            raise self._error


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
        """Return when *waiter* is done; when the time is over, it is given ``None``."""
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
    """Cancel *tasks*, and wait a while for them to end."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_SECONDS)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
