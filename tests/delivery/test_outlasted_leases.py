"""A lease that ends before its delivery can be committed, and a store whose clock is another one."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from kochava_bot_middleware.delivery.attempt import Settled
from kochava_bot_middleware.delivery.known_ends import KnownEnds
from kochava_bot_middleware.delivery.leases import Held
from kochava_bot_middleware.kochava.client import Answer
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Claim, Outcome, Settlement
from tests.delivery.harness import BUSY, OK, ShakyStore, World, entry_of, event
from tests.fakes import ServersClock


def claim_of(number: int, token: str = "first") -> Claim:
    return Claim(entry=entry_of(event(number), at=0), token=token, expires_at=60, attempt=1)


def end_of(claim: Claim, outcome: Outcome = Outcome.DONE) -> Settled:
    return Settled(settlement=Settlement(claim=claim, outcome=outcome))


def held(claim: Claim) -> Held:
    return Held(claim=claim, monotonic_at=0, wall_at=0)


class FullStore(ShakyStore):
    """A store that claims, but cannot commit while it is broken."""

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, at_most_ahead_seconds: float | None = None
    ) -> list[Claim]:
        return await MemoryStore.claim(self, queue, limit, lease_seconds, at_most_ahead_seconds=at_most_ahead_seconds)

    async def next_due_at(self, queue: str, *, at_most_ahead_seconds: float | None = None) -> float | None:
        return await MemoryStore.next_due_at(self, queue, at_most_ahead_seconds=at_most_ahead_seconds)


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


def test_only_deliveries_are_known_and_only_until_they_are_committed() -> None:
    """What is to be retried is tried again; what the store knows need not be remembered."""
    ends = KnownEnds()
    ends.note(end_of(claim_of(1), Outcome.RETRY))
    assert None is ends.of(held(claim_of(1, "second")))
    ends.note(end_of(claim_of(1)))
    assert end_of(claim_of(1, "second")) == ends.of(held(claim_of(1, "second")))
    ends.committed(end_of(claim_of(1, "second")))
    assert None is ends.of(held(claim_of(1, "third")))


def test_the_oldest_known_ends_make_room() -> None:
    """Ends that nobody ever asks for do not pile up."""
    ends = KnownEnds(most=2)
    for number in range(3):
        ends.note(end_of(claim_of(number)))
    assert [False, True, True] == [ends.of(held(claim_of(number))) is not None for number in range(3)]


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
