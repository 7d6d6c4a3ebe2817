"""The contract of a claim after the store's clock was set back, for every store."""

from __future__ import annotations

import asyncio

import pytest

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import Outcome, Settlement, Unit
from tests.store.harness import START, ManualClock, append, claim_one, claimed_ids, entry, settle

HOUR = 3600.0
AHEAD = 120.0
"""What the callers say: nothing is put off for longer."""


@pytest.fixture
async def held_up(store: Store, clock: ManualClock) -> Store:
    """A store with an entry due at once, one in backoff and one leased, whose clock was then set back by an hour."""
    await append(store, entry("leased", lane="carl"))
    await claim_one(store)
    await append(store, entry("retried", lane="bob"))
    await settle(store, await claim_one(store), Outcome.RETRY, retry_at=START + 30.0)
    await append(store, entry("fresh"))
    clock.advance(-HOUR)
    return store


async def test_clock_set_back_delays_no_claim(held_up: Store) -> None:
    """What waits for a time too far ahead is claimed, the nearest first."""
    assert ["fresh", "retried"] == await claimed_ids(held_up, at_most_ahead_seconds=AHEAD)


async def test_clock_is_trusted_without_a_bound(held_up: Store) -> None:
    """A caller that knows no bound waits until the clock is there again."""
    assert [] == await claimed_ids(held_up)
    assert START == await held_up.next_due_at("track")


async def test_claim_after_a_clock_was_set_back_is_a_lease_like_any(held_up: Store, clock: ManualClock) -> None:
    """It ends by the clock as it is now, counts as an attempt, and can be settled."""
    fresh, retried = await held_up.claim("track", 9, 60.0, at_most_ahead_seconds=AHEAD)
    assert (1, 2) == (fresh.attempt, retried.attempt)
    assert {clock.now() + 60.0} == {fresh.expires_at, retried.expires_at}
    unit = Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE) for claim in (fresh, retried)])
    await held_up.commit(unit)
    assert 2 == (await held_up.stats())["track"].done


async def test_what_is_due_by_the_clock_is_claimed_first(held_up: Store) -> None:
    """What waits too far ahead only fills the limit up."""
    await append(held_up, entry("new", lane="dora"), entry("newer", lane="emil"))
    claimed = []
    for limit in (1, 2, 2):
        claims = await held_up.claim("track", limit, 60.0, at_most_ahead_seconds=AHEAD)
        claimed.append([claim.entry.id for claim in claims])
    assert [["new"], ["newer", "fresh"], ["retried"]] == claimed


async def test_wait_as_long_as_the_bound_is_kept(store: Store, clock: ManualClock) -> None:
    """What waits no longer than the caller says is waited for."""
    await append(store, entry("a", due_at=START + AHEAD))
    assert [] == await claimed_ids(store, at_most_ahead_seconds=AHEAD)
    clock.advance(AHEAD)
    assert ["a"] == await claimed_ids(store, at_most_ahead_seconds=AHEAD)


async def test_only_the_queue_that_is_asked_for_is_claimed(held_up: Store) -> None:
    """Another queue may put off its entries for longer."""
    await append(held_up, entry("later", queue="timer", due_at=START + HOUR))
    assert [] == await claimed_ids(held_up, "ping", at_most_ahead_seconds=AHEAD)
    assert START + HOUR == await held_up.next_due_at("timer", at_most_ahead_seconds=3 * HOUR)


async def test_lease_of_a_live_owner_outlasts_a_clock_set_back(store: Store, clock: ManualClock) -> None:
    """Nobody else gets it, and its owner settles it as if nothing had happened."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    clock.advance(-HOUR)
    assert [] == await claimed_ids(store, at_most_ahead_seconds=AHEAD)
    await settle(store, claim)
    assert 1 == (await store.stats())["track"].done


async def test_lease_of_a_dead_owner_ends_within_the_bound(store: Store, clock: ManualClock) -> None:
    """Others wait for it no longer than for anything else, though its end was an hour ahead."""
    await append(store, entry("a"))
    await claim_one(store)
    clock.advance(-HOUR)
    assert [] == await claimed_ids(store, at_most_ahead_seconds=AHEAD)
    clock.advance(AHEAD - 1)
    assert [] == await claimed_ids(store, at_most_ahead_seconds=AHEAD)
    clock.advance(1)
    assert ["a"] == await claimed_ids(store, at_most_ahead_seconds=AHEAD)


async def test_lease_that_was_shortened_is_renewed(store: Store, clock: ManualClock) -> None:
    """Its owner keeps it for as long as it lives."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    clock.advance(-HOUR)
    await claimed_ids(store, at_most_ahead_seconds=AHEAD)
    clock.advance(AHEAD - 1)
    (renewed,) = await store.renew([claim], 60.0)
    clock.advance(59)
    assert [] == await claimed_ids(store, at_most_ahead_seconds=AHEAD)
    assert clock.now() + 1 == renewed.expires_at


async def test_longer_lease_within_the_bound_is_left_alone(store: Store, clock: ManualClock) -> None:
    """Another worker may have been given a longer lease by its settings."""
    await append(store, entry("a"))
    await store.claim("track", 1, AHEAD)
    assert [] == await claimed_ids(store, at_most_ahead_seconds=AHEAD)
    assert START + AHEAD == await store.next_due_at("track", at_most_ahead_seconds=AHEAD)
    clock.advance(AHEAD)
    assert ["a"] == await claimed_ids(store, at_most_ahead_seconds=AHEAD)


async def test_next_due_at_is_now_after_a_clock_was_set_back(held_up: Store, clock: ManualClock) -> None:
    """A worker that asks when to look again looks at once, and then when the shortened lease ends."""
    assert clock.now() == await held_up.next_due_at("track", at_most_ahead_seconds=AHEAD)
    for claim in await held_up.claim("track", 9, 60.0, at_most_ahead_seconds=AHEAD):
        await settle(held_up, claim)
    assert clock.now() + AHEAD == await held_up.next_due_at("track", at_most_ahead_seconds=AHEAD)


async def test_next_due_at_is_never_later_than_what_is_due(held_up: Store, clock: ManualClock) -> None:
    """What has been due for some time tells so, although other things wait too far ahead."""
    await append(held_up, entry("new", lane="dora"))
    since = clock.now()
    clock.advance(5)
    assert since == await held_up.next_due_at("track", at_most_ahead_seconds=AHEAD)


async def test_next_due_at_sees_a_lease_that_ends_too_far_ahead(store: Store, clock: ManualClock) -> None:
    """Who waits for it claims at once, which shortens it."""
    await append(store, entry("a"))
    await claim_one(store)
    clock.advance(-HOUR)
    assert clock.now() == await store.next_due_at("track", at_most_ahead_seconds=AHEAD)


async def test_what_waits_behind_a_head_is_not_claimed(held_up: Store) -> None:
    """A lane keeps its order whatever the clock does."""
    await append(held_up, entry("behind", lane="ann"), entry("behind the lease", lane="carl"))
    assert ["fresh", "retried"] == await claimed_ids(held_up, at_most_ahead_seconds=AHEAD)


async def test_many_that_wait_too_far_ahead_are_each_claimed_once(store: Store, clock: ManualClock) -> None:
    """Claim after claim empties them, within the limit of each."""
    await append(store, *(entry(str(number), lane=str(number), due_at=START + number) for number in range(25)))
    clock.advance(-HOUR)
    claimed: list[str] = []
    while claims := await store.claim("track", 10, 60.0, at_most_ahead_seconds=AHEAD):
        assert 10 >= len(claims)
        claimed += [claim.entry.id for claim in claims]
    assert [str(number) for number in range(25)] == claimed


async def test_concurrent_claimers_never_share_what_waits_too_far_ahead(store: Store, clock: ManualClock) -> None:
    """Each head is handed out once."""
    await append(store, *(entry(str(number), lane=str(number)) for number in range(40)))
    clock.advance(-HOUR)
    answers = await asyncio.gather(*(store.claim("track", 5, 60.0, at_most_ahead_seconds=AHEAD) for _ in range(8)))
    claimed = [claim.entry.id for claims in answers for claim in claims]
    claimed += await claimed_ids(store, at_most_ahead_seconds=AHEAD)
    assert sorted(map(str, range(40))) == sorted(claimed)
