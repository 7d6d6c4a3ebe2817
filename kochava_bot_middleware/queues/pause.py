"""A wait that can be ended early."""

from __future__ import annotations

import asyncio

from ..clock import Clock


class Pause:
    """Lets time pass, for one task at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sleeping: asyncio.Future[None] | None = None

    async def wait(self, seconds: float) -> None:
        """Return after *seconds*, or at `end`."""
        sleeping = self._sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait({sleeping})
        finally:
            self._sleeping = None
            sleeping.cancel()

    def end(self) -> None:
        """End the wait, if there is one."""
        if self._sleeping is not None:
            self._sleeping.cancel()
