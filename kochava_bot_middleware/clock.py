"""Time and sleeping. No other module asks for the time or sleeps."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Time as an argument, so that tests can control it."""

    def now(self) -> float:
        """Wall-clock time in seconds since the epoch. It may jump."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start. It never jumps; for durations."""

    async def sleep(self, seconds: float) -> None:
        """Wait for *seconds*."""


class SystemClock:
    """The machine's clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(asyncio.sleep)
