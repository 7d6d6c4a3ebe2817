"""The contract of claims and sweeps after the store's clock was set back, for every store."""

from __future__ import annotations

import pytest

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import Condition, Outcome, Queue
from tests.store.harness import (
    START,
    TOMBSTONE,
    ManualClock,
    append,
    claim_one,
    claimed_ids,
    entry,
    mark,
    put,
    recalled,
    settle,
)

HOUR = 3600.0
LONGEST: dict[str, float] = {Queue.TRACK: 120.0}
"""What the callers say: nothing of this queue waits or is leased for longer."""


@pytest.fixture
async def delayed(store: Store, clock: ManualClock) -> Store:
    """A store with an entry due at once, one in backoff and one leased, whose clock was then set back by an hour."""
    await append(store, entry("leased", lane="carl"))
    await claim_one(store)
    await append(store, entry("retried", lane="bob"))
    await settle(store, await claim_one(store), Outcome.RETRY, retry_after_seconds=30.0)
    await append(store, entry("fresh"))
    clock.advance(-HOUR)
    return store


async def test_sweep_bounds_the_delay(delayed: Store, clock: ManualClock) -> None:
    """What was put off before the clock was set back waits no longer than the longest wait, and then comes in order."""
    assert [] == await claimed_ids(delayed)
    await delayed.sweep(LONGEST)
    assert 120.0 == await delayed.next_due_in("track")
    clock.advance(120.0)
    assert {"fresh", "retried", "leased"} == set(await claimed_ids(delayed))


async def test_sweep_without_bounds_moves_nothing(delayed: Store) -> None:
    """The clock is trusted unless the caller knows the longest wait."""
    await delayed.sweep()
    assert HOUR == await delayed.next_due_in("track")


async def test_sweep_leaves_waits_within_the_bound_alone(store: Store, clock: ManualClock) -> None:
    """A wait or a lease that is as long as the bound is kept."""
    await append(store, entry("waits", wait_seconds=120.0), entry("leased", lane="bob"))
    await store.claim("track", 1, 120.0)
    await store.sweep(LONGEST)
    clock.advance(119.0)
    assert [] == await claimed_ids(store)
    clock.advance(1.0)
    assert {"waits", "leased"} == set(await claimed_ids(store))


async def test_sweep_bounds_only_the_queues_it_is_given(delayed: Store, clock: ManualClock) -> None:
    """Another queue may put off its entries for longer."""
    await append(delayed, entry("later", queue="timer", wait_seconds=HOUR))
    await delayed.sweep(LONGEST)
    assert HOUR == await delayed.next_due_in("timer")


async def test_clock_set_back_keeps_the_order_of_a_lane(delayed: Store, clock: ManualClock) -> None:
    """What waits behind a head is not claimed before it."""
    await append(delayed, entry("behind", lane="ann"), entry("behind the lease", lane="carl"))
    await delayed.sweep(LONGEST)
    clock.advance(120.0)
    assert {"fresh", "retried", "leased"} == set(await claimed_ids(delayed))


async def test_one_sweep_is_enough_for_all_entries_of_a_lane(store: Store, clock: ManualClock) -> None:
    """What was appended behind others before the clock was set back is due as soon as it is first."""
    await append(store, *[entry(name) for name in "abc"])
    clock.advance(-HOUR)
    await store.sweep(LONGEST)
    clock.advance(120.0)
    for name in "abc":
        claim = await claim_one(store)
        assert name == claim.entry.id
        await settle(store, claim)


async def test_an_entry_behind_others_has_no_time_of_its_own(store: Store) -> None:
    """Unless it was appended with a wait."""
    await append(store, entry("a"), entry("b"), entry("c", wait_seconds=5.0))
    assert [START, None, START + 5.0] == [row.due_at for row in await store.browse("track")]


async def test_claim_after_a_clock_was_set_back_counts_as_any(delayed: Store, clock: ManualClock) -> None:
    """It is an attempt, and it can be settled."""
    await delayed.sweep(LONGEST)
    clock.advance(120.0)
    claims = {claim.entry.id: claim for claim in await delayed.claim("track", 9, 60.0)}
    assert (1, 2, 2) == tuple(claims[name].attempt for name in ("fresh", "retried", "leased"))
    await settle(delayed, claims["fresh"])
    assert 1 == (await delayed.stats())["track"].done


async def test_lease_of_a_live_owner_outlasts_a_clock_set_back(store: Store, clock: ManualClock) -> None:
    """Nobody else gets it, and its owner settles it as if nothing had happened."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    clock.advance(-HOUR)
    await store.sweep(LONGEST)
    assert [] == await claimed_ids(store)
    await settle(store, claim)
    assert 1 == (await store.stats())["track"].done


async def test_lease_that_was_moved_is_renewed(store: Store, clock: ManualClock) -> None:
    """Its owner keeps it for as long as it lives."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    clock.advance(-HOUR)
    await store.sweep(LONGEST)
    clock.advance(119.0)
    assert [claim] == await store.renew([claim], 60.0)
    clock.advance(59.0)
    assert [] == await claimed_ids(store)


async def test_entry_appended_after_the_clock_was_set_back_is_claimed_at_once(delayed: Store) -> None:
    """The store's clock as it is now counts."""
    await append(delayed, entry("new", lane="dora"))
    assert 0 == await delayed.next_due_in("track")
    assert ["new"] == await claimed_ids(delayed)


async def test_listed_time_of_what_was_moved_is_the_new_one(delayed: Store) -> None:
    """A person sees when it is due now."""
    await delayed.sweep(LONGEST)
    assert {START - HOUR + 120.0} == {row.due_at for row in await delayed.browse("track")}


@pytest.mark.parametrize("condition", Condition)
async def test_expired_state_entry_that_was_deleted_stays_deleted(
    store: Store, clock: ManualClock, condition: Condition
) -> None:
    """Also when it was deleted on the condition that there is none."""
    await put(store, mark("k", b"1", expires_after_seconds=5))
    clock.advance(6)
    await put(store, mark("k", None, condition=condition))
    clock.advance(-HOUR)
    assert {} == await recalled(store, "k")


@pytest.mark.parametrize("condition", Condition)
async def test_expired_state_entry_that_was_replaced_keeps_its_new_value_and_expiry(
    store: Store, clock: ManualClock, condition: Condition
) -> None:
    """Nothing of the old one is left."""
    await put(store, mark("k", b"1", expires_after_seconds=5))
    clock.advance(6)
    await put(store, mark("k", b"2", condition=condition))
    clock.advance(-HOUR)
    assert {"k": b"2"} == await recalled(store, "k")
    clock.advance(3 * HOUR)
    await store.sweep()
    assert {"k": b"2"} == await recalled(store, "k")


async def test_what_was_swept_or_forgotten_stays_so(store: Store, clock: ManualClock) -> None:
    """What is removed because of its time is not there again when that time has not come yet."""
    await put(store, mark("k", b"1", expires_after_seconds=5), mark(TOMBSTONE.key, b"old", expires_after_seconds=5))
    await append(store, entry("a"))
    clock.advance(6)
    await store.sweep()
    await store.forget(["ann"], reason="forgotten", tombstone=TOMBSTONE)
    clock.advance(-HOUR)
    assert {TOMBSTONE.key: b"1"} == await recalled(store, "k", TOMBSTONE.key)
    assert [] == await claimed_ids(store)
