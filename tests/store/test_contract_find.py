"""The contract of `Store.find`, for every store."""

from __future__ import annotations

import attrs
import pytest

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import EntryState, Outcome
from tests.store.harness import START, TOMBSTONE, ManualClock, append, claim_one, entry, settle


async def test_waiting_entry_is_found(store: Store, clock: ManualClock) -> None:
    """With all that `browse` tells of it, body included."""
    wanted = entry("a", lane="ünïcode\x00\n'\"", body=bytes(range(256)), wait_seconds=5)
    await append(store, entry("other"), wanted)
    found = await store.find("a")
    assert found is not None
    assert (attrs.evolve(wanted, wait_seconds=None), EntryState.WAITING, 0) == (
        found.entry,
        found.state,
        found.attempts,
    )
    assert START + 5 == found.due_at


@pytest.mark.parametrize("outcome", [None, Outcome.RETRY, Outcome.DEAD, Outcome.DROPPED])
@pytest.mark.parametrize("queue", ["inbox", "track", "a queue of its own"])
async def test_entry_is_found_as_it_is_listed(store: Store, queue: str, outcome: Outcome | None) -> None:
    """In whichever queue and state it is."""
    await append(store, entry("a", queue=queue), entry("b", queue=queue), entry("c", queue="ping"))
    claim = await claim_one(store, queue)
    if outcome is not None:
        await settle(store, claim, outcome, retry_after_seconds=5)
    listed = await store.browse(queue)
    assert ["a", "b"] == sorted(row.entry.id for row in listed)
    assert listed == [await store.find(row.entry.id) for row in listed]


async def test_entry_behind_a_head_is_found(store: Store) -> None:
    """It waits, and nobody has claimed it."""
    await append(store, entry("a"), entry("b"))
    await claim_one(store)
    found = await store.find("b")
    assert found is not None
    assert (EntryState.WAITING, 0) == (found.state, found.attempts)


async def test_entry_that_is_done_is_found_while_its_id_is_remembered(store: Store, clock: ManualClock) -> None:
    """Without its body; its row is the memory of the id."""
    wanted = attrs.evolve(entry("a", body=b"words"), kind="event", name="Purchase")
    await append(store, wanted)
    await settle(store, await claim_one(store))
    found = await store.find("a")
    assert found is not None
    assert (attrs.evolve(wanted, body=b""), EntryState.DONE, 1, START) == (
        found.entry,
        found.state,
        found.attempts,
        found.ended_at,
    )
    clock.advance(2 * 86_400.0)
    assert await store.find("a") is None


@pytest.mark.parametrize("entry_id", ["", "b", "A", "a\x00", "%", "ü"])
async def test_unknown_id_is_not_found(store: Store, entry_id: str) -> None:
    """Only the very id finds an entry."""
    await append(store, entry("a"))
    assert await store.find(entry_id) is None


async def test_body_of_the_inbox_is_not_found(store: Store) -> None:
    """A webhook's event is for nobody to read."""
    await append(store, entry("a", queue="inbox", body=b"private"))
    found = await store.find("a")
    assert found is not None
    assert b"" == found.entry.body


async def test_retried_entry_is_found_where_it_is_now(store: Store) -> None:
    """A dead entry that was put back waits again, counted anew."""
    await append(store, entry("a"), entry("b"))
    await settle(store, await claim_one(store), Outcome.DEAD)
    await store.retry_dead(["a"])
    found = await store.find("a")
    assert found is not None
    assert (EntryState.WAITING, 0, "") == (found.state, found.attempts, found.reason)


async def test_forgotten_entry_is_found_without_its_body(store: Store) -> None:
    """What a person wanted to be forgotten is dropped."""
    await append(store, entry("a", body=b"words"))
    await store.forget(["ann"], reason="asked", tombstone=TOMBSTONE)
    found = await store.find("a")
    assert found is not None
    assert (EntryState.DROPPED, "asked", b"") == (found.state, found.reason, found.entry.body)


async def test_purged_entry_is_not_found(store: Store, clock: ManualClock) -> None:
    """Though its id counts as seen for some time."""
    await append(store, entry("a"))
    await settle(store, await claim_one(store), Outcome.DEAD)
    clock.advance(1)
    await store.purge(ended_for_seconds=0)
    assert await store.find("a") is None


async def test_id_that_was_used_again_is_found(store: Store, clock: ManualClock) -> None:
    """After it was forgotten, an id stands for what was appended last."""
    await append(store, entry("a", body=b"1"))
    await settle(store, await claim_one(store))
    clock.advance(3 * 86_400.0)
    await append(store, entry("a", body=b"2", queue="ping", lane="bob"))
    found = await store.find("a")
    assert found is not None
    assert (b"2", "ping") == (found.entry.body, found.entry.queue)
