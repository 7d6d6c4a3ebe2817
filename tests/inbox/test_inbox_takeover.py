"""Events whose process died, slept, or was only slow; several inboxes on one store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware.inbox.inbox import Inbox
from kochava_bot_middleware.inbox.settings import InboxSettings
from kochava_bot_middleware.inbox.stored_event import entry_of
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Claim, Lease, Queue, Unit
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.fakes import VirtualClock
from tests.inbox.inbox_fakes import Counter, FaultyStore, message, notes, waiting

MakeInbox = Callable[..., Inbox]
LEASE = Lease(queue=Queue.INBOX, seconds=30)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[FaultyStore]:
    inner: Store = (
        MemoryStore(clock=clock) if request.param == "memory" else SqliteStore(tmp_path / "bot.db", clock=clock)
    )
    store = FaultyStore(inner)
    yield store
    await store.close()


@pytest.fixture
async def make_inbox(store: FaultyStore, counter: Counter, clock: VirtualClock) -> AsyncIterator[MakeInbox]:
    made: list[Inbox] = []

    def make(dispatch: Any = None, **settings: Any) -> Inbox:
        inbox = Inbox(store=store, dispatch=dispatch or counter, settings=InboxSettings(**settings), clock=clock)
        made.append(inbox)
        return inbox

    yield make
    for inbox in made:
        await inbox.stop(0)


async def dies_with(store: Store, clock: VirtualClock, *texts: str) -> Claim:
    """A process stores and leases events, and is gone."""
    committed = await store.commit(Unit(appends=[entry_of(message(text), clock.now()) for text in texts], lease=LEASE))
    return committed.leased[0]


async def test_event_of_a_dead_process_is_handled_by_a_live_one(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """The handler learns that it is the second attempt, and what follows in the lane is the first."""
    await dies_with(store, clock, "one", "two")
    clock.stall(31)
    await make_inbox().start()
    await counter.until(lambda: counter.ended == ["one", "two"])

    assert {"one": [2], "two": [1]} == counter.attempts


async def test_event_is_not_taken_over_before_its_lease_lapses(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Its process may be alive."""
    await dies_with(store, clock, "one")
    clock.stall(29)
    inbox = make_inbox()
    await inbox.start()
    await inbox.accept([message("other", "ben")])
    await counter.until(lambda: counter.ended == ["other"])

    assert ["other"] == counter.begun


@pytest.mark.parametrize(("age", "runs"), [(299, True), (301, False)])
async def test_old_event_is_recorded_but_not_answered(
    age: int, runs: bool, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """By default five minutes: nobody wants a reply to what they wrote long ago; that it happened still counts."""
    await dies_with(store, clock, "one")
    clock.stall(age)
    inbox = make_inbox()
    await inbox.start()
    await counter.until(lambda: counter.ended == ["one"] if runs else counter.recorded == ["one"])
    await inbox.stop()

    assert (["one"], 0) == (await notes(store), await waiting(store))


async def test_event_that_waited_long_is_handled_the_first_time(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """It was answered 200 and nobody has begun it yet."""
    await store.commit(Unit(appends=[entry_of(message("one"), clock.now())]))
    clock.stall(86400)
    await make_inbox().start()
    await counter.until(lambda: counter.ended == ["one"])


async def test_cancelled_event_is_taken_over_after_a_restart(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """A shutdown cut it off, so it is handled again."""
    counter.hold("one")
    first = make_inbox()
    await first.accept([message("one")])
    await counter.until(lambda: counter.begun == ["one"])
    await first.stop(0)
    counter.release()
    clock.stall(31)
    await make_inbox().start()
    await counter.until(lambda: len(counter.begun) == 2 and len(counter.ended) == 2)

    assert {"one": [1, 2]} == counter.attempts


async def test_what_was_not_begun_is_begun_after_a_restart_at_once(
    store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
) -> None:
    """It was released, so nobody waits for a lease; and it is still the first attempt."""
    counter.hold("begun")
    first = make_inbox(concurrency=1)
    await first.accept([message("begun"), message("unbegun", "ben")])
    await counter.until(lambda: counter.begun == ["begun"])
    await first.stop(0)
    await make_inbox().start()
    await counter.until(lambda: "unbegun" in counter.ended)

    assert [1] == counter.attempts["unbegun"]


async def test_events_of_one_person_keep_their_order_over_several_inboxes(
    store: FaultyStore, counter: Counter, make_inbox: MakeInbox
) -> None:
    """Whichever took the webhook; each is handled once."""
    inboxes = [make_inbox(), make_inbox(), make_inbox()]
    for inbox in inboxes:
        await inbox.start()
    texts = [f"{user}{number}" for number in range(15) for user in "abc"]
    for number, text in enumerate(texts):
        await inboxes[number % 3].accept([message(text, text[0])])
    await counter.until(lambda: len(counter.ended) == len(texts))

    for user in "abc":
        expected = [f"{sign}{user}{number}" for number in range(15) for sign in "+-"]
        assert expected == [line for line in counter.log if line[1] == user]


async def test_simultaneous_deliveries_to_several_inboxes_run_the_handler_once(
    counter: Counter, make_inbox: MakeInbox
) -> None:
    """Facebook may deliver to two machines at a time."""
    inboxes = [make_inbox(), make_inbox(), make_inbox()]
    await asyncio.gather(*(inbox.accept([message("one")]) for inbox in inboxes))
    await asyncio.gather(*(inbox.stop() for inbox in inboxes))

    assert ["one"] == counter.begun


class TestInTime:
    """With a store that answers at once, so that time can pass step by step."""

    @pytest.fixture
    def store(self, clock: VirtualClock) -> FaultyStore:
        return FaultyStore(MemoryStore(clock=clock))

    async def test_slow_but_alive_process_keeps_its_event(
        self, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
    ) -> None:
        """It renews the lease for as long as its handler runs."""
        counter.hold("slow")
        slow, idle = make_inbox(), make_inbox()
        await slow.start()
        await idle.start()
        await slow.accept([message("slow")])
        await clock.advance(600)
        counter.release()
        await counter.until(lambda: counter.ended == ["slow"])

        assert {"slow": [1]} == counter.attempts

    async def test_what_waits_for_a_free_place_keeps_its_lease_too(
        self, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
    ) -> None:
        """It is leased, though not begun."""
        counter.hold("slow")
        busy, idle = make_inbox(concurrency=1), make_inbox()
        await busy.start()
        await idle.start()
        await busy.accept([message("slow"), message("next", "ben")])
        await clock.advance(100)
        assert ["slow"] == counter.begun
        counter.release()
        await counter.until(lambda: len(counter.ended) == 2)

        assert {"slow": [1], "next": [1]} == counter.attempts

    async def test_process_that_slept_does_not_run_its_event_a_second_time(
        self, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
    ) -> None:
        """It takes over from itself what it still has in hand, and settles with the new lease."""
        counter.hold("slow")
        inbox = make_inbox()
        await inbox.start()
        await inbox.accept([message("slow")])
        await counter.until(lambda: counter.begun == ["slow"])
        clock.stall(31)
        await clock.advance(2)
        counter.release()
        await inbox.stop()

        assert {"slow": [1]} == counter.attempts
        assert (["slow"], 0) == (await notes(store), await waiting(store))

    async def test_process_that_slept_writes_nothing_of_what_it_lost(
        self, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
    ) -> None:
        """Another one has taken the event over; what that one records has the same ids."""
        counter.hold("slow")
        sleeper = make_inbox()
        await sleeper.accept([message("slow")])
        await counter.until(lambda: counter.begun == ["slow"])
        clock.stall(31)
        (theirs,) = await store.claim(Queue.INBOX, 1, 30)
        counter.release()
        await sleeper.stop()

        assert ([], 1) == (await notes(store), await waiting(store))
        assert [theirs] == await store.renew([theirs], 30)

    async def test_process_that_slept_does_not_begin_what_it_lost(
        self, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
    ) -> None:
        """It waited for a free place while another process took it."""
        counter.hold("slow")
        sleeper = make_inbox(concurrency=1)
        await sleeper.accept([message("slow"), message("lost", "ben")])
        await counter.until(lambda: counter.begun == ["slow"])
        clock.stall(31)
        await store.claim(Queue.INBOX, 10, 30)
        counter.release()
        await sleeper.stop()

        assert ["slow"] == counter.begun

    async def test_lease_that_lapsed_unnoticed_by_others_is_renewed(
        self, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
    ) -> None:
        """Nobody took it, so it may begin, as a first attempt."""
        counter.hold("slow")
        sleeper = make_inbox(concurrency=1)
        await sleeper.accept([message("slow"), message("next", "ben")])
        await counter.until(lambda: counter.begun == ["slow"])
        clock.stall(31)
        counter.release()
        await sleeper.stop()

        assert {"slow": [1], "next": [1]} == counter.attempts

    async def test_patrol_goes_on_when_the_store_fails_for_a_while(
        self, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
    ) -> None:
        """What nobody holds is found once the store works again."""
        await dies_with(store, clock, "one")
        store.fail()
        await make_inbox().start()
        await clock.advance(60)
        assert [] == counter.begun
        store.repair()
        await clock.advance(1)

        assert ["one"] == counter.ended

    async def test_patrol_takes_no_more_than_there_is_room_for(
        self, store: FaultyStore, clock: VirtualClock, counter: Counter, make_inbox: MakeInbox
    ) -> None:
        """The rest is left to processes with free hands."""
        people = [str(number) for number in range(5)]
        counter.hold(*people)
        entries = [entry_of(message(name, name), clock.now()) for name in people]
        await store.commit(Unit(appends=entries))
        await make_inbox(concurrency=2).start()
        await clock.advance(5)

        assert 3 == len(await store.claim(Queue.INBOX, 10, 30))

    async def test_expired_ids_are_swept(self, store: FaultyStore, clock: VirtualClock, make_inbox: MakeInbox) -> None:
        """Else what is remembered would grow without end."""
        await make_inbox().start()
        await clock.advance(181)

        assert 1 + 3 == store.sweeps
