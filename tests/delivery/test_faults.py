"""Real client, real server, real clock: what each fault on the wire means for a record."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import attrs
import pytest

from kochava_bot_middleware.clock import SystemClock
from kochava_bot_middleware.delivery.attempt import Deliverer, Settled
from kochava_bot_middleware.delivery.settings import DeliverySettings
from kochava_bot_middleware.delivery.worker import Worker
from kochava_bot_middleware.kochava.client import KochavaClient
from kochava_bot_middleware.kochava.destination import Destination, Destinations, WireSettings
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import EntryState, Listed, Unit
from tests.delivery.harness import entry_of, event
from tests.faults.fault_server import FaultServer, Mode


@attrs.define
class Rig:
    server: FaultServer
    store: MemoryStore
    worker: Worker
    ended: asyncio.Event
    listeners: list[Callable[[Settled], None]]

    async def append(self, *numbers: int) -> None:
        now = SystemClock().now()
        await self.store.commit(Unit(appends=[entry_of(event(number), at=now) for number in numbers]))
        self.worker.wake()

    async def settled(self) -> None:
        self.ended.clear()
        await asyncio.wait_for(self.ended.wait(), 10)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    server = FaultServer()
    async with server.running():
        store = MemoryStore()
        client = KochavaClient(timeout_seconds=0.3)
        ended = asyncio.Event()
        listeners: list[Callable[[Settled], None]] = [lambda _settled: ended.set()]
        deliverer = Deliverer(
            client,
            Destinations([Destination(app_id="koapp", wire=WireSettings(event_url=f"{server.url}/track/json"))]),
            DeliverySettings(retry_waits_seconds=(0.05,), probe_waits_seconds=(0.05,), poll_seconds=0.05),
            rng=random.Random(3),
        )

        def on_settled(settled: Settled) -> None:
            for listener in listeners:
                listener(settled)

        worker = Worker(store, deliverer, on_settled=on_settled)
        running = asyncio.create_task(worker.run())
        yield Rig(server, store, worker, ended, listeners)
        await worker.stop(5)
        await running
        await client.close()


@pytest.mark.parametrize(
    ("mode", "reason", "ambiguous"),
    [
        (Mode.STATUS, "server error", 0),
        (Mode.HANG, "no answer in time", 1),
        (Mode.RESET, "connection broke", 1),
        (Mode.HALF_HEADER, "connection broke", 1),
        (Mode.HALF_BODY, "answer broke off", 1),
    ],
)
async def test_fault_is_retried_until_the_server_works(rig: Rig, mode: Mode, reason: str, ambiguous: int) -> None:
    """No fault of the wire loses a record, and those of unknown outcome are counted."""
    reasons: list[str] = []

    rig.listeners.append(lambda settled: reasons.append(settled.reason))
    rig.server.choose = lambda _received: mode if len(rig.server.received) == 1 else Mode.OK
    await rig.append(1)
    await rig.settled()
    while rig.worker.counts.delivered < 1:
        await rig.settled()
    assert [reason, ""] == reasons
    assert ambiguous == rig.worker.counts.ambiguous
    assert 2 == len(rig.server.received)


async def test_slow_answer_is_an_answer(rig: Rig) -> None:
    """Below the time-out nothing is repeated."""
    rig.server.mode = Mode.SLOW
    await rig.append(1)
    await rig.settled()
    assert (1, 0) == (rig.worker.counts.delivered, rig.worker.counts.ambiguous)


async def test_rejection_is_dead(rig: Rig) -> None:
    """Success false on the wire."""
    rig.server.mode = Mode.REJECTED
    await rig.append(1)
    await rig.settled()
    dead: list[Listed] = await rig.store.browse("track", state=EntryState.DEAD)
    assert ["rejected by Kochava"] == [row.reason for row in dead]


async def test_lane_order_survives_a_storm_of_faults(rig: Rig) -> None:
    """D3.4: first sends are in order, whatever happens to each."""
    rng = random.Random(11)
    storm = [Mode.STATUS, Mode.RESET, Mode.HALF_BODY, Mode.HALF_HEADER, Mode.OK, Mode.OK]
    rig.server.status = 500
    rig.server.choose = lambda _received: rng.choice(storm)
    await rig.append(*range(12))
    while rig.worker.counts.delivered < 12:
        await rig.settled()
    first_sends = list(dict.fromkeys(received.body for received in rig.server.received))
    assert 12 == len(first_sends)
    assert first_sends == sorted(first_sends, key=lambda body: int(body.split(b'"n":')[1].split(b"}")[0]))
