"""Greetings of one person in two processes at once, with random interleavings."""

from __future__ import annotations

import asyncio
import itertools
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kochava_bot_middleware.kochava.records import Impression
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.messenger.outgoing import Outgoing
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, Queue, Unit
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from kochava_bot_middleware.store.wrapper import StoreWrapper
from tests.fakes import VirtualClock
from tests.tracking.tracked_bot import GREETING, PAGE_ID, USER_ID, TrackedBot, body_to, tracked_bot

DAY = 86400.0


class OrderedStore(StoreWrapper):
    """Remembers in which order entries were appended, of whichever queue."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.appended: list[str] = []

    async def commit(self, unit: Unit) -> Committed:
        committed = await super().commit(unit)
        self.appended += committed.appended
        return committed


class TwoProcesses:
    """One person's story with two processes on one store, driven step by step."""

    def __init__(self, store: Store, clock: VirtualClock) -> None:
        self.clock = clock
        self.processes = [tracked_bot(clock, store=store, greeting=GREETING) for _ in range(2)]
        self.mids: list[str] = []
        self.past: list[Event] = []
        self.numbers = 0

    async def step(self, action: str, which: int, seconds: float) -> None:
        bot = self.processes[which]
        match action:
            case "greet":
                await self._handle(bot, bot.postback(), self._greeting(bot))
            case "push":
                await self._send(bot)
            case "deliver" if self.mids:
                await self._handle(bot, bot.delivery(self.mids[int(seconds) % len(self.mids)]))
            case "watermark":
                await self._handle(bot, bot.delivery())
            case "write":
                await self._handle(bot, bot.message(mid=f"text-{self._number()}"))
            case "tap":
                await self._handle(bot, bot.postback("CHAT"))
            case "menu":
                await self._handle(bot, bot.postback("MENU"))
            case "again" if self.past:
                await bot.handle(self.past[int(seconds) % len(self.past)])
            case "restart":
                self.processes[which] = bot.restarted()
            case "time":
                self.clock.stall(seconds)
            case "timers":
                await bot.end_waits()
            case _:
                pass

    def _greeting(self, bot: TrackedBot) -> Any:
        @bot.kochava.greeting
        async def greet(_event: Event) -> None:
            await self._send(bot, greeting=False)

        return greet

    async def _send(self, bot: TrackedBot, *, greeting: bool = True) -> None:
        mid = f"mid-{self._number()}"

        async def graph(_outgoing: Outgoing) -> Any:
            return {"message_id": mid, "recipient_id": USER_ID}

        await bot.kochava.chain_layer.send(Outgoing(body=body_to(), page_id=PAGE_ID, greeting=greeting), graph)
        self.mids.append(mid)

    async def _handle(self, bot: TrackedBot, event: Event, handler: Any = None) -> None:
        self.past.append(event)
        await (bot.handle(event) if handler is None else bot.handle(event, handler))

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers


actions = st.lists(
    st.tuples(
        st.sampled_from(
            ["greet", "push", "deliver", "watermark", "write", "tap", "menu", "again", "restart", "time", "timers"]
        ),
        st.integers(0, 1),
        st.sampled_from([0.5, 3.0, 30.0, 61.0, 3600.0, 90_000.0]),
    ),
    max_size=25,
)


@asynccontextmanager
async def opened(kind: str, clock: VirtualClock) -> AsyncIterator[Store]:
    if kind == "memory":
        yield MemoryStore(clock=clock)
        return
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "funnel.db", clock=clock)
        yield store
        await store.close()


async def check_steps(kind: str, steps: list[tuple[str, int, float]]) -> None:
    clock = VirtualClock()
    async with opened(kind, clock) as opened_store:
        store = OrderedStore(opened_store)
        processes = TwoProcesses(store, clock)
        for action, which, seconds in steps:
            await processes.step(action, which, seconds)
        rows = await processes.processes[0].records(Queue.PING)
        rows.sort(key=lambda row: store.appended.index(row.id))
        # Never a click before or without its impression, and never two of either in one window.
        assert re.fullmatch("(i c? ?)*", "".join(f"{row.kind[0]} " for row in rows))
        impressions = [row.usertime for row in rows if isinstance(row, Impression)]
        assert all(later - earlier >= DAY - 6 for earlier, later in itertools.pairwise(impressions))


@given(actions)
@settings(max_examples=200)
def test_each_window_has_at_most_one_impression_and_one_click(
    steps: list[tuple[str, int, float]],
) -> None:
    """Random interleavings of sends, deliveries, duplicates, restarts, time and the person's actions."""
    asyncio.run(check_steps("memory", steps))


@given(actions)
@settings(max_examples=40)
def test_the_same_holds_in_a_file(steps: list[tuple[str, int, float]]) -> None:
    """With a durable store, two processes at once."""
    asyncio.run(check_steps("sqlite", steps))
