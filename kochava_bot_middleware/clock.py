"""The only place that knows what time it is, and the only one that waits."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Time as an argument, so that tests own it."""

    def now(self) -> float:
        """Wall-clock time in seconds since the epoch. May jump."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start. Never jumps; for durations."""

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
