"""Units that are ready in one turn of the event loop are one commit, and still succeed or fail one by one."""

from __future__ import annotations

import asyncio

import pytest

from kochava_bot_middleware.queues.commits import CommitRetry
from kochava_bot_middleware.queues.joined_units import MOST_JOINED, JoinedUnits
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import (
    Claim,
    Committed,
    CommitVerdict,
    Entry,
    Lease,
    Mark,
    Outcome,
    Queue,
    Settlement,
    Unit,
)
from tests.fakes import VirtualClock
from tests.inbox.inbox_fakes import FaultyStore, Note, notes

LEASE = Lease(queue=Queue.INBOX, seconds=60.0)


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore(clock=VirtualClock()))


def entry(name: str, lane: str) -> Entry:
    return Entry(id=name, queue=Queue.INBOX, lane=lane, created_at=0.0, body=name.encode())


async def claims_of(store: FaultyStore, *people: str) -> list[Claim]:
    """One event of each person, leased."""
    units = [Unit(appends=[entry(f"event of {person}", person)], lease=LEASE) for person in people]
    claims = [(await store.inner.commit(unit)).leased[0] for unit in units]
    store.units.clear()
    return claims


def done(claim: Claim) -> Settlement:
    return Settlement(claim=claim, outcome=Outcome.DONE)


async def settle_together(store: FaultyStore, claims: list[Claim], lost: Claim | None = None) -> list[Committed | None]:
    """Settle each with a record of its person, all in one turn."""
    retry = CommitRetry(store, VirtualClock())
    settling = (
        retry.settle([Note(claim.entry.lane, claim.entry.lane)], [done(claim)], LEASE)
        for claim in [*claims, *([] if lost is None else [lost])]
    )
    return await asyncio.gather(*settling)


async def test_what_ends_in_one_turn_is_one_commit(store: FaultyStore) -> None:
    """With the records of all."""
    answers = await settle_together(store, await claims_of(store, "ann", "ben", "cleo"))
    assert 1 == len(store.units)
    assert [("note/ann",), ("note/ben",), ("note/cleo",)] == [answer and answer.appended for answer in answers]
    assert ["ann", "ben", "cleo"] == await notes(store)


async def test_what_ends_alone_is_a_commit_of_its_own(store: FaultyStore) -> None:
    """Nothing is added to it."""
    (claim,) = await claims_of(store, "ann")
    await settle_together(store, [claim])
    assert [[done(claim)]] == [unit.settlements for unit in store.units]


async def test_a_store_in_several_parts_gets_each_as_a_commit_of_its_own(store: FaultyStore) -> None:
    """It would write the parts one after the other."""
    store.is_one_part = False
    claims = await claims_of(store, "ann", "ben")
    await settle_together(store, claims)
    assert [[done(claim)] for claim in claims] == [unit.settlements for unit in store.units]


async def test_a_lost_lease_costs_no_other(store: FaultyStore) -> None:
    """Each of the others is settled, with its record."""
    ann, ben = await claims_of(store, "ann", "ben")
    (lost,) = await claims_of(store, "cleo")
    await store.inner.commit(Unit(settlements=[done(lost)]))
    answers = await settle_together(store, [ann, ben], lost)
    assert [CommitVerdict.COMMITTED, CommitVerdict.COMMITTED, None] == [each and each.verdict for each in answers]
    assert ["ann", "ben"] == await notes(store)


async def test_what_the_store_can_never_keep_costs_no_other(store: FaultyStore) -> None:
    """It alone is set aside."""
    store.poison = {"note/ben"}
    ann, _ = await settle_together(store, await claims_of(store, "ann", "ben"))
    assert ann is not None
    assert ((), ("note/ann",)) == (ann.set_aside, ann.appended)


async def test_the_next_of_each_lane_is_leased_once(store: FaultyStore) -> None:
    """In whichever answer."""
    claims = await claims_of(store, "ann", "ben")
    await store.inner.commit(Unit(appends=[entry("second of ann", "ann"), entry("second of ben", "ben")]))
    answers = await settle_together(store, claims)
    leased = [claim.entry.id for answer in answers if answer is not None for claim in answer.leased]
    assert ["second of ann", "second of ben"] == sorted(leased)


async def test_two_changes_of_one_state_entry_are_not_joined(store: FaultyStore) -> None:
    """A condition looks at what was before the unit, so the second would overwrite the first."""
    joined = JoinedUnits(store.commit)
    mark = Mark(lane="page", key="funnel:page", value=b"1")
    answers = await asyncio.gather(*(joined.commit(Unit(marks=[mark])) for _ in range(2)))
    assert [None, None] == answers
    assert [] == store.units


async def test_units_of_another_lease_are_not_joined(store: FaultyStore) -> None:
    """A shutdown leases nothing more."""
    joined = JoinedUnits(store.commit)
    units = [
        Unit(appends=[entry(name, name)], lease=lease) for name, lease in (("a", LEASE), ("b", LEASE), ("c", None))
    ]
    answers = await asyncio.gather(*map(joined.commit, units))
    assert [("a",), ("b",), None] == [answer and answer.appended for answer in answers]


async def test_repeated_entries_are_named_to_who_gave_them(store: FaultyStore) -> None:
    """An id that was seen before is of one of them."""
    await store.inner.commit(Unit(appends=[entry("a", "a")]))
    joined = JoinedUnits(store.commit)
    answers = await asyncio.gather(*(joined.commit(Unit(appends=[entry(name, name)])) for name in "ab"))
    assert [((), ("a",)), (("b",), ())] == [answer and (answer.appended, answer.repeated) for answer in answers]


async def test_they_are_at_most_so_many(store: FaultyStore) -> None:
    """What comes after them is committed alone."""
    joined = JoinedUnits(store.commit)
    units = [Unit(appends=[entry(str(number), str(number))]) for number in range(MOST_JOINED + 1)]
    answers = await asyncio.gather(*map(joined.commit, units))
    assert [MOST_JOINED] == [len(unit.appends) for unit in store.units]
    assert answers[-1] is None


@pytest.mark.parametrize("turns", [0, 3])
async def test_one_that_is_cancelled_leaves_no_other_waiting(store: FaultyStore, turns: int) -> None:
    """Not even the one that came first, before or while all are written."""
    store.open_gate.clear()
    joined = JoinedUnits(store.commit)
    first, second = (asyncio.create_task(joined.commit(Unit(appends=[entry(name, name)]))) for name in "ab")
    await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    first.cancel()
    assert await second is None
    store.open_gate.set()
