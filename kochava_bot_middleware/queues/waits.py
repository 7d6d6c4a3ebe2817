"""How a consumer waits: for a while, unless it is woken, and for tasks to end."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

from ..clock import Clock

CANCEL_SECONDS = 5.0
"""How long a shutdown waits for what it cancelled, and for the store to take what is released."""


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


async def ended_within(seconds: float, calls: Collection[asyncio.Future[Any]]) -> set[asyncio.Future[Any]]:
    """Those that end by then; the others are cancelled."""
    done, pending = await asyncio.wait(calls, timeout=seconds)
    await cancel(pending)
    return done


async def cancel(tasks: Collection[asyncio.Future[Any]]) -> None:
    """Cancel *tasks*, and wait a while for them to end."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
