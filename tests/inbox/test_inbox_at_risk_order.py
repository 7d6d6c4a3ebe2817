"""What an event at risk waits for: all that was stored before it in its lane, as far as this process can know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kochava_bot_middleware.handling import Handling
from kochava_bot_middleware.inbox.inbox import ALWAYS_LEASED, Inbox
from kochava_bot_middleware.inbox.settings import InboxSettings
from kochava_bot_middleware.inbox.stored_event import entry_of
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Claim, Committed, Outcome, Queue, Settlement, Unit
from tests.fakes import VirtualClock, settle
from tests.inbox.inbox_fakes import Counter, FaultyStore, message

LEASE = 30.0


class SlowlySettlingStore(FaultyStore):
    """A store that can be made to keep settlements waiting."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.may_settle = asyncio.Event()
        self.may_settle.set()

    async def _write(self, unit: Unit) -> Committed:
        if unit.settlements:
            await self.may_settle.wait()
        return await super()._write(unit)


class Rig:
    """One person's events, and a store that fails when asked to."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = SlowlySettlingStore(MemoryStore(clock=self.clock))
        self.counter = Counter()
        wanted = InboxSettings(commit_timeout_seconds=0.01, drain_seconds=5.0, lease_seconds=LEASE, concurrency=2)
        self.inbox = Inbox(store=self.store, dispatch=self.counter, settings=wanted, clock=self.clock)

    async def accept(self, *texts: str, user: str = "ann") -> None:
        for text in texts:
            await self.inbox.accept([message(text, user)])
        await settle()

    async def release(self, *texts: str) -> None:
        """Let their handlers end."""
        self.counter.release(*texts)
        await settle()

    async def claim_as_another_process(self) -> Claim:
        """After the lease of everything has lapsed."""
        self.clock.stall(LEASE + 1)
        (claim,) = [
            claim for claim in await self.store.claim(Queue.INBOX, 9, LEASE) if claim.entry.lane.endswith("/ann")
        ]
        return claim

    async def works_again(self) -> None:
        self.store.repair()
        self.store.open_gate.set()
        self.store.may_settle.set()
        await self.clock.advance(3)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    rig.counter.release()
    await rig.works_again()
    await rig.inbox.stop(0)


async def test_it_waits_for_what_was_stored_although_one_at_risk_became_the_head(rig: Rig) -> None:
    """The second was begun at risk and claimed later; the third was stored behind it."""
    rig.counter.hold("one", "two")
    await rig.accept("one")
    rig.store.fail()
    await rig.accept("two")
    await rig.release("one")
    assert ["one", "two"] == rig.counter.begun
    await rig.works_again()
    await rig.accept("three")
    rig.store.fail()
    await rig.accept("four")
    await rig.release("two")
    assert ["one", "two"] == rig.counter.begun
    await rig.works_again()
    assert ["one", "two", "three", "four"] == rig.counter.ended


async def test_it_waits_for_what_was_stored_although_its_predecessor_was_handled_at_risk(rig: Rig) -> None:
    """What waits in the store is the lane's, not the head's."""
    rig.store.may_settle.clear()
    await rig.accept("one")
    rig.store.open_gate.clear()
    await rig.accept("two")
    assert ["one", "two"] == rig.counter.ended
    rig.store.open_gate.set()
    await rig.accept("three")
    rig.store.open_gate.clear()
    await rig.accept("four")
    assert ["one", "two"] == rig.counter.begun
    await rig.works_again()
    assert ["one", "two", "three", "four"] == rig.counter.ended


async def test_it_waits_for_one_that_was_stored_before_it_could_begin(rig: Rig) -> None:
    """That one is handled when it is claimed."""
    rig.counter.hold("one")
    await rig.accept("one")
    rig.store.open_gate.clear()
    await rig.accept("two")
    rig.store.open_gate.set()
    await settle()
    rig.store.may_settle.clear()
    await rig.release("one")
    rig.store.open_gate.clear()
    await rig.accept("three")
    assert ["one"] == rig.counter.begun
    await rig.works_again()
    assert ["one", "two", "three"] == rig.counter.ended


async def test_it_waits_for_what_was_stored_behind_one_that_could_not_begin(rig: Rig) -> None:
    """That one counts from when it was stored."""
    rig.counter.hold("one", "two")
    await rig.accept("one")
    rig.store.open_gate.clear()
    await rig.accept("two")
    rig.store.open_gate.set()
    await rig.accept("three")
    await rig.release("one")
    assert ["one", "two"] == rig.counter.begun
    rig.store.fail()
    await rig.accept("four")
    await rig.release("two")
    assert ["one", "two"] == rig.counter.begun
    await rig.works_again()
    assert ["one", "two", "three", "four"] == rig.counter.ended


async def test_it_waits_for_one_whose_lease_was_lost_before_it_was_begun(rig: Rig) -> None:
    """The store has that one still, and cannot be asked at the moment."""
    rig.counter.hold("busy", "busy too")
    await rig.accept("busy", user="ben")
    await rig.accept("busy too", user="carl")
    await rig.accept("one")
    await rig.claim_as_another_process()
    await rig.release("busy")
    rig.store.fail()
    await rig.accept("two")
    assert ["busy", "busy too"] == rig.counter.begun


async def test_it_follows_once_what_was_stored_has_been_handled(rig: Rig) -> None:
    """Although the store still fails."""
    rig.counter.hold("two")
    await rig.accept("one", "two")
    assert ["one", "two"] == rig.counter.begun
    rig.store.fail()
    await rig.accept("three")
    assert ["one", "two"] == rig.counter.begun
    await rig.release("two")
    assert ["one", "two", "three"] == rig.counter.ended


async def test_it_does_not_wait_for_what_another_process_has_handled(rig: Rig) -> None:
    """An event that was stored in an empty lane shows that nothing waits there."""
    rig.counter.hold("busy", "busy too", "two")
    await rig.accept("busy", user="ben")
    await rig.accept("busy too", user="carl")
    await rig.accept("one")
    theirs = await rig.claim_as_another_process()
    await rig.release("busy")
    await rig.store.commit(Unit(settlements=[Settlement(claim=theirs, outcome=Outcome.DONE)]))
    await rig.accept("two")
    rig.store.fail()
    await rig.accept("three")
    assert "three" not in rig.counter.begun
    await rig.release("two")
    assert ["two", "three"] == rig.counter.ended[-2:]


async def test_it_waits_in_a_lane_that_another_process_took_over(rig: Rig) -> None:
    """That process goes on with the lane, and this one does not learn how far it is."""
    rig.counter.hold("one")
    await rig.accept("one", "two")
    await rig.claim_as_another_process()
    await rig.release("one")
    rig.store.fail()
    await rig.accept("three")
    assert ["one"] == rig.counter.begun


async def test_it_waits_for_what_was_stored_behind_an_event_of_another_process(rig: Rig) -> None:
    """This process has never held anything of the lane."""
    await rig.store.commit(Unit(appends=[entry_of(message("theirs"), 0.0)]))
    (theirs,) = await rig.store.claim(Queue.INBOX, 1, LEASE)
    await rig.accept("one")
    rig.store.fail()
    await rig.accept("two")
    assert [] == rig.counter.begun
    await rig.works_again()
    await rig.store.commit(Unit(settlements=[Settlement(claim=theirs, outcome=Outcome.DONE)]))
    await rig.inbox.start()
    await rig.clock.advance(3)
    assert ["one", "two"] == rig.counter.ended


async def test_it_waits_for_one_whose_commit_was_not_answered(rig: Rig) -> None:
    """That one was stored and leased, but with which token is not known."""
    rig.store.loses_answers = True
    accepting = asyncio.create_task(rig.inbox.accept([message("one")]))
    await settle()
    rig.store.repair()
    await rig.clock.advance(1)
    await accepting
    assert [] == rig.counter.begun
    rig.store.fail()
    await rig.accept("two")
    assert [] == rig.counter.begun
    await rig.works_again()
    await rig.inbox.start()
    await rig.clock.advance(LEASE + 2)
    assert ["one", "two"] == rig.counter.ended


async def test_it_waits_for_one_that_found_no_place(rig: Rig) -> None:
    """It was one of many, so it was left in the store."""
    rig.counter.hold("busy")
    await rig.accept("busy", user="ben")
    others = [message(f"other {number}", f"person {number}") for number in range(ALWAYS_LEASED)]
    await rig.inbox.accept([*others, message("one")])
    rig.store.fail()
    await rig.accept("two")
    assert ["busy"] == rig.counter.begun
    await rig.works_again()
    await rig.inbox.start()
    await rig.clock.advance(3)
    await settle(3 * ALWAYS_LEASED)
    assert ["one", "two"] == [text for text in rig.counter.ended if text in ("one", "two")]


async def test_a_repeated_delivery_is_not_what_comes_last(rig: Rig) -> None:
    """It does not hide what was stored after it."""
    await rig.store.commit(Unit(appends=[entry_of(message("theirs"), 0.0)]))
    await rig.store.claim(Queue.INBOX, 1, LEASE)
    await rig.accept("one", "two", "one")
    rig.clock.stall(LEASE + 1)
    (theirs,) = await rig.store.claim(Queue.INBOX, 1, LEASE)
    await rig.store.commit(Unit(settlements=[Settlement(claim=theirs, outcome=Outcome.DONE)]))
    rig.counter.hold("one")
    await rig.inbox.start()
    await settle()
    rig.store.fail()
    await rig.accept("three")
    await rig.release("one")
    assert ["one"] == rig.counter.begun


USERS = ("ann", "ben")
STEPS = st.one_of(
    st.tuples(st.just("accept"), st.integers(0, 1), st.sampled_from(USERS)),
    st.tuples(st.just("accept"), st.integers(0, 1), st.sampled_from(USERS)),
    st.tuples(st.just("wait"), st.sampled_from((0.1, 1.0, 5.0, LEASE + 5.0))),
    st.tuples(st.sampled_from(("fail", "hang", "lose answers", "repair"))),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=30))
def test_what_one_process_received_is_begun_in_that_order(steps: Sequence[tuple[Any, ...]]) -> None:
    """Whatever the store does, and whichever of two processes handles it."""
    received, begun = asyncio.run(two_processes(steps))
    for of_process in range(2):
        for user in USERS:
            expected = [text for by, text in received if by == of_process and text.startswith(user)]
            assert expected == [text for text in dict.fromkeys(begun) if text in expected]


async def two_processes(steps: Sequence[tuple[Any, ...]]) -> tuple[list[tuple[int, str]], list[str]]:
    """What each received, in order, and what was begun by either."""
    clock = VirtualClock()
    store = FaultyStore(MemoryStore(clock=clock))
    received: list[tuple[int, str]] = []
    begun: list[str] = []

    async def dispatch(handling: Handling) -> None:
        begun.append(handling.event.text)  # type: ignore[attr-defined]
        await clock.sleep(0.5)

    wanted = InboxSettings(commit_timeout_seconds=0.005, lease_seconds=LEASE, concurrency=2)
    inboxes = [Inbox(store=store, dispatch=dispatch, settings=wanted, clock=clock) for _ in range(2)]
    for inbox in inboxes:
        await inbox.start()
    for step, *given_with in steps:
        if step == "accept":
            process, user = given_with
            text = f"{user} {len(received)}"
            await inboxes[process].accept([message(text, user)])
            received.append((process, text))
        elif step == "wait":
            await clock.advance(*given_with)
        elif step == "fail":
            store.fail()
        elif step == "hang":
            store.open_gate.clear()
        elif step == "lose answers":
            store.loses_answers = True
        else:
            store.repair()
            store.open_gate.set()
    store.repair()
    store.open_gate.set()
    await clock.advance(4 * LEASE)
    for inbox in inboxes:
        await inbox.stop(0)
    return received, begun
