"""Whether a claim still holds when its request would leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kochava_bot_middleware.delivery.leases import Held, Leases
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Claim, Queue, Unit
from tests.delivery.harness import entry_of, event
from tests.fakes import VirtualClock

LEASE = 60.0


class StalledStore(MemoryStore):
    """A store whose first answer to a renewal reaches a process that was stopped for a while."""

    def __init__(self, clock: VirtualClock, stall: float) -> None:
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


async def held_in(store: MemoryStore, clock: VirtualClock) -> Held:
    await store.commit(Unit(appends=[entry_of(event(1), at=clock.now())]))
    (claim,) = await store.claim(Queue.TRACK, 1, LEASE)
    return Held(claim=claim, monotonic_at=clock.monotonic(), wall_at=clock.now())


async def test_a_fresh_lease_is_not_renewed() -> None:
    """A request well within its lease costs the store nothing."""
    clock = VirtualClock()
    store = StalledStore(clock, 0.0)
    held = await held_in(store, clock)
    await clock.advance(LEASE / 2)
    owned = await Leases(store, clock, LEASE).owned(held)
    assert owned is not None
    assert (held.claim, clock.monotonic(), 0) == (owned.claim, owned.at, store.renewals)


async def test_an_aged_lease_is_renewed_before_the_request() -> None:
    """What might lapse under way is extended first."""
    clock = VirtualClock()
    store = StalledStore(clock, 0.0)
    held = await held_in(store, clock)
    await clock.advance(LEASE * 0.9)
    owned = await Leases(store, clock, LEASE).owned(held)
    assert owned is not None
    assert clock.now() + LEASE == owned.claim.expires_at


async def test_a_renewal_that_was_answered_long_ago_is_not_trusted() -> None:
    """Stopped while the store answered: another worker has the entry by now, so nothing may be sent."""
    clock = VirtualClock()
    store = StalledStore(clock, LEASE * 1.5)
    held = await held_in(store, clock)
    await clock.advance(LEASE * 0.9)

    async def taken_over() -> list[Claim]:
        await clock.sleep(LEASE * 1.2)
        return await store.claim(Queue.TRACK, 1, LEASE)

    async with asyncio.TaskGroup() as group:
        takeover = group.create_task(taken_over())
        owning = group.create_task(Leases(store, clock, LEASE).owned(held))
    assert 1 == len(takeover.result())
    assert None is owning.result()
