"""A wait that can be cut short."""

from __future__ import annotations

import asyncio

from ..clock import Clock


class Pause:
    """Waits between two looks at a queue. A wake-up that comes while nothing waits ends the next wait at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_woken = False
        self._sleeping: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """End the wait."""
        self._is_woken = True
        if self._sleeping is not None:
            self._sleeping.cancel()

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass, unless woken."""
        if seconds > 0 and not self._is_woken:
            self._sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
            try:
                await asyncio.wait({self._sleeping})
            finally:
                self._sleeping.cancel()
                self._sleeping = None
        self._is_woken = False
