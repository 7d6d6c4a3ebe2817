"""Clocks that tests control."""

from __future__ import annotations

import asyncio

from kochava_bot_middleware.testing import VirtualClock, settle

__all__ = ["ServersClock", "SleepNotingClock", "VirtualClock", "settle"]


class ServersClock(VirtualClock):
    """The clock of the store's machine, which can be set independently of that of the process."""

    def __init__(self, process: VirtualClock, ahead: float = 0.0) -> None:
        self._process = process
        self.ahead = ahead

    def now(self) -> float:
        return self._process.now() + self.ahead


class SleepNotingClock(VirtualClock):
    """
    A clock that notes each sleep.

    Attributes:
        slept: Set by it; may be cleared.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slept = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.set()
        await super().sleep(seconds)
