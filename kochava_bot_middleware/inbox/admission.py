"""New events on their way into the store, and the request that waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from ..messenger.events import Event
from ..store.records import Entry


class Admission:
    """
    The new events of one webhook. Must be made in the running event loop.

    Attributes:
        events: What is to be stored, each with its event.
        waiter: Done when waiting is over: because this has ended, or because it takes too long.
        has_ended: The store has the events, or will never have them.
        error: Why it will never have them.
    """

    __slots__ = ("error", "events", "has_ended", "waiter")

    def __init__(self, events: Sequence[tuple[Entry, Event]]) -> None:
        self.events = events
        self.waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_ended = False
        self.error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        """The events are stored or, with an *error*, never will be."""
        self.has_ended = True
        self.error = error
        _finish(self.waiter)


class WaitLimit:
    """
    Ends waits that take too long. One timer serves all of them, since nearly none of them needs it.

    Args:
        seconds: How long each may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, waiter: asyncio.Future[None]) -> None:
        """Return when *waiter* is done; when the time is over, it is given ``None``."""
        loop, waiting = asyncio.get_running_loop(), self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        deadline = loop.time() + self._seconds
        waiting.append((deadline, waiter))
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._expire, loop)
        await waiter

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, now = self._waiting, loop.time()
        while waiting and (waiting[0][0] <= now or waiting[0][1].done()):
            _finish(waiting.popleft()[1])
        self._timer = loop.call_at(waiting[0][0], self._expire, loop) if waiting else None


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
