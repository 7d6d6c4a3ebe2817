"""Locks of lanes: of the commits that append to the same lane, one at a time is with the store."""

from __future__ import annotations

import asyncio

from ..store.plan import Lane


class LaneLock:
    """
    The locks of some lanes, held together or waited for.

    Attributes:
        lanes: Which lanes.
        blocked_by: How many of them another one holds.
    """

    __slots__ = ("_acquired", "blocked_by", "lanes")

    def __init__(self, lanes: set[Lane]) -> None:
        self.lanes = lanes
        self.blocked_by = 0
        self._acquired: asyncio.Future[None] | None = None

    async def acquired(self) -> None:
        """Return once all are held."""
        if self.blocked_by:
            self._acquired = asyncio.get_running_loop().create_future()
            await self._acquired

    def unblock(self) -> None:
        """One more is held."""
        self.blocked_by -= 1
        if not self.blocked_by and self._acquired is not None and not self._acquired.done():
            self._acquired.set_result(None)


class LaneLocks:
    """Locks of lanes, given in the order in which they were requested."""

    def __init__(self) -> None:
        self._requests: dict[Lane, list[LaneLock]] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def request(self, lanes: set[Lane]) -> LaneLock:
        """Request the locks of *lanes*, all at once, so that no two requests can wait for each other."""
        lock = LaneLock(lanes)
        for lane in lanes:
            requests = self._requests.get(lane)
            if requests is None:
                self._requests[lane] = [lock]
            else:
                requests.append(lock)
                lock.blocked_by += 1
        return lock

    def release(self, lock: LaneLock) -> None:
        """Give the locks to those that wait; also when they were only waited for."""
        for lane in lock.lanes:
            requests = self._requests[lane]
            was_held = requests[0] is lock
            requests.remove(lock)
            if not requests:
                del self._requests[lane]
            elif was_held:
                requests[0].unblock()
