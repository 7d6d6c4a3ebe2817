"""The contract of `Store.history`, for every store."""

from __future__ import annotations

import attrs

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import EntryState, Outcome, Settlement, Unit
from tests.store.harness import START, TOMBSTONE, ManualClock, append, claim_one, entry, settle


async def history(store: Store, *lanes: str, limit: int = 100) -> list[str]:
    return [row.entry.id for row in await store.history(lanes, limit=limit)]


async def test_history_has_a_lane_of_each_queue_in_the_order_of_appending(store: Store) -> None:
    """Whatever else waits."""
    await append(store, entry("a"), entry("b", queue="ping"), entry("other", lane="bob"), entry("c"))
    assert ["a", "b", "c"] == await history(store, "ann")


async def test_history_has_entries_in_every_state(store: Store) -> None:
    """What is done included, in its place."""
    lanes = {outcome.value: outcome for outcome in (Outcome.DONE, Outcome.DEAD, Outcome.DROPPED, Outcome.RETRY)}
    await append(store, *(entry(lane, lane=lane) for lane in lanes), entry("in flight", lane="leased"))
    for claim in await store.claim("track", 10, 60.0):
        if claim.entry.lane in lanes:
            await settle(store, claim, lanes[claim.entry.lane], retry_after_seconds=5)
    states = {row.entry.id: row.state for row in await store.history(["leased", *reversed(lanes)])}
    assert list(states) == [*lanes, "in flight"]
    assert {**{lane: EntryState(lane) for lane in lanes if lane != "retry"}, "in flight": EntryState.IN_FLIGHT} == {
        id_: state for id_, state in states.items() if id_ != "retry"
    }
    assert EntryState.WAITING is states["retry"]


async def test_history_of_a_settled_entry_says_all_but_its_body(store: Store, clock: ManualClock) -> None:
    """What it was, when it was recorded, how often it was tried, when it ended and how."""
    wanted = attrs.evolve(entry("a", body=b"words"), kind="event", name="Purchase", schema=3)
    await append(store, wanted)
    await settle(store, await claim_one(store), Outcome.RETRY, retry_after_seconds=5)
    clock.advance(7)
    claim = await claim_one(store)
    await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE, detail="200")]))
    (row,) = await store.history(["ann"])
    assert attrs.evolve(wanted, body=b"") == row.entry
    assert (EntryState.DONE, 2, START + 7, "200") == (row.state, row.attempts, row.ended_at, row.detail)


async def test_history_ends_when_the_id_is_forgotten(store: Store, clock: ManualClock) -> None:
    """Whether or not a sweep came by."""
    await append(store, entry("a"), entry("b"))
    await settle(store, await claim_one(store))
    clock.advance(2 * 86_400.0)
    assert ["b"] == await history(store, "ann")
    await store.sweep()
    assert ["b"] == await history(store, "ann")


async def test_history_has_the_last_entries_when_there_are_more(store: Store) -> None:
    """In the order they were appended."""
    await append(store, *(entry(str(number)) for number in range(5)))
    await settle(store, await claim_one(store))
    assert ["2", "3", "4"] == await history(store, "ann", limit=3)


async def test_history_of_a_long_lane_is_whole(store: Store) -> None:
    """However many rows a store reads at once."""
    ids = [f"{number:04}" for number in range(1_200)]
    await append(store, *map(entry, ids))
    assert ids == await history(store, "ann", limit=2_000)


async def test_forgotten_lane_has_no_history(store: Store) -> None:
    """Though the ids still count as seen."""
    await append(store, entry("a"), entry("b"))
    await settle(store, await claim_one(store))
    await store.forget(["ann"], reason="asked", tombstone=TOMBSTONE)
    assert [] == await history(store, "ann")
    assert ("a", "b") == (await append(store, entry("a"), entry("b"))).repeated


async def test_purged_entry_has_no_history(store: Store, clock: ManualClock) -> None:
    """Only its id is kept."""
    await append(store, entry("a"))
    await settle(store, await claim_one(store), Outcome.DEAD)
    clock.advance(1)
    await store.purge(ended_for_seconds=0)
    assert [] == await history(store, "ann")


async def test_handled_event_of_the_inbox_has_no_history(store: Store) -> None:
    """One that waits has, without its body."""
    await append(store, entry("a", queue="inbox"), entry("b", queue="inbox", body=b"words"))
    await settle(store, await claim_one(store, "inbox"))
    (row,) = await store.history(["ann"])
    assert ("b", b"") == (row.entry.id, row.entry.body)


async def test_history_of_lanes_with_any_characters(store: Store) -> None:
    """They are compared as they are."""
    strange = "ann\x00'\"\x01ü"
    await append(store, entry("a", lane=strange), entry("b"))
    assert ["a"] == await history(store, strange, strange)
    assert [] == await history(store)
