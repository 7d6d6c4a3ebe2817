"""Webhooks that arrive in one turn of the event loop are stored in one unit, and still succeed or fail one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kochava_bot_middleware.exceptions import NotStorable, StoreUnavailable
from kochava_bot_middleware.inbox.inbox import Inbox
from kochava_bot_middleware.inbox.settings import InboxSettings
from kochava_bot_middleware.inbox.stored_event import id_of
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, EntryState, Queue, Unit
from tests.fakes import VirtualClock
from tests.inbox.inbox_fakes import Counter, FaultyStore, message


class PickyStore(FaultyStore):
    """It can never keep the body of what is poisoned, but a dead letter of it."""

    async def _write(self, unit: Unit) -> Committed:
        if any(entry.body and entry.id in self.poison for entry in unit.appends):
            raise NotStorable("cannot keep this body")
        poison, self.poison = self.poison, set()
        try:
            return await super()._write(unit)
        finally:
            self.poison = poison


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def store() -> FaultyStore:
    return PickyStore(MemoryStore(clock=VirtualClock()))


@pytest.fixture
async def inbox(store: FaultyStore, counter: Counter) -> AsyncIterator[Inbox]:
    inbox = Inbox(store=store, dispatch=counter, settings=InboxSettings(), clock=VirtualClock())
    yield inbox
    await inbox.stop(0)


async def accept_together(inbox: Inbox, *texts: str, user: str | None = None) -> list[BaseException | None]:
    """Each text is a webhook of a person of their own, or of *user*."""
    accepting = (inbox.accept([message(text, user or text)]) for text in texts)
    return await asyncio.gather(*accepting, return_exceptions=True)


async def test_they_are_one_commit(store: FaultyStore, counter: Counter, inbox: Inbox) -> None:
    """Of which each person's event is leased, and handled."""
    await accept_together(inbox, "one", "two", "three")
    await counter.until(lambda: len(counter.ended) == 3)
    stored = [[entry.id for entry in unit.appends] for unit in store.units if not unit.settlements]
    assert [[id_of(message(text, text)) for text in ("one", "two", "three")]] == stored


async def test_a_store_in_several_parts_gets_each_as_a_commit_of_its_own(
    store: FaultyStore, counter: Counter, inbox: Inbox
) -> None:
    """It would write the parts one after the other."""
    store.is_one_part = False
    await accept_together(inbox, "one", "two")
    await counter.until(lambda: len(counter.ended) == 2)
    assert [1, 1] == [len(unit.appends) for unit in store.units if not unit.settlements]


async def test_those_of_one_person_are_handled_in_order(counter: Counter, inbox: Inbox) -> None:
    """One after the other."""
    await accept_together(inbox, "one", "two", "three", user="ann")
    await counter.until(lambda: len(counter.ended) == 3)
    assert ["+one", "-one", "+two", "-two", "+three", "-three"] == counter.log


async def test_one_that_comes_twice_counts_once(store: FaultyStore, counter: Counter, inbox: Inbox) -> None:
    """Also when the store can never keep it."""
    store.poison = {id_of(message("two", "ann"))}
    assert [None] * 4 == await accept_together(inbox, "one", "one", "two", "two", user="ann")
    await counter.until(lambda: counter.ended == ["one"])
    assert 1 == len(await store.browse(Queue.INBOX, state=EntryState.DEAD))


async def test_one_that_the_store_cannot_keep_costs_no_other(
    store: FaultyStore, counter: Counter, inbox: Inbox
) -> None:
    """It is set aside."""
    store.poison = {id_of(message("two", "two"))}
    assert [None] * 3 == await accept_together(inbox, "one", "two", "three")
    await counter.until(lambda: sorted(counter.ended) == ["one", "three"])


async def test_others_are_leased_at_once_although_one_cannot_be_kept(
    store: FaultyStore, counter: Counter, inbox: Inbox
) -> None:
    """No unit with the bad one is written in parts, whose leases would be lost with its failure."""
    store.poison = {id_of(message("two", "two"))}
    await accept_together(inbox, "one", "two")
    await counter.until(lambda: counter.ended == ["one"])
    assert [1] == counter.attempts["one"]


async def test_all_are_refused_when_the_store_fails(store: FaultyStore, counter: Counter) -> None:
    """Facebook delivers each again, and none is handled before."""
    settings = InboxSettings(commit_timeout_seconds=0.01, on_store_failure="refuse")
    inbox = Inbox(store=store, dispatch=counter, settings=settings, clock=VirtualClock())
    store.fail()
    answers = await accept_together(inbox, "one", "two")
    assert [StoreUnavailable] * 2 == [type(answer) for answer in answers]
    assert [] == counter.begun
    await inbox.stop(0)


async def test_handlers_begin_before_facebook_is_answered(counter: Counter, inbox: Inbox) -> None:
    """So that what a person does upon the answer comes after the handler's first send."""
    begun_at_answer: list[int] = []

    async def webhook(text: str) -> None:
        await inbox.accept([message(text, text)])
        begun_at_answer.append(len(counter.begun))

    await asyncio.gather(webhook("one"), webhook("two"))
    assert [2, 2] == begun_at_answer
