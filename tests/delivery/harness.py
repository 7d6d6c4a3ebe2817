"""A worker with a fake sender, a memory store and a virtual clock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from kochava_bot_middleware.delivery.attempt import Deliverer, Gate, Settled
from kochava_bot_middleware.delivery.settings import DeliverySettings
from kochava_bot_middleware.delivery.worker import Worker
from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.destination import Destination, Destinations, TrackerUrls, WireSettings
from kochava_bot_middleware.kochava.records import SCHEMA, Click, Engagement, Impression, Record, encode
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Claim, Committed, Entry, EntryState, Listed, QueueStats, Unit
from tests.fakes import VirtualClock

OK = Answer(status=200, start=b'{"success":"1"}')
BUSY = Answer(status=503)
Answers = Callable[[WireRequest], Answer | Failure]

TRACKER = TrackerUrls(
    impression_url="https://imp.kochava.test/track/impression?campaign_id=kogreet",
    click_url="https://control.kochava.test/v1/cpi/click?campaign_id=kogreet",
)
WIRE = WireSettings(event_url="https://control.kochava.test/track/json")
TRACKERS = {"greeting": TRACKER}


def event(number: int, *, user: str = "u1", app: str = "koapp", name: str = "Message", **facts: Any) -> Engagement:
    return Engagement(
        id=f"{app}-{user}-{number}",
        app_id=app,
        user_id=user,
        usertime=1_800_000_000,
        event_name=name,
        event_data={"n": number},
        device_ids={"fb_user_id": user},
        **facts,
    )


def impression(user: str = "u1", *, app: str = "koapp") -> Impression:
    return Impression(id=f"i-{app}-{user}", app_id=app, user_id=user, usertime=1_800_000_000)


def click(user: str = "u1", *, app: str = "koapp") -> Click:
    return Click(id=f"c-{app}-{user}", app_id=app, user_id=user, usertime=1_800_000_000)


def entry_of(record: Record, *, at: float) -> Entry:
    return Entry(id=record.id, queue=record.queue, lane=record.lane, schema=SCHEMA, created_at=at, body=encode(record))


class FakeSender:
    """A `Sender` that answers by a function, and can be made to hang."""

    def __init__(self) -> None:
        self.answer: Answers = lambda _request: OK
        self.requests: list[WireRequest] = []
        self.going_on = asyncio.Event()
        self.going_on.set()
        self.under_way = 0
        self.most_under_way = 0

    async def send(self, request: WireRequest) -> Answer | Failure:
        self.requests.append(request)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.going_on.wait()
            return self.answer(request)
        finally:
            self.under_way -= 1

    @property
    def sent(self) -> list[tuple[str, int]]:
        """User and number of each event sent."""
        bodies = [orjson.loads(request.body) for request in self.requests if request.body is not None]
        return [(body["data"]["device_ids"]["fb_user_id"], body["data"]["event_data"]["n"]) for body in bodies]


def body_of(request: WireRequest) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(request.body or b"{}")
    return body


class ShakyStore(MemoryStore):
    """A store whose engine can be switched off, and which counts its calls."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.broken = False
        self.claims = 0
        self.commits = 0
        self.sweeps = 0

    async def commit(self, unit: Unit) -> Committed:
        self._check()
        self.commits += 1
        return await super().commit(unit)

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        self._check()
        self.claims += 1
        return await super().claim(queue, limit, lease_seconds)

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        self._check()
        return await super().renew(claims, lease_seconds)

    async def next_due_in(self, queue: str) -> float | None:
        self._check()
        return await super().next_due_in(queue)

    async def sweep(self, longest_waits: Mapping[str, float] | None = None) -> None:
        self.sweeps += 1
        await super().sweep(longest_waits)

    def _check(self) -> None:
        if self.broken:
            msg = "switched off"
            raise StoreUnavailable(msg)


class World:
    """All that a test of the worker needs."""

    def __init__(
        self,
        *,
        destinations: Sequence[Destination] | None = None,
        gate: Gate | None = None,
        **settings: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.sender = FakeSender()
        self.store = ShakyStore(self.clock)
        self.settings = DeliverySettings(**settings)
        self.settled: list[Settled] = []
        self.destinations = Destinations(destinations or [Destination(app_id="koapp", wire=WIRE, trackers=TRACKERS)])
        self.gate = gate
        self.worker = self.another_worker()

    def another_worker(self) -> Worker:
        deliverer = Deliverer(
            self.sender, self.destinations, self.settings, clock=self.clock, rng=random.Random(7), gate=self.gate
        )
        return Worker(self.store, deliverer, on_settled=self.settled.append)

    async def append(self, *records: Record) -> None:
        await self.store.commit(Unit(appends=[entry_of(record, at=self.clock.now()) for record in records]))
        self.worker.wake()

    async def append_raw(self, **facts: Any) -> None:
        entry = Entry(**{"queue": "track", "lane": "koapp/u1", "created_at": self.clock.now(), **facts})
        await self.store.commit(Unit(appends=[entry]))
        self.worker.wake()

    async def stats(self, queue: str = "track") -> QueueStats:
        stats: Mapping[str, QueueStats] = await self.store.stats()
        return stats.get(queue, QueueStats())

    async def dead(self, queue: str = "track") -> list[Listed]:
        return await self.store.browse(queue, state=EntryState.DEAD)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.worker.run())
        try:
            await self.clock.advance(0)
            yield
        finally:
            self.sender.going_on.set()
            self.store.broken = False
            stopping = asyncio.create_task(self.worker.stop(60))
            await self.clock.advance(120)
            await asyncio.wait_for(stopping, 5)
            await asyncio.wait_for(task, 5)
