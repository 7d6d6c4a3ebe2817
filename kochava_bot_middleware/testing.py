"""
Everything needed to test a bot without Facebook, without Kochava, and without waiting.

Example:
    ```python
    async with LocalMessenger(app_secret="s", verify_token="v", page_tokens={"t": "1001"}) as messenger:
        bot = MessengerBot.from_dict(messenger.settings())
        ...
        person = messenger.person()
        await person.says("hello")
        assert (await person.next_message()).text == "Hello!"
    ```
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .sandbox.kochava.records import KochavaRecord
from .sandbox.kochava.rules import KochavaCredentials
from .sandbox.kochava.server import KochavaOptions, LocalKochava
from .sandbox.messenger.server import LocalMessenger
from .sandbox.messenger.users import SimulatedUser
from .sandbox.messenger.webhooks import MessengerOptions, signed_webhook
from .store.memory import MemoryStore

__all__ = [
    "KochavaCredentials",
    "KochavaOptions",
    "LocalKochava",
    "LocalMessenger",
    "MemoryStore",
    "MessengerOptions",
    "SimulatedUser",
    "VirtualClock",
    "assert_event",
    "signed_webhook",
]


async def assert_event(
    kochava: LocalKochava,
    name: str,
    data: Mapping[str, Any] | None = None,
    *,
    user_id: str | None = None,
    within_seconds: float = 5.0,
) -> KochavaRecord:
    """
    Wait until Kochava has received an event, and return it.

    Args:
        kochava: The local Kochava.
        name: The event's name.
        data: Members that its ``event_data`` must have; it may have others.
        user_id: The user whose event it must be; ``None`` for any.
        within_seconds: How long to wait, in real time.

    Raises:
        AssertionError: It was not received; the message shows what was, and how it differs.
    """
    expected = dict(data or {})

    def differences(record: KochavaRecord) -> Iterator[str]:
        if record.name != name:
            yield f"the name is {record.name!r}"
        if user_id not in (None, record.user_id()):
            yield f"the user is {record.user_id()!r}"
        found = record.event_data if isinstance(record.event_data, Mapping) else {}
        for key, value in expected.items():
            if key not in found:
                yield f"{key!r} is missing"
            elif found[key] != value:
                yield f"{key!r} is {found[key]!r}"

    def matching() -> KochavaRecord | None:
        return next((record for record in kochava.events if not any(differences(record))), None)

    try:
        await kochava.wait_until(lambda: matching() is not None, within_seconds=within_seconds)
    except TimeoutError:
        wanted = "" if user_id is None else f" of user {user_id!r}"
        wanted += f" with {expected!r}" if expected else ""
        lines = [f"no event {name!r}{wanted} was received within {within_seconds} s; received were:"]
        lines += [f"  {record.name!r}: {', '.join(differences(record))}" for record in kochava.events] or [
            "  no events"
        ]
        lines += [f"  rejected: {one.method} {one.path}: {one.reason}" for one in kochava.rejections]
        raise AssertionError("\n".join(lines)) from None
    record = matching()
    assert record is not None
    return record


class VirtualClock:
    """A `Clock` that does not move until it is advanced."""

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
        """Set the wall clock forwards or backwards; no time passes."""
        self._offset += seconds

    def stall(self, seconds: float) -> None:
        """Let time pass at once, as for a stopped process: timers fire only afterwards."""
        self._monotonic += seconds

    async def sleep(self, seconds: float) -> None:
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._timers, (self._monotonic + seconds, next(self._numbers), timer))
        await timer

    async def advance(self, seconds: float) -> None:
        """Let *seconds* pass, timer by timer; after each, all tasks run that can."""
        end = self._monotonic + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            await self._fire_next()
        self._monotonic = end
        await settle()

    async def advance_until(self, reached: Callable[[], bool], *, at_most: float) -> float:
        """Let time pass until *reached*; returns the seconds passed. Fails after *at_most* seconds."""
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
    """Let all tasks run that are ready to run."""
    for _ in range(rounds):
        await asyncio.sleep(0)
