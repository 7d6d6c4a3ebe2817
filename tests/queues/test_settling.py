""" "Handled" and what the middlewares contribute are one commit, and nothing keeps an event from being settled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.inbox.stored_event import entry_of
from kochava_bot_middleware.queues.commits import LONGEST_PAUSE_SECONDS, PLANS, CommitRetry
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import (
    Claim,
    Committed,
    CommitVerdict,
    Condition,
    Entry,
    Lease,
    Mark,
    Outcome,
    Queue,
    Settlement,
    Unit,
)
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.fakes import VirtualClock
from tests.inbox.inbox_fakes import FaultyStore, Note, message, notes, waiting

SAID = "my number is 4711"
FUNNEL = ("ann", "funnel:ann")


class Planner:
    """Contributes a record and a mark, planned anew from what is stored."""

    def __init__(self, store: Store, rival: Sequence[bytes] = (), *, condition: Condition = Condition.IF_EQUAL) -> None:
        self._store = store
        self._rival = list(rival)
        self._condition = condition
        self.plans: list[bytes | None] = []
        self.reported: list[Committed] = []

    async def contribute(self) -> Unit:
        stored = (await self._store.recall([FUNNEL])).get("funnel:ann")
        self.plans.append(stored)
        if self._rival:
            # Somebody else is quicker.
            await self._store.commit(Unit(marks=[Mark(lane="ann", key="funnel:ann", value=self._rival.pop(0))]))
        mark = Mark(lane="ann", key="funnel:ann", value=b"ours", condition=self._condition, expected=stored)
        entry = Entry(id="planned", queue=Queue.TRACK, lane="ann", created_at=0.0, body=b"planned")
        return Unit(appends=[entry], marks=[mark])

    def committed(self, answer: Committed) -> None:
        self.reported.append(answer)


class Broken:
    """A contributor that raises."""

    def __init__(self, *, early: bool) -> None:
        self._early = early

    async def contribute(self) -> Unit:
        if self._early:
            raise ZeroDivisionError(SAID)
        return Unit()

    def committed(self, answer: Committed) -> None:
        raise ZeroDivisionError(SAID)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> FaultyStore:
    if request.param == "memory":
        return FaultyStore(MemoryStore(clock=clock))
    return FaultyStore(SqliteStore(tmp_path / "store.db", clock=clock))


@pytest.fixture
async def settler(store: FaultyStore, clock: VirtualClock) -> CommitRetry:
    return CommitRetry(store, clock)


@pytest.fixture
async def claim(store: FaultyStore) -> Claim:
    lease = Lease(queue=Queue.INBOX, seconds=30)
    committed = await store.commit(Unit(appends=[entry_of(message("hello"), 0.0)], lease=lease))
    return committed.leased[0]


def done(claim: Claim) -> list[Settlement]:
    return [Settlement(claim=claim, outcome=Outcome.DONE)]


@pytest.fixture(autouse=True)
async def closing(store: FaultyStore) -> object:
    yield
    await store.close()


async def test_handled_and_contributions_are_one_unit(store: FaultyStore, settler: CommitRetry, claim: Claim) -> None:
    """One commit writes all, so no crash can come in between."""
    store.units.clear()
    note = Note("hello", "ann")
    await settler.settle([note], done(claim))

    (unit,) = store.units
    assert ([note.entry], done(claim)) == (list(unit.appends), list(unit.settlements))
    assert (["hello"], 0) == (await notes(store), await waiting(store))


async def test_contributors_are_told_once_it_is_durable(store: FaultyStore, settler: CommitRetry, claim: Claim) -> None:
    """Each gets the commit's answer."""
    note = Note("hello", "ann")
    committed = await settler.settle([note], done(claim))

    assert [committed] == note.committed_with


async def test_failed_condition_plans_anew(store: FaultyStore, settler: CommitRetry, claim: Claim) -> None:
    """The second plan sees what the rival wrote, and only the last one is notified."""
    planner = Planner(store, [b"theirs"])
    await settler.settle([planner], done(claim))

    assert [None, b"theirs"] == planner.plans
    assert {"funnel:ann": b"ours"} == await store.recall([FUNNEL])
    assert 1 == len(planner.reported)


async def test_marks_that_never_fit_do_not_cost_the_records(
    store: FaultyStore, settler: CommitRetry, claim: Claim, caplog: pytest.LogCaptureFixture
) -> None:
    """The event is settled and the records are written; the marks are given up, loudly."""
    await store.commit(Unit(marks=[Mark(lane="ann", key="funnel:ann", value=b"theirs")]))
    planner = Planner(store, condition=Condition.IF_ABSENT)
    committed = await settler.settle([planner], done(claim))

    assert committed is not None
    assert PLANS + 1 == len(planner.plans)
    assert (["planned"], 0) == (await notes(store), await waiting(store))
    assert {"funnel:ann": b"theirs"} == await store.recall([FUNNEL])
    assert "marks_never_fit: funnel" in caplog.messages


async def test_lost_lease_writes_nothing(
    store: FaultyStore, clock: VirtualClock, settler: CommitRetry, claim: Claim
) -> None:
    """The event is somebody else's by now, and so are its records."""
    clock.stall(31)
    (theirs,) = await store.claim(Queue.INBOX, 1, 30)
    note = Note("hello", "ann")

    assert await settler.settle([note], done(claim)) is None
    assert ([], 1) == (await notes(store), await waiting(store))
    assert [] == note.committed_with
    assert CommitVerdict.COMMITTED is (await store.commit(Unit(settlements=done(theirs)))).verdict


@pytest.mark.parametrize("early", [True, False], ids=["contribute", "committed"])
async def test_broken_contributor_costs_neither_the_event_nor_the_others(
    early: bool, store: FaultyStore, settler: CommitRetry, claim: Claim, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the event would be handled again and again; its text is not logged."""
    note = Note("hello", "ann")
    committed = await settler.settle([Broken(early=early), note], done(claim))

    assert [committed] == note.committed_with
    assert (["hello"], 0) == (await notes(store), await waiting(store))
    assert "ZeroDivisionError" in caplog.text
    assert SAID not in caplog.text


async def test_contributor_that_waits_for_something_cancelled_is_left_out(
    store: FaultyStore, settler: CommitRetry, claim: Claim, caplog: pytest.LogCaptureFixture
) -> None:
    """It is no end of the task itself, in which the event would stay in flight."""

    class Waiting(Note):
        async def contribute(self) -> Unit:
            raise asyncio.CancelledError

    note = Note("hello", "ann")
    await settler.settle([Waiting("lost", "ann"), note], done(claim))

    assert (["hello"], 0) == (await notes(store), await waiting(store))
    assert "contribution_failed: CancelledError" in caplog.text


async def test_contribution_the_store_cannot_keep_does_not_stop_the_lane(
    store: FaultyStore, settler: CommitRetry, claim: Claim, caplog: pytest.LogCaptureFixture
) -> None:
    """The event alone is settled."""
    store.poison.add("note/hello")
    await settler.settle([Note("hello", "ann")], done(claim))

    assert ([], 0) == (await notes(store), await waiting(store))
    assert "contributions_refused" in caplog.text


async def test_contributors_wait_for_a_store_that_cannot_be_read(clock: VirtualClock) -> None:
    """What cannot be planned now is planned when the store is back; nothing is left out."""
    store = FaultyStore(MemoryStore(clock=clock))
    settler = CommitRetry(store, clock)
    store.fail()
    planner = Planner(store)
    task = asyncio.create_task(settler.settle([planner]))
    await clock.advance(20)
    store.repair()
    await clock.advance(LONGEST_PAUSE_SECONDS)

    assert await task is not None
    assert ["planned"] == await notes(store)


async def test_nothing_to_write_is_no_commit(store: FaultyStore, settler: CommitRetry) -> None:
    """The store is not asked."""
    assert await settler.settle([]) is None
    assert 0 == store.commits


async def test_settling_goes_on_where_the_store_failed(clock: VirtualClock, caplog: pytest.LogCaptureFixture) -> None:
    """It is written once the store works."""
    caplog.set_level(logging.CRITICAL)
    store = FaultyStore(MemoryStore(clock=clock))
    settler = CommitRetry(store, clock)
    store.error = StoreUnavailable("not now")
    task = asyncio.create_task(settler.settle([Note("hello", "ann")]))
    await clock.advance(3)
    store.repair()
    await clock.advance(LONGEST_PAUSE_SECONDS)
    await task

    assert ["hello"] == await notes(store)
