"""From accepted to handled: once, in order, side by side, and to the end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.handling import Handling
from kochava_bot_middleware.inbox.inbox import Inbox
from kochava_bot_middleware.inbox.settings import InboxSettings
from kochava_bot_middleware.inbox.stored_event import SCHEMA, entry_of
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import EntryState, Lease, Queue, Unit
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.inbox.inbox_fakes import Counter, FaultyStore, message, notes, waiting

MakeInbox = Callable[..., Inbox]


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FaultyStore]:
    store = FaultyStore(MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "bot.db"))
    yield store
    await store.close()


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
async def make_inbox(store: Store, counter: Counter) -> AsyncIterator[MakeInbox]:
    made: list[Inbox] = []

    def make(dispatch: Any = None, **settings: Any) -> Inbox:
        inbox = Inbox(store=store, dispatch=dispatch or counter, settings=InboxSettings(**settings))
        made.append(inbox)
        return inbox

    yield make
    for inbox in made:
        await inbox.stop(0)


async def test_events_are_handled_and_their_rows_are_gone(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """What is handled is recorded, and the person's words are kept no longer."""
    inbox = make_inbox()
    await inbox.accept([message("one"), message("two", "ben")])
    await inbox.stop()

    assert {"one", "two"} == set(counter.ended)
    assert {"one", "two"} == set(await notes(store))
    assert 0 == await waiting(store)
    assert [] == await store.browse(Queue.INBOX)


async def test_accepting_does_not_wait_for_handlers(counter: Counter, make_inbox: MakeInbox) -> None:
    """It returns once the event is durable."""
    counter.hold("slow")
    inbox = make_inbox()
    await inbox.accept([message("slow")])

    assert [] == counter.ended


async def test_redelivered_event_is_ignored(store: FaultyStore, counter: Counter, make_inbox: MakeInbox) -> None:
    """Whether its first delivery is still being handled or long done."""
    counter.hold("one")
    inbox = make_inbox()
    await inbox.accept([message("one")])
    await counter.until(lambda: counter.begun == ["one"])
    commits = store.commits
    await inbox.accept([message("one")])
    assert commits == store.commits
    counter.release()
    await counter.until(lambda: counter.ended == ["one"])
    await inbox.accept([message("one"), message("end")])
    await inbox.stop()

    assert ["one", "end"] == counter.begun
    assert ["one", "end"] == await notes(store)


async def test_simultaneous_deliveries_run_the_handler_once(counter: Counter, make_inbox: MakeInbox) -> None:
    """Also within one webhook."""
    inbox = make_inbox()
    await asyncio.gather(*(inbox.accept([message("one"), message("one")]) for _ in range(20)))
    await inbox.stop()

    assert ["one"] == counter.begun


async def test_events_of_one_person_are_handled_in_order(counter: Counter, make_inbox: MakeInbox) -> None:
    """The next handler begins when the one before has ended."""
    texts = [str(number) for number in range(10)]
    inbox = make_inbox()
    counter.hold("0")
    await inbox.accept([message(text) for text in texts[:3]])
    for text in texts[3:]:
        await inbox.accept([message(text)])
    counter.release()
    await counter.until(lambda: len(counter.ended) == 10)

    assert [f"{sign}{text}" for text in texts for sign in "+-"] == counter.log


async def test_people_are_served_side_by_side_up_to_the_bound(counter: Counter, make_inbox: MakeInbox) -> None:
    """A slow handler keeps nobody else waiting while there is room."""
    people = [str(number) for number in range(5)]
    counter.hold(*people)
    inbox = make_inbox(concurrency=3)
    await inbox.accept([message(name, name) for name in people])
    await counter.until(lambda: len(counter.begun) == 3)
    counter.release("0")
    await counter.until(lambda: len(counter.begun) == 4)

    assert ["0"] == counter.ended
    counter.release()
    await inbox.stop()
    assert set(people) == set(counter.ended)


async def test_successor_begins_as_soon_as_its_predecessor_is_settled(counter: Counter, make_inbox: MakeInbox) -> None:
    """It is leased by the very commit that settles; no patrol is needed."""
    inbox = make_inbox(poll_seconds=3600)
    await inbox.start()
    await inbox.accept([message("one"), message("two"), message("three")])

    await counter.until(lambda: counter.ended == ["one", "two", "three"])


async def test_handler_that_raises_counts_as_handled(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox, caplog: pytest.LogCaptureFixture
) -> None:
    """It is recorded, the lane goes on, it is not run again, and its words are not logged."""
    said = "the person's words"
    counter.errors["one"] = ValueError(said)
    inbox = make_inbox(poll_seconds=0.01)
    await inbox.start()
    await inbox.accept([message("one"), message("two")])
    await counter.until(lambda: "two" in counter.ended)
    await inbox.stop()

    assert ["one", "two"] == counter.begun
    assert (["one", "two"], 0) == (await notes(store), await waiting(store))
    assert said not in caplog.text
    assert "ValueError" in caplog.text


async def test_handler_cancelled_from_within_counts_as_handled(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Something it waited for was cancelled; that must not look like the death of the process."""
    counter.errors["one"] = asyncio.CancelledError()
    inbox = make_inbox()
    await inbox.accept([message("one"), message("two")])
    await inbox.stop()

    assert ["one", "two"] == counter.ended
    assert (["one", "two"], 0) == (await notes(store), await waiting(store))


class _Unusual(BaseException):
    pass


async def _raises() -> None:
    raise _Unusual


async def _cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _cancels_itself_at_its_end() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


@pytest.mark.parametrize("ends", [_raises, _cancels_itself, _cancels_itself_at_its_end])
async def test_handler_that_ends_in_an_unusual_way_counts_as_handled(
    ends: Callable[[], Any], store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """The process is alive, so the event must not be handled again."""

    async def dispatch(handling: Handling) -> None:
        await counter(handling)
        await ends()

    inbox = make_inbox(dispatch)
    await inbox.accept([message("one"), message("two")])
    await counter.until(lambda: counter.ended == ["one", "two"])
    await inbox.stop()

    assert [[1], [1]] == [counter.attempts[text] for text in ("one", "two")]
    assert (["one", "two"], 0) == (await notes(store), await waiting(store))


async def test_handler_cut_off_by_a_shutdown_is_not_settled(store: FaultyStore, make_inbox: MakeInbox) -> None:
    """It did not end, whatever it makes of its cancellation: the next process handles the event."""
    begun = asyncio.Event()

    async def dispatch(handling: Handling) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise _Unusual from None

    inbox = make_inbox(dispatch)
    await inbox.accept([message("one")])
    await begun.wait()
    await inbox.stop(0)

    assert 1 == await waiting(store)


async def test_request_that_is_cancelled_does_not_orphan_its_event(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """The client hung up while the event was being stored."""
    inbox = make_inbox()
    store.open_gate.clear()
    request = asyncio.create_task(inbox.accept([message("one")]))
    while not store.commits:
        await asyncio.sleep(0)
    request.cancel()
    await asyncio.wait({request})
    store.open_gate.set()

    await counter.until(lambda: counter.ended == ["one"])
    assert [1] == counter.attempts["one"]


async def test_corrupt_row_is_dead_and_the_lane_goes_on(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """One unreadable row costs its neighbours nothing."""
    bad = attrs.evolve(entry_of(message("bad"), 0.0), body=b'{"item": "text"}')
    await store.commit(Unit(appends=[bad]))
    inbox = make_inbox()
    await inbox.accept([message("good")])
    await inbox.start()
    await counter.until(lambda: counter.ended == ["good"])
    await inbox.stop()

    (dead,) = await store.browse(Queue.INBOX, state=EntryState.DEAD)
    assert (bad.id, "corrupt inbox entry") == (dead.entry.id, dead.reason)
    assert 0 == await waiting(store)


async def test_row_of_a_newer_release_is_left_to_it(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox, caplog: pytest.LogCaptureFixture
) -> None:
    """It is neither handled nor lost, and it is reported."""
    newer = attrs.evolve(entry_of(message("newer"), 0.0), schema=SCHEMA + 1)
    await store.commit(Unit(appends=[newer]))
    inbox = make_inbox()
    await inbox.start()
    await inbox.accept([message("other", "ben")])
    await counter.until(lambda: counter.ended == ["other"])
    await inbox.stop()

    assert (["other"], 1) == (counter.begun, await waiting(store))
    assert "inbox_entry_too_new" in caplog.text


async def test_no_event_sees_what_another_handler_has_set(make_inbox: MakeInbox) -> None:
    """Each runs in a context of its own, also the next one of the same person."""
    said: contextvars.ContextVar[str] = contextvars.ContextVar("said", default="nothing")
    seen: list[str] = []

    async def dispatch(handling: Handling) -> None:
        event: Any = handling.event
        seen.append(said.get())
        said.set(event.text)

    inbox = make_inbox(dispatch)
    said.set("in the request")
    await inbox.accept([message("one"), message("two")])
    await inbox.stop()

    assert ["nothing", "nothing"] == seen


async def test_stop_waits_for_handlers_and_for_those_that_follow(counter: Counter, make_inbox: MakeInbox) -> None:
    """What waits in this process for its turn is handled before the end."""
    counter.hold("one")
    inbox = make_inbox()
    await inbox.accept([message("one"), message("other", "ben")])
    await counter.until(lambda: "one" in counter.begun)
    stopping = asyncio.create_task(inbox.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    counter.release()
    await stopping

    assert {"one", "other"} == set(counter.ended)


async def test_stop_leaves_successors_to_the_next_process_if_there_can_be_one(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """What only memory holds is handled before the end."""
    counter.hold("one")
    inbox = make_inbox()
    await inbox.accept([message("one"), message("two")])
    await counter.until(lambda: counter.begun == ["one"])
    stopping = asyncio.create_task(inbox.stop())
    await asyncio.sleep(0)
    counter.release()
    await stopping

    assert (["one"] if store.durable else ["one", "two"]) == counter.ended
    assert (1 if store.durable else 0) == await waiting(store)


async def test_stopping_inbox_refuses(make_inbox: MakeInbox) -> None:
    """Facebook delivers again, to a process that lives."""
    inbox = make_inbox()
    await inbox.stop()

    with pytest.raises(StoreUnavailable, match="shutting down"):
        await inbox.accept([message("one")])


async def test_stop_twice_is_stopping_once(make_inbox: MakeInbox) -> None:
    """Also at the same time, and without a start."""
    inbox = make_inbox()
    await inbox.stop()
    started = make_inbox()
    await started.start()
    await asyncio.gather(started.stop(), started.stop())


async def test_stop_lets_go_of_what_was_not_begun(store: FaultyStore, counter: Counter, make_inbox: MakeInbox) -> None:
    """Another process begins it at once, as a first attempt, and takes over what was begun."""
    counter.hold("begun")
    inbox = make_inbox(concurrency=1)
    await inbox.accept([message("begun"), message("unbegun", "ben")])
    await counter.until(lambda: counter.begun == ["begun"])
    await inbox.stop(0)

    claims = await store.claim(Queue.INBOX, 10, 30)
    assert {
        entry_of(message("begun"), 0.0).id: (2, True),
        entry_of(message("unbegun", "ben"), 0.0).id: (1, False),
    } == {claim.entry.id: (claim.attempt, claim.is_takeover) for claim in claims}


async def test_stop_ends_although_a_handler_does_not(make_inbox: MakeInbox) -> None:
    """A handler that runs beyond the deadline is cancelled."""
    cancelled = asyncio.Event()
    begun = asyncio.Event()

    async def dispatch(handling: Handling) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    inbox = make_inbox(dispatch)
    await inbox.accept([message("one")])
    await begun.wait()
    await inbox.stop(0)

    assert cancelled.is_set()


async def test_handler_may_stop_its_own_inbox(store: FaultyStore, make_inbox: MakeInbox) -> None:
    """It does not wait for itself, and is settled afterwards."""
    stopped = asyncio.Event()

    async def dispatch(handling: Handling) -> None:
        await inbox.stop()
        stopped.set()

    inbox = make_inbox(dispatch)
    await inbox.accept([message("one")])
    async with asyncio.timeout(5):
        await stopped.wait()


async def test_event_stored_in_a_busy_lane_is_leased_to_nobody(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Another process owns the lane; it goes on with the event."""
    lease = Lease(queue=Queue.INBOX, seconds=30)
    await store.commit(Unit(appends=[entry_of(message("theirs"), 0.0)], lease=lease))
    inbox = make_inbox()
    await inbox.start()
    await inbox.accept([message("ours")])
    await inbox.accept([message("other", "ben")])
    await counter.until(lambda: "other" in counter.ended)
    await inbox.stop()

    assert ["other"] == counter.begun
    assert 2 == await waiting(store)


async def test_many_events_of_many_people_are_each_handled_once_and_in_order(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Twenty webhooks at a time, each with redeliveries."""
    caplog.set_level(logging.INFO)
    events: list[Event] = [message(f"{user}{number}", user) for number in range(20) for user in "abcdefgh"]
    inbox = make_inbox(concurrency=4)
    await inbox.start()
    for start in range(0, len(events), 8):
        batch = events[start : start + 8]
        await asyncio.gather(inbox.accept(batch[:5]), inbox.accept(batch[3:]))
    await inbox.stop()

    assert len(events) == len(counter.begun)
    for user in "abcdefgh":
        assert [f"{user}{number}" for number in range(20)] == [text for text in counter.begun if text[0] == user]
    assert (len(events), 0) == (len(await notes(store)), await waiting(store))
    assert [] == [record.getMessage() for record in caplog.records]
