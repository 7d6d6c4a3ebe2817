"""Whether a claim is still owned when work on it would begin."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kochava_bot_middleware.queues.claims import Claimed, Leases
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Claim, Entry, Queue, Unit
from tests.fakes import VirtualClock

LEASE = 60.0


class StalledStore(MemoryStore):
    """A store whose first answer to a renewal reaches a process that was stopped for a while."""

    def __init__(self, clock: VirtualClock, stall: float = 0.0) -> None:
        super().__init__(clock=clock)
        self.renewals = 0
        self._virtual = clock
        self._stall = stall

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        self.renewals += 1
        renewed = await super().renew(claims, lease_seconds)
        stall, self._stall = self._stall, 0.0
        await self._virtual.advance(stall)
        return renewed


async def held_in(store: MemoryStore, leases: Leases, *lanes: str) -> list[Claimed]:
    entries = [Entry(id=lane, queue=Queue.TRACK, lane=lane, created_at=0.0, body=b"") for lane in lanes or ("ann",)]
    await store.commit(Unit(appends=entries))
    asked_at = leases.now()
    held = [leases.add(claim, asked_at) for claim in await store.claim(Queue.TRACK, 9, LEASE)]
    return [claimed for claimed in held if claimed is not None]


async def test_a_fresh_lease_is_not_renewed() -> None:
    """Work well within its lease costs the store nothing."""
    clock = VirtualClock()
    store = StalledStore(clock)
    leases = Leases(store, clock, lease_seconds=LEASE, spare_seconds=LEASE * 2 / 3)
    (claimed,) = await held_in(store, leases)
    await clock.advance(LEASE / 2)
    assert (True, 0) == (await leases.is_owned(claimed), store.renewals)


async def test_an_aged_lease_is_renewed() -> None:
    """What might lapse while the work goes on is extended first."""
    clock = VirtualClock()
    store = StalledStore(clock)
    leases = Leases(store, clock, lease_seconds=LEASE, spare_seconds=LEASE * 2 / 3)
    (claimed,) = await held_in(store, leases)
    await clock.advance(LEASE * 0.9)
    assert await leases.is_owned(claimed)
    assert LEASE == await store.next_due_in(Queue.TRACK)


async def test_a_lease_looks_aged_when_only_the_wall_clock_went_on() -> None:
    """As on a machine that slept."""
    clock = VirtualClock()
    store = StalledStore(clock)
    leases = Leases(store, clock, lease_seconds=LEASE, spare_seconds=LEASE * 2 / 3)
    (claimed,) = await held_in(store, leases)
    clock.jump(LEASE * 0.9)
    assert (True, 1) == (await leases.is_owned(claimed), store.renewals)


async def test_a_renewal_that_was_answered_long_ago_is_not_trusted() -> None:
    """Stopped while the store answered: another worker has the entry by now, so nothing may be sent."""
    clock = VirtualClock()
    store = StalledStore(clock, LEASE * 1.5)
    leases = Leases(store, clock, lease_seconds=LEASE, spare_seconds=LEASE * 2 / 3)
    (claimed,) = await held_in(store, leases)
    await clock.advance(LEASE * 0.9)

    async def taken_over() -> list[Claim]:
        await clock.sleep(LEASE * 1.2)
        return await store.claim(Queue.TRACK, 1, LEASE)

    async with asyncio.TaskGroup() as group:
        takeover = group.create_task(taken_over())
        owning = group.create_task(leases.is_owned(claimed))
    assert 1 == len(takeover.result())
    assert not owning.result()


async def test_an_entry_taken_over_from_itself_stays_one() -> None:
    """Its lease lapsed and this process was first to claim it; the work that goes on has the new claim."""
    clock = VirtualClock()
    store = StalledStore(clock)
    leases = Leases(store, clock, lease_seconds=LEASE, spare_seconds=LEASE * 2 / 3)
    (claimed,) = await held_in(store, leases)
    clock.stall(LEASE + 1)
    (again,) = await store.claim(Queue.TRACK, 1, LEASE)
    assert leases.add(again, leases.now()) is None
    assert (again, True, 0) == (claimed.claim, await leases.is_owned(claimed), store.renewals)


async def test_only_what_is_not_begun_is_given_back() -> None:
    """At a shutdown."""
    clock = VirtualClock()
    store = StalledStore(clock)
    leases = Leases(store, clock, lease_seconds=LEASE, spare_seconds=LEASE * 2 / 3)
    ann, ben, carl = await held_in(store, leases, "ann", "ben", "carl")
    leases.begin(ann)
    leases.discard(carl)
    assert (2, 1) == (len(leases), leases.unbegun)
    assert [ben.claim] == leases.discard_unbegun()
    assert (1, 0) == (len(leases), leases.unbegun)
