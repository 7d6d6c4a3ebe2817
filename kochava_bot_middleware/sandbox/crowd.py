"""What the people of the demo do: they greet, ask, tap, buy and follow links, each in their own time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import aiohttp
import attrs

from ..clock import Clock
from .people import SimulatedUser

PATIENCE_SECONDS = 30.0
"""How long a person waits for the greeting: longer than any restart of the shop takes."""

_QUESTIONS = ("Do you have shoes?", "Are they warm?", "In green, please", "What about laces?", "How long is shipping?")


@attrs.define(kw_only=True)
class Crowd:
    """
    People who chat at the same time.

    Attributes:
        people: Who they are.
        chance: Decides what they do.
        clock: Makes their pauses.
        pause_seconds: Shortest and longest pause between two actions of one person.
        url_taps: URL buttons tapped that led to a website.
        broken_taps: URL buttons tapped while Kochava, and so the SmartLink, was down.
    """

    people: Sequence[SimulatedUser]
    chance: random.Random
    clock: Clock
    pause_seconds: tuple[float, float] = (0.1, 0.5)
    url_taps: int = 0
    broken_taps: int = 0

    async def chat(self, seconds: float) -> None:
        """Let everybody chat for so long. The last thing that everybody does is to write a message."""
        end = self.clock.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for person in self.people:
                group.create_task(self._chat(person, end))

    async def _chat(self, person: SimulatedUser, end: float) -> None:
        await self._pause()
        if not person.inbox:
            await person.gets_started()
            try:
                await person.next_message(within_seconds=PATIENCE_SECONDS)
            except TimeoutError:
                # Whoever is not greeted leaves; the books will show it.
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
            await self._follow(person)

    async def _follow(self, person: SimulatedUser) -> None:
        try:
            await person.taps("Details")
        except (aiohttp.ClientError, OSError):
            self.broken_taps += 1
        else:
            self.url_taps += 1
