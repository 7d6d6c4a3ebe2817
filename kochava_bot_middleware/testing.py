"""
What you need to test a bot without Facebook, without Kochava, and without waiting.

Example::

    async with LocalMessenger(app_secret="s", verify_token="v", page_tokens={"t": "1001"}) as messenger:
        bot = MessengerBot.from_dict({..., "graph_url": messenger.url})
        ...
        person = messenger.person()
        await person.says("hello")
        assert (await person.next_message()).text == "Hello!"
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

from .sandbox.fault_server import FaultServer, Mode, Received
from .sandbox.history import EVERYBODY, Finding, History, Step, StepKind, counted
from .sandbox.kill_points import KillPoint, KillPoints, PointedHandling, PointedSender, PointedStore
from .sandbox.kochava_server import LocalKochava
from .sandbox.ledger import Balance, LedgerEntry, balance
from .sandbox.messenger_server import LocalMessenger
from .sandbox.people import SimulatedUser
from .store.memory import MemoryStore

__all__ = [
    "Balance",
    "EVERYBODY",
    "FaultServer",
    "Finding",
    "History",
    "KillPoint",
    "KillPoints",
    "LedgerEntry",
    "LocalKochava",
    "LocalMessenger",
    "MemoryStore",
    "Mode",
    "SimulatedUser",
    "PointedHandling",
    "PointedSender",
    "PointedStore",
    "Received",
    "Step",
    "StepKind",
    "VirtualClock",
    "balance",
    "counted",
    "settle",
]


class VirtualClock:
    """A `Clock` that stands still until it is advanced."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._monotonic = 1000.0
        self._offset = now - self._monotonic
        self._numbers = itertools.count()
        self._timers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._monotonic + self._offset

    def monotonic(self) -> float:
        return self._monotonic

    def jump(self, seconds: float) -> None:
        """Let the wall clock jump; no time passes."""
        self._offset += seconds

    def stall(self, seconds: float) -> None:
        """Let time pass at once, as for a stopped process: no timer fires before the end."""
        self._monotonic += seconds

    async def sleep(self, seconds: float) -> None:
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (self._monotonic + seconds, next(self._numbers), timer))
        await timer

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass, timer by timer, and each time let everything run that can."""
        end = self._monotonic + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            await self._fire_next()
        self._monotonic = end
        await settle()

    async def advance_until(self, reached: Callable[[], bool], *, at_most: float) -> float:
        """Let time pass until *reached*; returns how much. Fails after *at_most* seconds."""
        began = self._monotonic
        await settle()
        while not reached():
            assert self._timers, "nothing waits for time to pass"
            assert self._timers[0][0] <= began + at_most, f"not reached within {at_most} s"
            await self._fire_next()
        return self._monotonic - began

    async def _fire_next(self) -> None:
        due, _, timer = heapq.heappop(self._timers)
        if not timer.done():
            self._monotonic = max(self._monotonic, due)
            timer.set_result(None)
            await settle()


async def settle(rounds: int = 40) -> None:
    """Let all tasks run that wait for nothing but their turn."""
    for _ in range(rounds):
        await asyncio.sleep(0)
