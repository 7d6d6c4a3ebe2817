"""
The places for requests of one queue, divided so that what hangs or is slow never takes all of them.

What is sent to one destination, by app and kind of record, has a *share*. A share may take a place while it has fewer
than four times as many as are free: alone it takes as many as the settings allow, two that hang leave some, three leave
some. A record whose share is full waits here for a moment and goes back into the store then, so that the worker's hands
are free for what stands behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from ..clock import Clock

TIMES_THE_FREE: Final = 4

LONGEST_WAIT_SECONDS: Final = 1.0
"""How long a record waits here for a place of its share."""

SLOW_SECONDS: Final = 10.0
"""For how long a share in which a record has waited so long counts as slow: then only few wait here."""

RETURNS_PER_SECOND: Final = 200.0
"""How many records of one share are claimed in vain at most, however many of them wait."""


Waiter = Callable[[float | None], bool]
"""
Is told ``None`` when it has a place, to be given back, else in how many seconds to come again. Returns whether it still
waits.
"""


@attrs.frozen(kw_only=True, cache_hash=True)
class ShareName:
    """Whose share it is: one destination, for one app and one kind of record."""

    host: str
    app_id: str
    kind: str


@attrs.define(eq=False)
class _Share:
    under_way: int = 0
    waiting: deque[tuple[float, Waiter]] = attrs.field(factory=deque)
    slow_until: float = float("-inf")
    next_return: float = float("-inf")


class Places:
    """
    The places of one queue.

    Args:
        most: Most requests at once of one share. There are a quarter more places than that.
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._free = most + max(1, most // 4)
        self._clock = clock
        self._shares: dict[ShareName, _Share] = {}
        self._expiring: asyncio.Task[None] | None = None
        self.is_closed = False

    def enter(self, name: ShareName, waiter: Waiter) -> None:
        """Give *waiter* a place, at once or within a moment, or send it away."""
        share = self._share(name)
        if not share.waiting and self._has_room(share):
            self._give(share, waiter)
            return
        now = self._clock.monotonic()
        if self.is_closed or (now < share.slow_until and len(share.waiting) >= max(1, self._most // 4)):
            waiter(self.return_after(name, LONGEST_WAIT_SECONDS))
            return
        share.waiting.append((now, waiter))
        if self._expiring is None:
            self._expiring = asyncio.create_task(self._expire())

    async def take(self, name: ShareName) -> float | None:
        """
        Take a place, waiting for a moment if need be.

        Returns:
            ``None`` when there is one, to be given back; else in how many seconds to come again.
        """
        given: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()

        def answer(seconds: float | None) -> bool:
            if given.done():
                return False
            given.set_result(seconds)
            return True

        self.enter(name, answer)
        try:
            return await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled() and given.result() is None:
                self.give_back(name)
            raise

    def give_back(self, name: ShareName) -> None:
        """The request has ended."""
        self._share(name).under_way -= 1
        self._free += 1
        while (share := self._next()) is not None:
            _, waiter = share.waiting.popleft()
            self._give(share, waiter)

    def return_after(self, name: ShareName, seconds: float) -> float:
        """When to come again with a record that must wait at least so long, given how many of its share do."""
        now, share = self._clock.monotonic(), self._share(name)
        share.next_return = max(share.next_return, now) + 1 / RETURNS_PER_SECOND
        return max(seconds, share.next_return - now)

    def close(self) -> None:
        """Send away whoever waits."""
        self.is_closed = True
        if self._expiring is not None:
            self._expiring.cancel()
        for name, share in self._shares.items():
            self._send_away(name, share, float("inf"))

    def _share(self, name: ShareName) -> _Share:
        share = self._shares.get(name)
        if share is None:
            share = self._shares[name] = _Share()
        return share

    def _has_room(self, share: _Share) -> bool:
        # The last place is for a share that has none.
        is_last = self._free == 1 and share.under_way > 0
        return share.under_way < min(self._most, TIMES_THE_FREE * self._free) and not is_last

    def _give(self, share: _Share, waiter: Waiter) -> None:
        share.under_way += 1
        self._free -= 1
        if not waiter(None):
            share.under_way -= 1
            self._free += 1

    def _next(self) -> _Share | None:
        """The share whose turn it is: of those that wait and have room, the one with the fewest places."""
        found = None
        for share in self._shares.values():
            if share.waiting and (found is None or share.under_way < found.under_way) and self._has_room(share):
                found = share
        return found

    async def _expire(self) -> None:
        """Send away who has waited too long, as long as anyone waits."""
        while any(share.waiting for share in self._shares.values()):
            await self._clock.sleep(LONGEST_WAIT_SECONDS / 4)
            now = self._clock.monotonic()
            for name, share in self._shares.items():
                if self._send_away(name, share, now - LONGEST_WAIT_SECONDS):
                    share.slow_until = now + SLOW_SECONDS
        self._expiring = None

    def _send_away(self, name: ShareName, share: _Share, came_before: float) -> bool:
        """Those that came before so and so; whether there were any."""
        was_any = False
        while share.waiting and share.waiting[0][0] <= came_before:
            _, waiter = share.waiting.popleft()
            was_any |= waiter(self.return_after(name, LONGEST_WAIT_SECONDS))
        return was_any
