"""The order of one person's events, in many random lives of a store that fails and is slow."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import attrs

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.handling import Handling
from kochava_bot_middleware.inbox.inbox import Inbox
from kochava_bot_middleware.inbox.settings import InboxSettings
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Claim, Committed, Unit
from tests.inbox.inbox_fakes import FaultyStore, message, waiting

_Answer = TypeVar("_Answer")

LIVES = range(100)
PEOPLE = ("ann", "ben", "cleo", "dan", "eve", "fay")
EVENTS = 12


class _SkippingSelector(selectors.SelectSelector):
    """Instead of waiting, lets time pass."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing waits for time to pass"
        self.now += max(0.0, timeout)
        return super().select(0)


class _SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop in which no time passes while something can run, and waiting takes none."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.now


class _LoopClock:
    def now(self) -> float:
        return 1_800_000_000.0 + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _MoodyStore(FaultyStore):
    """Serves one after the other, as a file does; in a bad mood it fails or takes its time."""

    def __init__(self, store: MemoryStore, chance: random.Random) -> None:
        super().__init__(store)
        self.durable = True
        self.is_moody = False
        self._chance = chance
        self._turn = asyncio.Lock()

    async def commit(self, unit: Unit) -> Committed:
        return await self._serve(lambda: self.inner.commit(unit))

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        return await self._serve(lambda: self.inner.claim(queue, limit, lease_seconds))

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        return await self._serve(lambda: self.inner.renew(claims, lease_seconds))

    async def _serve(self, answer: Callable[[], Awaitable[_Answer]]) -> _Answer:
        async with self._turn:
            mood = self._chance.random()
            if self.is_moody and mood < 0.4:
                raise StoreUnavailable("not in the mood")
            if self.is_moody and mood < 0.6:
                await asyncio.sleep(self._chance.random() * 0.15)
            elif mood > 0.9:
                await asyncio.sleep(self._chance.random() * 0.01)
            return await answer()


@attrs.define
class _Life:
    """
    One random life of a store, and what became of everybody's events.

    Attributes:
        handled: Numbers of the events, by person, as their handlers ended.
        oddities: What must never happen besides: two handlers of one person at once, an event handled twice.
    """

    chance: random.Random
    handled: dict[str, list[int]] = attrs.field(factory=lambda: {person: [] for person in PEOPLE})
    oddities: list[str] = attrs.field(factory=list)
    _busy: set[str] = attrs.field(factory=set)

    async def dispatch(self, handling: Handling) -> None:
        event: Any = handling.event
        person, number = event.text.split()
        if person in self._busy or event.attempt > 1:
            self.oddities.append(event.text)
        self._busy.add(person)
        await asyncio.sleep(self.chance.random() * 0.004)
        self._busy.discard(person)
        self.handled[person].append(int(number))

    async def write(self, inbox: Inbox, person: str) -> None:
        """Send this person's events; Facebook delivers again until each is taken, and now and then once more."""
        for number in range(EVENTS):
            events = [message(f"{person} {number}", person)]
            while not await _is_taken(inbox, events):
                await asyncio.sleep(0.02)
            if self.chance.random() < 0.3:
                await _is_taken(inbox, events)
            await asyncio.sleep(self.chance.random() * 0.03)

    async def change_moods(self, store: _MoodyStore) -> None:
        for _ in range(6):
            await asyncio.sleep(self.chance.random() * 0.15)
            store.is_moody = self.chance.random() < 0.6
        store.is_moody = False

    async def run(self) -> None:
        clock = _LoopClock()
        store = _MoodyStore(MemoryStore(clock=clock), self.chance)
        settings = InboxSettings(lease_seconds=30, poll_seconds=0.05, commit_timeout_seconds=0.05, concurrency=8)
        inbox = Inbox(store=store, dispatch=self.dispatch, settings=settings, clock=clock)
        await inbox.start()
        await asyncio.gather(self.change_moods(store), *(self.write(inbox, person) for person in PEOPLE))
        await asyncio.sleep(10)
        if inbox.at_risk or await waiting(store):
            self.oddities.append("something was never settled")
        await inbox.stop()


async def _is_taken(inbox: Inbox, events: Sequence[Any]) -> bool:
    try:
        await inbox.accept(events)
    except StoreUnavailable:
        return False
    return True


def test_everybody_is_handled_in_order_whatever_the_store_does() -> None:
    """Each event once, one at a time for a person, and as they came. A seed that fails is a life to be looked at."""
    in_order = {person: list(range(EVENTS)) for person in PEOPLE}
    unhappy = {}
    for seed in LIVES:
        life = _Life(random.Random(seed))
        with asyncio.Runner(loop_factory=_SkippingLoop) as runner:
            runner.run(life.run())
        if life.oddities or life.handled != in_order:
            wrong = {person: numbers for person, numbers in life.handled.items() if numbers != in_order[person]}
            unhappy[seed] = (wrong, life.oddities)

    assert {} == unhappy
