"""The store fails or hangs while webhooks come: held in memory at risk, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.handling import Handling
from kochava_bot_middleware.inbox.inbox import Inbox
from kochava_bot_middleware.inbox.settings import InboxSettings
from kochava_bot_middleware.inbox.stored_event import entry_of
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Lease, Outcome, Queue, Settlement, Unit
from tests.fakes import VirtualClock, settle
from tests.inbox.inbox_fakes import Counter, FaultyStore, Note, message, notes, waiting

MakeInbox = Callable[..., Inbox]
Break = Callable[[FaultyStore], None]
Mend = Callable[[FaultyStore], None]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def store(clock: VirtualClock) -> FaultyStore:
    return FaultyStore(MemoryStore(clock=clock))


@pytest.fixture
async def make_inbox(store: FaultyStore, counter: Counter, clock: VirtualClock) -> AsyncIterator[MakeInbox]:
    made: list[Inbox] = []

    def make(dispatch: Any = None, **settings: Any) -> Inbox:
        values = {"commit_timeout_seconds": 0.01, "drain_seconds": 5.0, **settings}
        inbox = Inbox(store=store, dispatch=dispatch or counter, settings=InboxSettings(**values), clock=clock)
        made.append(inbox)
        return inbox

    yield make
    for inbox in made:
        await inbox.stop(0)


def fails(store: FaultyStore) -> None:
    store.fail()


def hangs(store: FaultyStore) -> None:
    store.open_gate.clear()


def repair(store: FaultyStore) -> None:
    store.repair()
    store.open_gate.set()


both = pytest.mark.parametrize("breaks", [fails, hangs])


@both
async def test_event_is_handled_although_the_store_does_not_work(
    breaks: Break, store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """The person gets an answer; that the event is only in memory is counted."""
    inbox = make_inbox()
    breaks(store)
    await inbox.accept([message("one")])
    await counter.until(lambda: counter.ended == ["one"])

    assert 1 == inbox.at_risk


async def test_event_that_is_stored_as_the_time_runs_out_is_accepted(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Its handler has begun by then; to refuse the event would cancel it."""
    counter.hold("one")
    inbox = make_inbox(on_store_failure="refuse")
    loop = asyncio.get_running_loop()
    hangs(store)
    accepting = asyncio.create_task(inbox.accept([message("one")]))
    await asyncio.sleep(0)
    over = loop.time()
    loop.call_at(over, store.open_gate.set)
    while loop.time() < over + 0.02:
        # Both timers are late now, so they run in one go: first that of the store, then that of the inbox.
        pass
    await accepting
    counter.release()
    await counter.until(lambda: counter.ended == ["one"])

    assert 0 == inbox.at_risk


@both
async def test_event_at_risk_is_written_when_the_store_works_again(
    breaks: Break, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Nothing is lost, nothing is at risk any more, and it was handled once."""
    inbox = make_inbox()
    await inbox.start()
    breaks(store)
    await inbox.accept([message("one")])
    await counter.until(lambda: counter.ended == ["one"])
    repair(store)
    await clock.advance(3)

    assert (0, ["one"], 0) == (inbox.at_risk, await notes(store), await waiting(store))
    assert ["one"] == counter.begun


async def test_event_is_no_longer_at_risk_while_its_handler_still_runs(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Once it is stored, a crash does not lose it."""
    counter.hold("one")
    inbox = make_inbox()
    store.fail()
    await inbox.accept([message("one")])
    store.repair()
    await clock.advance(3)
    assert 0 == inbox.at_risk
    counter.release()
    await inbox.stop()

    assert ([1], ["one"], 0) == (counter.attempts["one"], await notes(store), await waiting(store))


@both
async def test_redelivery_of_an_event_at_risk_is_ignored(
    breaks: Break, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Also when both deliveries waited for the store at the same time."""
    inbox = make_inbox()
    breaks(store)
    await asyncio.gather(*(inbox.accept([message("one")]) for _ in range(3)))
    await inbox.accept([message("one"), message("one")])
    repair(store)
    await clock.advance(3)
    await inbox.accept([message("one")])
    await inbox.stop()

    assert (["one"], ["one"], 0) == (counter.begun, await notes(store), await waiting(store))


@both
async def test_events_at_risk_keep_the_order_of_their_person(
    breaks: Break, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """One after the other; other people do not wait."""
    counter.hold("a0")
    inbox = make_inbox()
    breaks(store)
    for number in range(4):
        await inbox.accept([message(f"a{number}", "a")])
    await inbox.accept([message("b0", "b")])
    await counter.until(lambda: "b0" in counter.ended)
    assert ["a0", "b0"] == counter.begun
    counter.release()
    await counter.until(lambda: len(counter.ended) == 5)
    repair(store)
    await clock.advance(3)
    await inbox.stop()

    lines = [line for line in counter.log if line[1] == "a"]
    assert [f"{sign}a{number}" for number in range(4) for sign in "+-"] == lines
    assert [f"a{number}" for number in range(4)] == [text for text in await notes(store) if text[0] == "a"]
    assert 0 == await waiting(store)


async def test_event_at_risk_follows_one_that_was_stored_and_is_being_handled(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """The store failed in between; the person's order does not."""
    counter.hold("one")
    inbox = make_inbox()
    await inbox.accept([message("one")])
    store.fail()
    await inbox.accept([message("two")])
    await settle()
    assert ["one"] == counter.begun
    counter.release()
    await counter.until(lambda: counter.ended == ["one", "two"])
    store.repair()
    await clock.advance(3)
    await inbox.stop()

    assert (["one", "two"], 0) == (await notes(store), await waiting(store))


async def test_event_at_risk_does_not_overtake_what_waits_in_the_store(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """The second event can only be had from the store, so the third waits for it."""
    counter.hold("one")
    inbox = make_inbox()
    await inbox.accept([message("one")])
    await inbox.accept([message("two")])
    store.fail()
    await inbox.accept([message("three")])
    await inbox.accept([message("four")])
    counter.release()
    await counter.until(lambda: counter.ended == ["one"])
    await clock.advance(10)
    assert ["one"] == counter.begun
    assert 2 == inbox.at_risk
    store.repair()
    await clock.advance(3)

    texts = ["one", "two", "three", "four"]
    assert (texts, texts, 0) == (counter.ended, await notes(store), await waiting(store))
    assert [[1]] * 4 == [counter.attempts[text] for text in texts]


async def test_event_at_risk_does_not_overtake_although_its_predecessor_has_ended(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """What waits in the store behind that one still comes first."""
    counter.hold("one")
    inbox = make_inbox()
    await inbox.accept([message("one")])
    await inbox.accept([message("two")])
    store.fail()
    counter.release()
    await counter.until(lambda: counter.ended == ["one"])
    await inbox.accept([message("three")])
    await clock.advance(10)
    assert ["one"] == counter.begun
    store.repair()
    await clock.advance(3)

    assert ["one", "two", "three"] == counter.ended


async def test_records_of_events_at_risk_are_written_in_the_order_of_their_person(
    store: FaultyStore, clock: VirtualClock, make_inbox: MakeInbox
) -> None:
    """Though the first one's take longer to plan, since they are planned from what is stored."""

    class Slow(Note):
        async def contribute(self) -> Unit:
            await store.recall([("ann", "funnel:ann")])
            return await super().contribute()

    async def dispatch(handling: Handling) -> None:
        event: Any = handling.event
        handling.contributors[self] = (Slow if event.text == "one" else Note)(event.text, "ann")
        await may_end.wait()

    self, may_end = object(), asyncio.Event()
    inbox = make_inbox(dispatch)
    await inbox.accept([message("one")])
    store.fail()
    may_end.set()
    # The first one asks every two seconds by now, the second one more often.
    await clock.advance(8)
    await inbox.accept([message("two")])
    await settle()
    store.repair()
    await clock.advance(5)

    assert (["one", "two"], 0) == (await notes(store), await waiting(store))


async def test_event_at_risk_behind_another_process_is_left_to_the_store(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """It was stored before it was begun, in a lane that is not ours: whoever owns the lane goes on with it."""
    lease = Lease(queue=Queue.INBOX, seconds=30)
    counter.hold("busy")
    inbox = make_inbox(concurrency=1)
    await inbox.accept([message("busy", "ben")])
    await store.commit(Unit(appends=[entry_of(message("theirs"), clock.now())], lease=lease))
    store.fail()
    await inbox.accept([message("ours")])
    store.repair()
    await clock.advance(3)
    counter.release()
    await inbox.stop()

    assert (["busy"], 0, 2) == (counter.begun, inbox.at_risk, await waiting(store))


async def test_event_handled_at_risk_in_a_lane_of_another_process_is_recorded_and_not_run_again(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Its row is settled when it becomes ours."""
    lease = Lease(queue=Queue.INBOX, seconds=30)
    committed = await store.commit(Unit(appends=[entry_of(message("theirs"), clock.now())], lease=lease))
    inbox = make_inbox()
    await inbox.start()
    store.fail()
    await inbox.accept([message("ours")])
    await counter.until(lambda: counter.ended == ["ours"])
    store.repair()
    await clock.advance(3)
    assert (["ours"], 2) == (await notes(store), await waiting(store))
    await store.commit(Unit(settlements=[Settlement(claim=committed.leased[0], outcome=Outcome.DONE)]))
    await clock.advance(2)

    assert (["ours"], 0) == (counter.begun, await waiting(store))


async def test_event_whose_answer_was_lost_is_handled_and_not_run_again(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """The store had written it, but said otherwise: it is leased to a token that nobody has."""
    inbox = make_inbox()
    await inbox.start()
    store.loses_answers = True
    await inbox.accept([message("one")])
    await counter.until(lambda: counter.ended == ["one"])
    store.repair()
    await clock.advance(40)

    assert (["one"], ["one"], 0) == (counter.begun, await notes(store), await waiting(store))


async def test_no_more_than_the_limit_is_held_at_risk(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Beyond it webhooks are refused, so that memory is bounded and Facebook keeps them."""
    inbox = make_inbox(at_risk_limit=2)
    store.fail()
    await inbox.accept([message("one"), message("two")])
    with pytest.raises(StoreUnavailable):
        await inbox.accept([message("three")])
    await counter.until(lambda: len(counter.ended) == 2)

    assert (2, ["one", "two"]) == (inbox.at_risk, counter.begun)


@both
async def test_refusing_inbox_runs_no_handler(
    breaks: Break, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Facebook keeps the event and delivers it again."""
    inbox = make_inbox(on_store_failure="refuse")
    breaks(store)
    with pytest.raises(StoreUnavailable, match="did not take the event"):
        await inbox.accept([message("one")])
    await clock.advance(5)

    assert ([], 0) == (counter.begun, inbox.at_risk)


@both
async def test_refused_event_is_handled_when_it_is_delivered_again(
    breaks: Break, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Once, whether or not the first delivery was written in the end."""
    inbox = make_inbox(on_store_failure="refuse")
    breaks(store)
    with pytest.raises(StoreUnavailable):
        await inbox.accept([message("one")])
    repair(store)
    await clock.advance(3)
    await inbox.accept([message("one")])
    await inbox.stop()

    assert {"one": [1]} == counter.attempts
    assert 0 == await waiting(store)


async def test_refused_events_leave_nothing_in_memory(store: FaultyStore, make_inbox: MakeInbox) -> None:
    """However long the store is away."""
    inbox = make_inbox(on_store_failure="refuse")
    store.fail()
    before = asyncio.all_tasks()
    for number in range(5):
        with pytest.raises(StoreUnavailable):
            await inbox.accept([message(str(number))])
    await settle()

    assert before == asyncio.all_tasks()


@both
async def test_refusing_turns_to_buffering_before_the_page_is_unsubscribed(
    breaks: Break, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Facebook gives up on a callback that fails for an hour."""
    inbox = make_inbox(on_store_failure="refuse", refuse_seconds=600)
    breaks(store)
    with pytest.raises(StoreUnavailable):
        await inbox.accept([message("one")])
    await clock.advance(599)
    with pytest.raises(StoreUnavailable):
        await inbox.accept([message("one")])
    await clock.advance(2)
    await inbox.accept([message("one")])
    await counter.until(lambda: counter.ended == ["one"])

    assert 1 == inbox.at_risk


async def test_refusing_begins_anew_after_the_store_worked(
    store: FaultyStore, clock: VirtualClock, make_inbox: MakeInbox
) -> None:
    """The time counts from the last failure's beginning."""
    inbox = make_inbox(on_store_failure="refuse", refuse_seconds=600)
    store.fail()
    with pytest.raises(StoreUnavailable):
        await inbox.accept([message("one")])
    await clock.advance(700)
    store.repair()
    await inbox.accept([message("two")])
    store.fail()
    with pytest.raises(StoreUnavailable):
        await inbox.accept([message("three")])


async def test_what_is_lost_at_a_shutdown_is_told(
    store: FaultyStore, make_inbox: MakeInbox, caplog: pytest.LogCaptureFixture
) -> None:
    """The only loss there is, and never a silent one."""
    inbox = make_inbox()
    store.fail()
    await inbox.accept([message("one"), message("two", "ben")])
    await inbox.stop(0.01)

    assert "inbox_lost_at_risk: 2 events" in caplog.messages


async def test_handled_event_is_settled_when_the_store_works_again(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """The store failed between the webhook and the handler's end, for longer than the lease."""
    counter.hold("one")
    inbox = make_inbox()
    await inbox.start()
    await inbox.accept([message("one")])
    store.fail()
    counter.release()
    await counter.until(lambda: counter.ended == ["one"])
    await clock.advance(300)
    store.repair()
    await clock.advance(3)

    assert (["one"], ["one"], 0) == (counter.begun, await notes(store), await waiting(store))


async def test_event_the_store_can_never_keep_is_refused_and_costs_no_other(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """It is not tried for ever."""
    inbox = make_inbox()
    store.poison.add(entry_of(message("bad"), 0.0).id)
    with pytest.raises(Exception, match="cannot keep this"):
        await inbox.accept([message("bad")])
    await inbox.accept([message("good")])
    await inbox.stop()

    assert ["good"] == counter.ended


async def test_shutdown_does_not_wait_for_a_store_that_hangs(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """What could not be released waits for its lease to lapse."""
    counter.hold("one")
    inbox = make_inbox()
    await inbox.accept([message("one")])
    await counter.until(lambda: counter.begun == ["one"])
    store.open_gate.clear()
    counter.release()
    async with asyncio.timeout(3):
        await inbox.stop(0.05)
