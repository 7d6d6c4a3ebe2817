"""Two bots go on while the server of their store is killed again and again: what each received is begun in order."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from kochava_bot_middleware.handling import Handling
from kochava_bot_middleware.inbox.inbox import Inbox
from kochava_bot_middleware.inbox.settings import InboxSettings
from kochava_bot_middleware.store.address import open_store
from tests.faults.engines import OWN_SERVERS, Engine
from tests.inbox.inbox_fakes import message

BOTS = 2
PEOPLE = 60
KILLS = 3
SETTINGS = InboxSettings(
    commit_timeout_seconds=0.2, lease_seconds=2.0, poll_seconds=0.2, on_store_failure="buffer", drain_seconds=2.0
)


class Run:
    """
    Two inboxes, between which everybody's events are divided at random.

    Attributes:
        received: By bot and person, in order.
        begun: Each event once, in order.
    """

    def __init__(self, seed: int) -> None:
        self.received: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
        self.begun: dict[str, None] = {}
        self._chance = random.Random(seed)
        self._ended: set[str] = set()
        self._is_over = False

    async def handle(self, handling: Handling) -> None:
        text = handling.event.text  # type: ignore[attr-defined]
        self.begun.setdefault(text)
        await asyncio.sleep(self._chance.uniform(0, 0.05))
        self._ended.add(text)

    async def write(self, inboxes: list[Inbox]) -> None:
        """Let everybody write until `end`."""

        async def chat(user: str) -> None:
            number = 0
            while not self._is_over:
                bot = self._chance.randrange(BOTS)
                await inboxes[bot].accept([message(f"{user} {number}", user)])
                self.received[bot, user].append(f"{user} {number}")
                number += 1
                await asyncio.sleep(self._chance.uniform(0.02, 0.3))

        async with asyncio.TaskGroup() as group:
            for number in range(PEOPLE):
                group.create_task(chat(f"person{number}"))

    async def end(self, writing: asyncio.Task[None]) -> None:
        """Let nobody write any more; returns when all is handled."""
        self._is_over = True
        await writing
        async with asyncio.timeout(40):
            while self._ended != {text for texts in self.received.values() for text in texts}:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("new_engine", OWN_SERVERS.values(), ids=OWN_SERVERS)
async def test_what_each_bot_received_is_begun_in_order(new_engine: Callable[[], Engine], seed: int) -> None:
    """Whichever of them handles it, and whether or not it was at risk."""
    run = Run(seed)
    pauses = random.Random(seed)
    engine = await asyncio.to_thread(new_engine)
    try:
        await engine.prepare()
        async with AsyncExitStack() as stack:
            inboxes = []
            for _ in range(BOTS):
                separator = "&" if "?" in engine.url else "?"
                store = open_store(f"{engine.url}{separator}timeout_seconds=1")
                stack.push_async_callback(store.close)
                inboxes.append(Inbox(store=store, dispatch=run.handle, settings=SETTINGS))
                stack.push_async_callback(inboxes[-1].stop)
                await inboxes[-1].start()
            writing = asyncio.create_task(run.write(inboxes))
            for _ in range(KILLS):
                await asyncio.sleep(pauses.uniform(0.5, 1.0))
                await asyncio.to_thread(engine.kill)
                await asyncio.sleep(pauses.uniform(0.3, 1.0))
                await asyncio.to_thread(engine.start)
            await run.end(writing)
    finally:
        await asyncio.to_thread(engine.remove)

    for (bot, user), texts in run.received.items():
        assert texts == [text for text in run.begun if text in set(texts)], f"seed {seed}: {user} at bot {bot}"
