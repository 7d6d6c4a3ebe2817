"""Traffic for the demo: users who chat at the same time, each at their own pace."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence

import aiohttp
import attrs

from ..clock import Clock
from .messenger.users import SimulatedUser

GREETING_TIMEOUT_SECONDS = 30.0
"""How long a user waits for the greeting: longer than a restart of the bot takes."""

_QUESTIONS = ("Do you have shoes?", "Are they warm?", "In green, please", "What about laces?", "How long is shipping?")


@attrs.define(kw_only=True)
class Traffic:
    """Users who chat at the same time; *pause_seconds* are the shortest and longest pause of one user."""

    people: Sequence[SimulatedUser]
    chance: random.Random
    clock: Clock
    pause_seconds: tuple[float, float] = (0.1, 0.5)

    async def chat(self, seconds: float) -> None:
        """Let all users chat for so long. The last action of each is to write a message."""
        end = self.clock.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for person in self.people:
                group.create_task(self._chat(person, end))

    async def _chat(self, person: SimulatedUser, end: float) -> None:
        await self._pause()
        if not person.inbox:
            await person.gets_started()
            try:
                await person.next_message(within_seconds=GREETING_TIMEOUT_SECONDS)
            except TimeoutError:
                # The audit reports the missing greeting.
                return
            await self._pause()
            await person.taps("Start Chatting")
        while self.clock.monotonic() < end:
            await self._pause()
            await self._act(person)
        await person.says("Bye!")

    async def _pause(self) -> None:
        await self.clock.sleep(self.chance.uniform(*self.pause_seconds))

    async def _act(self, person: SimulatedUser) -> None:
        offers = [message for message in person.inbox if message.quick_replies]
        choice = self.chance.random()
        if not offers or choice < 0.45:
            await person.says(self.chance.choice(_QUESTIONS))
        elif choice < 0.65:
            await person.taps("Buy")
        elif choice < 0.85:
            await person.taps_quick_reply(self.chance.choice(offers[-1].quick_replies))
        else:
            # While Kochava is down, the SmartLink is too.
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await person.taps("Details")
