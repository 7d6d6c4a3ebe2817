"""The contract of marks, listings and what an operator does, for every store."""

from __future__ import annotations

import attrs
import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import (
    CommitVerdict,
    Condition,
    EntryState,
    Lease,
    Outcome,
    Queue,
    QueueStats,
    Settlement,
    Unit,
)
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

DAY = 86_400.0


async def test_mark_is_recalled(store: Store) -> None:
    """Keys without a mark are missing from the answer."""
    await put(store, mark("k", b"\x00v"), mark("empty", b""))
    assert {"k": b"\x00v", "empty": b""} == await recalled(store, "k", "empty", "missing")


async def test_mark_if_absent_is_written_once(store: Store) -> None:
    """The second writer is refused and the first value stays."""
    first = await put(store, mark("k", b"1", condition=Condition.IF_ABSENT))
    second = await put(store, mark("k", b"2", condition=Condition.IF_ABSENT))
    assert (CommitVerdict.COMMITTED, CommitVerdict.CONDITION_FAILED) == (first.verdict, second.verdict)
    assert {"k": b"1"} == await recalled(store, "k")


async def test_mark_if_equal_needs_the_expected_value(store: Store) -> None:
    """Compare and set; ``None`` expects that there is none."""
    swap = mark("k", b"2", condition=Condition.IF_EQUAL, expected=b"1")
    assert CommitVerdict.CONDITION_FAILED is (await put(store, swap)).verdict
    create = mark("k", b"1", condition=Condition.IF_EQUAL, expected=None)
    assert CommitVerdict.COMMITTED is (await put(store, create)).verdict
    assert CommitVerdict.CONDITION_FAILED is (await put(store, create)).verdict
    assert CommitVerdict.COMMITTED is (await put(store, swap)).verdict
    assert {"k": b"2"} == await recalled(store, "k")


async def test_expired_mark_is_absent(store: Store, clock: ManualClock) -> None:
    """At its time a mark is gone for `recall` and for conditions, swept or not."""
    await put(store, mark("k", b"1", expires_after_seconds=5))
    clock.advance(4)
    assert {"k": b"1"} == await recalled(store, "k")
    clock.advance(1)
    assert {} == await recalled(store, "k")
    again = mark("k", b"2", condition=Condition.IF_ABSENT)
    assert CommitVerdict.COMMITTED is (await put(store, again)).verdict
    assert {"k": b"2"} == await recalled(store, "k")


async def test_mark_is_deleted_by_none(store: Store) -> None:
    """A deleted mark is absent."""
    await put(store, mark("k", b"1"))
    await put(store, mark("k", None, condition=Condition.IF_EQUAL, expected=b"1"))
    assert {} == await recalled(store, "k")


async def test_conditions_look_at_what_was_before_the_unit(store: Store) -> None:
    """Marks of one unit do not see each other; the last change of a key stays."""
    absent = Condition.IF_ABSENT
    answer = await put(store, mark("k", b"1", condition=absent), mark("k", b"2", condition=absent))
    assert CommitVerdict.COMMITTED is answer.verdict
    assert {"k": b"2"} == await recalled(store, "k")


async def test_dead_entry_is_retried_at_the_end_of_its_lane(store: Store) -> None:
    """It is due after what waited meanwhile, counts as waiting again, and its attempts begin anew."""
    await append(store, entry("a", body=b"kept"), entry("b"))
    await settle(store, await claim_one(store), Outcome.DEAD)
    assert 1 == await store.retry_dead(["a", "b", "missing"])
    stats = (await store.stats())["track"]
    assert (2, 0, 2) == (stats.accepted, stats.dead, stats.waiting)
    await settle(store, await claim_one(store))
    claim = await claim_one(store)
    assert ("a", b"kept", 1) == (claim.entry.id, claim.entry.body, claim.attempt)


async def test_retried_entry_of_an_empty_lane_is_due_at_once(store: Store, clock: ManualClock) -> None:
    """Where nothing waits the end of the lane is its head, whatever wait the entry once had."""
    await append(store, entry("a", wait_seconds=5.0))
    clock.advance(5.0)
    await settle(store, await claim_one(store), Outcome.DEAD)
    await store.retry_dead(["a"])
    assert ["a"] == await claimed_ids(store)


async def test_purge_removes_what_ended_before(store: Store, clock: ManualClock) -> None:
    """Dead and dropped rows go, younger and living ones stay, and the counts keep all."""
    await append(store, *(entry(name, lane=name) for name in "abcd"))
    claims = await store.claim("track", 3, 60.0)
    await settle(store, claims[0], Outcome.DEAD)
    await settle(store, claims[1], Outcome.DROPPED)
    clock.advance(10)
    await settle(store, claims[2], Outcome.DEAD)
    before = await store.stats()
    assert 2 == await store.purge(ended_for_seconds=0)
    assert ["c", "d"] == [row.entry.id for row in await store.browse("track")]
    assert before == await store.stats()


async def test_purge_removes_more_than_one_portion(store: Store, clock: ManualClock) -> None:
    """However many rows there are, one call removes them all."""
    ids = [f"{number}" for number in range(1_100)]
    await append(store, *(entry(name, lane=name) for name in ids))
    claims = await store.claim("track", 2_000, 60.0)
    await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DEAD) for claim in claims]))
    clock.advance(1)
    assert 1_100 == await store.purge(ended_for_seconds=0)


async def test_forget_drops_and_fences(store: Store) -> None:
    """What waits, is in flight or is dead in the lane is dropped in every queue; its owner's settlement is refused."""
    await append(store, entry("dead"), entry("flying"), entry("waiting"), entry("other", lane="bob"))
    await append(store, entry("ping", queue="ping"))
    (head,) = [claim for claim in await store.claim("track", 9, 60.0) if claim.entry.id == "dead"]
    lease = Lease(queue="track", seconds=60.0)
    (flying,) = (await settle(store, head, Outcome.DEAD, lease=lease)).leased
    assert 4 == await store.forget(["ann"], reason="forgotten", tombstone=TOMBSTONE)
    assert CommitVerdict.LEASE_LOST is (await settle(store, flying)).verdict
    assert [] == await store.renew([flying], 60.0)
    rows = [row for row in await store.browse("track") if row.entry.id != "other"]
    assert [("dead", b""), ("flying", b""), ("waiting", b"")] == [(row.entry.id, row.entry.body) for row in rows]
    assert {(EntryState.DROPPED, "forgotten", "", START)} == {
        (row.state, row.reason, row.detail, row.ended_at) for row in rows
    }
    assert {TOMBSTONE.key: b"1"} == await recalled(store, TOMBSTONE.key)
    stats = await store.stats()
    assert [(3, 0), (1, 0)] == [(stats[queue].dropped, stats[queue].dead) for queue in ("track", "ping")]


async def test_forget_leaves_nothing_that_names_the_person(store: Store) -> None:
    """Also of what was done before: only id, queue, kind, outcome, reason and times stay."""
    rows = [attrs.evolve(entry(name), kind="event", name="Purchase") for name in ("done", "waiting")]
    await append(store, *rows)
    await settle(store, await claim_one(store))
    await store.forget(["ann"], reason="forgotten", tombstone=TOMBSTONE)
    found = [await store.find(name) for name in ("done", "waiting")]
    assert [("", "event", "", b"")] * 2 == [
        (row.entry.lane, row.entry.kind, row.entry.name, row.entry.body) for row in found if row is not None
    ]
    assert [EntryState.DONE, EntryState.DROPPED] == [row.state for row in found if row is not None]
    assert [] == await store.browse("track", lane="ann")


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.DROPPED])
async def test_handled_event_names_nobody(store: Store, outcome: Outcome) -> None:
    """Once an entry of the inbox is done or dropped, its row has neither lane nor name; the next of its lane has."""
    await append(store, *(attrs.evolve(entry(name, queue="inbox"), kind="event", name="Purchase") for name in "ab"))
    await settle(store, await claim_one(store, "inbox"), outcome)
    rows = [await store.find(name) for name in "ab"]
    assert [("", "event", ""), ("ann", "event", "Purchase")] == [
        (row.entry.lane, row.entry.kind, row.entry.name) for row in rows if row is not None
    ]
    assert [] == await store.browse("inbox", state=EntryState(outcome.value), lane="ann")
    assert "b" == (await claim_one(store, "inbox")).entry.id


async def test_dead_event_keeps_its_lane(store: Store) -> None:
    """It can be retried, and comes after what its lane got meanwhile."""
    await append(store, attrs.evolve(entry("a", queue="inbox", body=b"kept"), name="Purchase"))
    await settle(store, await claim_one(store, "inbox"), Outcome.DEAD)
    await append(store, entry("b", queue="inbox"))
    assert 1 == await store.retry_dead(["a"])
    await settle(store, await claim_one(store, "inbox"))
    retried = (await claim_one(store, "inbox")).entry
    assert ("a", "ann", "Purchase", b"kept") == (retried.id, retried.lane, retried.name, retried.body)


async def test_purged_entry_is_not_dropped_again(store: Store, clock: ManualClock) -> None:
    """Forgetting its person finds nothing of it, and the counts stay."""
    await append(store, entry("a"))
    await settle(store, await claim_one(store), Outcome.DEAD)
    clock.advance(1)
    await store.purge(ended_for_seconds=0)
    before = await store.stats()
    assert 0 == await store.forget(["ann"], reason="forgotten", tombstone=TOMBSTONE)
    assert before == await store.stats()


async def test_forgotten_lane_can_be_used_again(store: Store) -> None:
    """A new entry of a forgotten lane is its head; ids of what was dropped stay seen."""
    await append(store, entry("a"))
    await store.forget(["ann"], reason="forgotten", tombstone=TOMBSTONE)
    answer = await append(store, entry("a"), entry("b"))
    assert (("b",), ("a",)) == (answer.appended, answer.repeated)
    assert ["b"] == await claimed_ids(store)


async def test_renew_loses_what_was_claimed_again(store: Store, clock: ManualClock) -> None:
    """A lapsed lease nobody took is renewed; one that somebody took is not."""
    await append(store, entry("a"), entry("b", lane="bob"))
    claims = await store.claim("track", 2, 60.0)
    clock.advance(61)
    retaken = await claim_one(store)
    renewed = await store.renew(claims, 60.0)
    assert {"a", "b"} - {retaken.entry.id} == {claim.entry.id for claim in renewed}


async def test_stats_add_up(store: Store, clock: ManualClock) -> None:
    """Every entry is counted in exactly one state, and a lapsed lease counts as waiting."""
    entries = [entry(f"{number}", lane=f"{number}") for number in range(6)]
    await append(store, *entries, entry("behind", lane="5"))
    claims = await store.claim("track", 5, 60.0)
    for claim, outcome in zip(claims, [Outcome.DONE, Outcome.DEAD, Outcome.DROPPED, Outcome.RETRY], strict=False):
        await settle(store, claim, outcome, retry_after_seconds=9)
    expected = QueueStats(
        accepted=7, waiting=3, in_flight=1, done=1, dead=1, dropped=1, oldest_waiting_at=entries[3].created_at
    )
    assert {"track": expected} == dict(await store.stats())
    clock.advance(60)
    after = (await store.stats())["track"]
    assert (4, 0) == (after.waiting, after.in_flight)


async def test_dead_keeps_its_body_and_dropped_does_not(store: Store) -> None:
    """Both are listed with why and when they ended."""
    await append(store, entry("a", body=b"kept"), entry("b", lane="bob", body=b"erased"))
    first, second = await store.claim("track", 2, 60.0)
    await settle(store, first, Outcome.DEAD)
    await settle(store, second, Outcome.DROPPED)
    rows = await store.browse("track")
    assert [("a", EntryState.DEAD, b"kept"), ("b", EntryState.DROPPED, b"")] == [
        (row.entry.id, row.state, row.entry.body) for row in rows
    ]
    assert {("a reason", "a detail", START, 1)} == {
        (row.reason, row.detail, row.ended_at, row.attempts) for row in rows
    }


async def test_browse_pages_in_order_of_appending(store: Store) -> None:
    """Pages of all states follow each other without gap or repetition, also when the last row was settled meanwhile."""
    await append(store, *(entry(f"{number}", lane=f"{number}") for number in range(7)))
    claims = await store.claim("track", 4, 60.0)
    await settle(store, claims[1], Outcome.DEAD)
    first = await store.browse("track", limit=3)
    await settle(store, claims[2])
    second = await store.browse("track", limit=3, after="2")
    third = await store.browse("track", limit=3, after="5")
    assert [["0", "1", "2"], ["3", "4", "5"], ["6"]] == [
        [row.entry.id for row in page] for page in (first, second, third)
    ]
    assert [] == await store.browse("track", after="never seen")


@pytest.mark.parametrize(
    ("state", "ids"),
    [
        (EntryState.WAITING, ["behind", "retried", "fresh"]),
        (EntryState.IN_FLIGHT, ["flying"]),
        (EntryState.DEAD, ["dead"]),
        (EntryState.DROPPED, ["dropped"]),
        (EntryState.DONE, ["done"]),
        (None, ["flying", "behind", "retried", "dead", "dropped", "fresh"]),
    ],
)
async def test_browse_filters_by_state(store: Store, state: EntryState | None, ids: list[str]) -> None:
    """Each state lists what is in it and nothing else; without a state, all but what is done is listed."""
    names = ["flying", "behind", "retried", "dead", "dropped", "done"]
    await append(store, *(entry(name, lane="flying" if name == "behind" else name) for name in names))
    claims = {claim.entry.id: claim for claim in await store.claim("track", 9, 60.0)}
    await settle(store, claims["retried"], Outcome.RETRY, retry_after_seconds=5)
    await settle(store, claims["dead"], Outcome.DEAD)
    await settle(store, claims["dropped"], Outcome.DROPPED)
    await settle(store, claims["done"])
    await append(store, entry("fresh", lane="fresh"))
    assert ids == [row.entry.id for row in await store.browse("track", state=state)]


async def test_browse_filters_by_lane_and_queue(store: Store) -> None:
    """Other lanes, and the same lane of other queues, are left out."""
    await append(store, entry("a"), entry("b", lane="bob"), entry("c", queue="ping"))
    assert ["a"] == [row.entry.id for row in await store.browse("track", lane="ann")]
    assert ["a"] == [row.entry.id for row in await store.browse("track", lane="ann", state=EntryState.WAITING)]


async def test_browse_tells_when_a_retry_is_due_and_why(store: Store) -> None:
    """A waiting row has its due time, its attempts and the reason of its last retry."""
    await append(store, entry("a"))
    await settle(store, await claim_one(store), Outcome.RETRY, retry_after_seconds=5)
    (row,) = await store.browse("track")
    assert (START + 5, 1, "a reason", "a detail", None) == (
        row.due_at,
        row.attempts,
        row.reason,
        row.detail,
        row.ended_at,
    )


@pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.RELEASE, Outcome.DEAD, Outcome.DROPPED])
async def test_inbox_bodies_are_never_listed(store: Store, outcome: Outcome) -> None:
    """What a person wrote to the bot shows in no state."""
    await append(store, entry("a", queue="inbox", body=b"private"), entry("b", queue="inbox", body=b"private"))
    claim = await claim_one(store, "inbox")
    before = await store.browse("inbox")
    await settle(store, claim, outcome)
    assert {b""} == {row.entry.body for row in before + await store.browse("inbox")}


async def test_sweep_removes_only_what_expired(store: Store, clock: ManualClock) -> None:
    """Living marks, living entries and ids not yet old stay."""
    await put(store, mark("old", b"1", expires_after_seconds=5), mark("ever", b"1"))
    await append(store, entry("a"), entry("b", lane="bob"))
    await settle(store, await claim_one(store))
    clock.advance(10)
    await store.sweep()
    assert {"ever": b"1"} == await recalled(store, "old", "ever")
    assert ("a", "b") == (await append(store, entry("a"), entry("b"))).repeated
    clock.advance(2 * DAY)
    await store.sweep()
    answer = await append(store, entry("a"), entry("b"))
    assert (("a",), ("b",)) == (answer.appended, answer.repeated)


async def test_closed_store_refuses(store: Store) -> None:
    """Closing twice does nothing more; a call after it says that the store is closed."""
    await store.open()
    await store.close()
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.stats()


async def test_closed_store_can_be_opened_again(store: Store) -> None:
    """What it kept is there, and it takes more."""
    await append(store, entry("1"))
    await store.close()
    await store.open()
    await append(store, entry("2"))
    assert 2 == (await store.stats())["track"].waiting


async def test_store_never_opened_can_be_closed(store: Store) -> None:
    """There is nothing to let go of."""
    await store.close()


async def test_sweep_takes_the_names_of_queues_as_consumers_give_them(store: Store) -> None:
    """They are members of an enum, as well as texts."""
    await append(store, entry("a", queue="inbox", wait_seconds=1000))
    await store.sweep({Queue.INBOX: 10.0})
    due_in = await store.next_due_in(Queue.INBOX)
    assert due_in is not None
    assert 10.0 >= due_in
