"""The contract of commit, claim and settlement, for every store."""

from __future__ import annotations

import asyncio

import attrs
import pytest

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import (
    CommitVerdict,
    Condition,
    Lease,
    Mark,
    Outcome,
    Queue,
    QueueStats,
    Settlement,
    Unit,
)
from tests.store.harness import ManualClock, append, claim_one, claimed_ids, entry, mark, put, recalled, settle

TRACK = Lease(queue="track", seconds=60.0)
DAY = 86_400.0


async def test_appended_entry_is_claimed_as_it_was(store: Store) -> None:
    """A claim gives back every field of the entry, whatever bytes its body has."""
    wanted = attrs.evolve(
        entry("a", lane="ünïcode\x00\n'\"", body=bytes(range(256))), schema=7, kind="event", name="Pürchase\x00"
    )
    await append(store, wanted)
    claim = await claim_one(store)
    assert (wanted, 1) == (claim.entry, claim.attempt)
    assert 60.0 == await store.next_due_in("track")


async def test_id_seen_before_is_ignored(store: Store) -> None:
    """A second append with the id of a waiting entry is skipped, and the rest of its unit is written."""
    await append(store, entry("a"))
    answer = await append(store, entry("a", lane="bob", queue="ping"), entry("b", lane="bob"))
    assert (("b",), ("a",)) == (answer.appended, answer.repeated)
    assert ["a", "b"] == await claimed_ids(store)


async def test_id_twice_in_one_unit_is_appended_once(store: Store) -> None:
    """The repetition within a unit is skipped too."""
    answer = await append(store, entry("a"), entry("a"))
    assert (("a",), ("a",)) == (answer.appended, answer.repeated)


async def test_id_is_ignored_after_settlement(store: Store, clock: ManualClock) -> None:
    """A settled entry's id is remembered for the time set, counted from its settlement."""
    await append(store, entry("a"))
    await settle(store, await claim_one(store))
    clock.advance(2 * DAY - 1)
    assert ("a",) == (await append(store, entry("a"))).repeated
    clock.advance(1)
    assert ("a",) == (await append(store, entry("a"))).appended


async def test_id_of_a_dead_entry_is_ignored(store: Store, clock: ManualClock) -> None:
    """A dead entry that is still listed is not appended anew, however old it is."""
    await append(store, entry("a"))
    await settle(store, await claim_one(store), Outcome.DEAD)
    clock.advance(30 * DAY)
    await store.sweep()
    assert ("a",) == (await append(store, entry("a"))).repeated


async def test_lane_keeps_order(store: Store) -> None:
    """Entries of one lane are claimed one at a time, in the order they were appended."""
    await append(store, entry("a"), entry("b"))
    await append(store, entry("c"))
    seen = []
    for _ in range(3):
        (claim,) = await store.claim("track", 100, 60.0)
        seen.append(claim.entry.id)
        await settle(store, claim)
    assert ["a", "b", "c"] == seen


async def test_any_text_is_an_id_a_lane_and_a_key(store: Store) -> None:
    """Also control characters: order is kept, repetitions are ignored, and values are read."""
    lane = "ann\x00\x1a'"
    await append(store, entry("a\x00", lane=lane), entry("a\x00b", lane=lane), entry("a", lane="ann"))
    assert ("a\x00",) == (await append(store, entry("a\x00", lane=lane))).repeated
    assert {"a\x00", "a"} == set(await claimed_ids(store))
    await put(store, Mark(lane=lane, key="k\x00", value=b"1"))
    assert {"k\x00": b"1"} == dict(await store.recall([(lane, "k\x00"), (lane, "k")]))


async def test_queue_may_be_a_member_of_an_enum(store: Store) -> None:
    """It is the queue of that text."""
    await append(store, entry("a", queue=Queue.TRACK))
    await settle(store, await claim_one(store, Queue.TRACK))
    await append(store, entry("b", queue="track"))
    assert ["b"] == await claimed_ids(store, Queue.TRACK)


async def test_lanes_are_independent(store: Store) -> None:
    """The heads of all lanes can be claimed at once, and a lane is one within its queue only."""
    await append(store, entry("a"), entry("b"), entry("c", lane="bob"), entry("d", queue="ping"))
    assert ["a", "c"] == await claimed_ids(store)
    assert ["d"] == await claimed_ids(store, "ping")


async def test_longest_due_is_claimed_first(store: Store, clock: ManualClock) -> None:
    """A claim with a limit takes those that wait longest, not those appended first."""
    await append(store, entry("late", lane="1", wait_seconds=5))
    await append(store, entry("later", lane="2", wait_seconds=9))
    await append(store, entry("early", lane="3"))
    clock.advance(10)
    assert ["early", "late"] == [claim.entry.id for claim in await store.claim("track", 2, 60.0)]


async def test_lapsed_lease_takes_its_turn(store: Store, clock: ManualClock) -> None:
    """A head whose lease lapsed is due since then, so it comes between those due before and after."""
    await append(store, entry("lapsed", lane="1"))
    await store.claim("track", 1, 5.0)
    await append(store, entry("late", lane="2", wait_seconds=7), entry("early", lane="3", wait_seconds=3))
    clock.advance(10)
    assert ["early", "lapsed", "late"] == await claimed_ids(store)


async def test_unit_whose_condition_fails_writes_nothing(store: Store) -> None:
    """Neither appends, settlements nor other marks of a refused unit are written."""
    await append(store, entry("a"))
    await put(store, mark("k", b"old"))
    claim = await claim_one(store)
    answer = await store.commit(
        Unit(
            appends=[entry("b", lane="bob")],
            settlements=[Settlement(claim=claim, outcome=Outcome.DONE)],
            marks=[mark("other", b"1"), mark("k", b"new", condition=Condition.IF_ABSENT)],
        )
    )
    assert (CommitVerdict.CONDITION_FAILED, "k", ()) == (answer.verdict, answer.failed_key, answer.appended)
    assert {"k": b"old"} == await recalled(store, "k", "other")
    assert (
        QueueStats(accepted=1, in_flight=1, oldest_waiting_at=claim.entry.created_at) == (await store.stats())["track"]
    )


async def test_settlement_needs_the_token(store: Store) -> None:
    """A claim with another token changes nothing, and names the entry that refused the unit."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    answer = await settle(store, attrs.evolve(claim, token="forged"))
    assert (CommitVerdict.LEASE_LOST, "a") == (answer.verdict, answer.failed_key)
    assert CommitVerdict.COMMITTED is (await settle(store, claim)).verdict


async def test_claim_is_settled_once(store: Store) -> None:
    """A second settlement of the same claim is refused, within one unit and in another."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    done = Settlement(claim=claim, outcome=Outcome.DONE)
    assert CommitVerdict.LEASE_LOST is (await store.commit(Unit(settlements=[done, done]))).verdict
    assert CommitVerdict.COMMITTED is (await settle(store, claim)).verdict
    assert CommitVerdict.LEASE_LOST is (await settle(store, claim)).verdict


async def test_lapsed_lease_is_claimed_again_and_late_settlement_refused(store: Store, clock: ManualClock) -> None:
    """Once somebody else owns the entry, its first owner can neither settle nor append with its settlement."""
    await append(store, entry("a"))
    first = await claim_one(store)
    assert [] == await store.claim("track", 1, 60.0)
    clock.advance(60.0)
    second = await claim_one(store)
    assert (2, True) == (second.attempt, second.token != first.token)
    late = Unit(settlements=[Settlement(claim=first, outcome=Outcome.DONE)], appends=[entry("b", lane="bob")])
    assert CommitVerdict.LEASE_LOST is (await store.commit(late)).verdict
    assert CommitVerdict.COMMITTED is (await settle(store, second)).verdict
    assert 1 == (await store.stats())["track"].accepted


async def test_expired_lease_nobody_took_still_settles(store: Store, clock: ManualClock) -> None:
    """Being late alone loses nothing."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    clock.advance(61.0)
    assert CommitVerdict.COMMITTED is (await settle(store, claim)).verdict


async def test_release_does_not_count_as_attempt(store: Store) -> None:
    """A released entry is due at once and its next claim has the same number."""
    await append(store, entry("a"))
    await settle(store, await claim_one(store), Outcome.RELEASE)
    assert 1 == (await claim_one(store)).attempt


async def test_retry_keeps_the_place_at_the_head(store: Store, clock: ManualClock) -> None:
    """While the head waits for its retry nothing of its lane is claimed, and then it comes first."""
    await append(store, entry("a"), entry("b"))
    await settle(store, await claim_one(store), Outcome.RETRY, retry_after_seconds=7)
    assert 7 == await store.next_due_in("track")
    assert [] == await claimed_ids(store)
    clock.advance(7)
    claim = await claim_one(store)
    assert ("a", 2) == (claim.entry.id, claim.attempt)


async def test_wait_holds_back_a_head(store: Store, clock: ManualClock) -> None:
    """An entry is not claimed before its time, also when it became the head later than that of others."""
    await append(store, entry("a", wait_seconds=5), entry("b", wait_seconds=20))
    assert [] == await claimed_ids(store)
    clock.advance(5)
    await settle(store, await claim_one(store))
    assert 15 == await store.next_due_in("track")
    clock.advance(15)
    assert ["b"] == await claimed_ids(store)


async def test_next_due_in_of_an_empty_queue_is_none(store: Store) -> None:
    """There is nothing to wait for; a lease counts as due at its end."""
    assert None is await store.next_due_in("track")
    await append(store, entry("a"))
    claim = await claim_one(store)
    assert 60.0 == await store.next_due_in("track")
    await settle(store, claim)
    assert None is await store.next_due_in("track")


async def test_commit_leases_the_head_of_an_empty_lane(store: Store) -> None:
    """Appended and owned in one transaction; nobody else can claim it, and it settles."""
    answer = await append(store, entry("a"), entry("b"), lease=TRACK)
    (claim,) = answer.leased
    assert ("a", 1) == (claim.entry.id, claim.attempt)
    assert 60.0 == await store.next_due_in("track")
    assert [] == await claimed_ids(store)
    assert CommitVerdict.COMMITTED is (await settle(store, claim)).verdict


async def test_commit_leases_nothing_of_a_busy_lane(store: Store) -> None:
    """Only heads that this commit made claimable are leased, of the wanted queue, and only when due."""
    await append(store, entry("a"))
    answer = await append(
        store, entry("b"), entry("c", queue="ping"), entry("d", lane="bob", wait_seconds=1), lease=TRACK
    )
    assert () == answer.leased


async def test_settlement_leases_the_successor(store: Store) -> None:
    """Whoever settles a head goes on with the next of its lane, from the same commit."""
    (first,) = (await append(store, entry("a"), entry("b", body=b"next"), lease=TRACK)).leased
    (second,) = (await settle(store, first, lease=TRACK)).leased
    assert ("b", b"next", 1) == (second.entry.id, second.entry.body, second.attempt)
    assert () == (await settle(store, second, lease=TRACK)).leased


async def test_settlement_leases_what_it_appends_to_its_own_lane(store: Store) -> None:
    """The lane is empty once its only entry is settled, so the append of the same unit is its head."""
    (first,) = (await append(store, entry("a"), lease=TRACK)).leased
    done = Settlement(claim=first, outcome=Outcome.DONE)
    (second,) = (await store.commit(Unit(settlements=[done], appends=[entry("b")], lease=TRACK))).leased
    assert "b" == second.entry.id


async def test_retry_is_not_leased(store: Store) -> None:
    """A retry does not make its own head claimable in the sense of a lease."""
    (claim,) = (await append(store, entry("a"), lease=TRACK)).leased
    assert () == (await settle(store, claim, Outcome.RETRY, retry_after_seconds=0, lease=TRACK)).leased


async def test_concurrent_claimers_never_share_a_head(store: Store) -> None:
    """Many claims at once hand out every head exactly once."""
    await append(store, *(entry(f"{number}", lane=f"{number}") for number in range(100)))
    answers = await asyncio.gather(*(store.claim("track", 7, 60.0) for _ in range(20)))
    ids = [claim.entry.id for claims in answers for claim in claims]
    assert sorted(f"{number}" for number in range(100)) == sorted(ids)


async def test_concurrent_commits_to_one_lane_keep_their_order(store: Store) -> None:
    """Commits handed over together are written in the order they were handed over, each with its own answer."""
    answers = await asyncio.gather(*(append(store, entry(f"{n % 50}"), lease=TRACK) for n in range(60)))
    assert [((f"{n}",), ()) if n < 50 else ((), (f"{n % 50}",)) for n in range(60)] == [
        (answer.appended, answer.repeated) for answer in answers
    ]
    assert [f"{n}" for n in range(50)] == [row.entry.id for row in await store.browse("track")]
    assert ["0"] == [claim.entry.id for answer in answers for claim in answer.leased]


async def test_concurrent_settlements_and_appends_keep_the_lane(store: Store) -> None:
    """An append that shares a transaction with the settlement of its lane's head still comes next."""
    (claim,) = (await append(store, entry("a"), lease=TRACK)).leased
    behind, settled, later = await asyncio.gather(
        append(store, entry("b"), lease=TRACK),
        settle(store, claim, lease=TRACK),
        append(store, entry("c"), lease=TRACK),
    )
    assert ((), ["b"], ()) == (behind.leased, [claim.entry.id for claim in settled.leased], later.leased)
    (second,) = settled.leased
    assert ["c"] == [claim.entry.id for claim in (await settle(store, second, lease=TRACK)).leased]


async def test_renewed_lease_lasts_longer(store: Store, clock: ManualClock) -> None:
    """Renewal moves the end, keeps the token, and leaves out what is lost."""
    await append(store, entry("a"), entry("b", lane="bob"))
    first, second = await store.claim("track", 2, 60.0)
    await settle(store, second)
    clock.advance(50)
    (renewed,) = await store.renew([first, second], 60.0)
    assert ("a", first.token) == (renewed.entry.id, renewed.token)
    assert 60.0 == await store.next_due_in("track")
    clock.advance(59)
    assert [] == await claimed_ids(store)
    assert CommitVerdict.COMMITTED is (await settle(store, renewed)).verdict


async def test_claim_after_a_lapsed_lease_is_a_takeover(store: Store, clock: ManualClock) -> None:
    """Whoever held the lease may have done the work; a first claim, or one by a commit, knows of nobody."""
    answer = await append(store, entry("a"), lease=TRACK)
    assert [False] == [claim.is_takeover for claim in answer.leased]
    clock.advance(61)
    assert (True, 2) == ((claim := await claim_one(store)).is_takeover, claim.attempt)
    clock.advance(61)
    assert (await claim_one(store)).is_takeover


@pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.RELEASE])
async def test_claim_of_what_was_given_back_is_no_takeover(store: Store, clock: ManualClock, outcome: Outcome) -> None:
    """Its holder has said how it ended, even if the lease had lapsed by then."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    assert not claim.is_takeover
    clock.advance(61)
    await settle(store, claim, outcome)
    assert not (await claim_one(store)).is_takeover


async def test_a_lease_renewed_for_no_time_lapses_at_once(store: Store) -> None:
    """So can a process that ends give up what it had begun; its outcome stays unknown."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    assert [claim] == await store.renew([claim], 0)
    assert 0.0 == await store.next_due_in("track")
    assert (await claim_one(store)).is_takeover
    assert [] == await store.renew([claim], 0)


async def test_listing_tells_the_token_of_a_claim(store: Store) -> None:
    """By it, leases of a dead process are found."""
    await append(store, entry("a"), entry("b", lane="bob"), entry("c"))
    claim = await claim_one(store)
    rows = {row.entry.id: row.token for row in await store.browse("track")}
    assert {"a": claim.token, "b": None, "c": None} == rows
    await settle(store, claim)
    found = await store.find("a")
    assert found is not None
    assert found.token is None
