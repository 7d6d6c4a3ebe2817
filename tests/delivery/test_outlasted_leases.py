"""A lease that ends before its delivery can be committed, and a store whose clock is another one."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from kochava_bot_middleware.kochava.client import Answer
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Claim
from tests.delivery.harness import BUSY, OK, ShakyStore, World, event
from tests.fakes import ServersClock


class FullStore(ShakyStore):
    """A store that claims, but cannot commit nor renew while it is broken."""

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        return await MemoryStore.claim(self, queue, limit, lease_seconds)

    async def next_due_in(self, queue: str) -> float | None:
        return await MemoryStore.next_due_in(self, queue)


async def test_a_delivery_that_outlasted_its_lease_is_settled_and_not_sent_again() -> None:
    """The store wrote nothing for longer than the lease: Kochava has the record, and this worker knows."""
    world = World(lease_seconds=60)
    world.store = FullStore(world.clock)
    world.worker = world.another_worker()
    async with world.running():
        world.sender.going_on.clear()
        await world.append(event(1))
        await world.clock.advance(0.5)
        world.store.broken = True
        world.sender.going_on.set()
        await world.clock.advance(90)
        world.store.broken = False
        await world.clock.advance(60)
        assert [("u1", 1)] == world.sender.sent
        assert 1 == (await world.stats()).done


async def test_a_delivery_whose_claim_was_taken_over_is_not_sent_again_when_it_is_claimed_back() -> None:
    """The other worker died before it sent anything; here it is known that Kochava has the record."""
    world = World(lease_seconds=60)
    async with world.running():
        world.sender.going_on.clear()
        await world.append(event(1))
        await world.clock.advance(0.5)
        world.clock.stall(61)
        assert 1 == len(await world.store.claim("track", 1, 30))
        world.sender.going_on.set()
        await world.clock.advance(1)
        assert (1, 0) == (world.worker.counts.lost, (await world.stats()).done)
        await world.clock.advance(60)
        assert [("u1", 1)] == world.sender.sent
        assert 1 == (await world.stats()).done


def next_of(answers: Iterator[Answer], _request: WireRequest) -> Answer:
    return next(answers, OK)


async def test_a_retry_comes_by_the_stores_clock() -> None:
    """A worker whose clock is an hour ahead does not retry an hour late; one behind does not retry at once."""
    for ahead in (3600.0, -3600.0):
        world = World(retry_waits_seconds=[4.0], probe_waits_seconds=[1.0])
        store = ShakyStore(world.clock)
        MemoryStore.__init__(store, clock=ServersClock(world.clock, ahead))
        world.store = store
        world.worker = world.another_worker()
        world.sender.answer = functools.partial(next_of, iter([BUSY]))
        async with world.running():
            await world.append(event(1))
            await world.clock.advance(0.01)
            assert 1 == len(world.sender.requests)
            (row,) = await store.browse("track")
            assert row.due_at is not None
            assert 0 < row.due_at - (world.clock.now() + ahead) < 10
            await world.clock.advance(30)
            assert 1 == (await world.stats()).done
