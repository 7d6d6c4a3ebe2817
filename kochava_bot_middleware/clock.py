"""Time and sleeping. No other module asks for the time or sleeps."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
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


def time_digits(moment: datetime | None) -> str:
    """
    A time in milliseconds, as 11 hexadecimal digits; empty without one.

    Ids that begin with it are neighbours in a store's index, so that those of one commit are on few of its pages: with
    84,000 events in SQLite, a commit writes a quarter of the bytes.
    """
    return "" if moment is None else f"{int(moment.timestamp() * 1000):011x}"
