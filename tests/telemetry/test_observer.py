"""Several observers as one, and the observed store and client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.messenger.events import Event, MessageEvent
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, Entry, Unit
from kochava_bot_middleware.telemetry.observer import Answered, ObservedClient, ObservedStore, Observers
from kochava_bot_middleware.testing import LocalKochava, VirtualClock

ENTRY = Entry(id="e1", queue="track", lane="koapp/5", created_at=0.0, body=b"{}")


class Noting:
    """Notes each call in a list that several may share."""

    def __init__(self, name: str = "", notes: list[str] | None = None) -> None:
        self.name = name
        self.notes: list[str] = [] if notes is None else notes

    @contextmanager
    def handling(self, event: Event) -> Iterator[None]:
        self.notes.append(f"{self.name}begins {event.kind}")
        yield
        self.notes.append(f"{self.name}ends {event.kind}")

    @contextmanager
    def sending(self, request: WireRequest) -> Iterator[Answered]:
        def answered(outcome: Answer | Failure) -> None:
            self.notes.append(f"{self.name}{outcome.status if isinstance(outcome, Answer) else outcome.reason}")

        yield answered

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        self.notes.append(f"{self.name}{'failed' if answer is None else answer.verdict.value} in {seconds:g}")


class SlowStore(MemoryStore):
    """Takes two seconds for a commit, or fails after them."""

    def __init__(self, clock: VirtualClock, *, fails: bool = False) -> None:
        super().__init__(clock=clock)
        self._virtual = clock
        self._fails = fails

    async def commit(self, unit: Unit) -> Committed:
        self._virtual.stall(2.0)
        if self._fails:
            msg = "gone"
            raise StoreUnavailable(msg)
        return await super().commit(unit)


def message() -> MessageEvent:
    return MessageEvent(user_id="5", page_id="1", timestamp=None, raw={}, mid="m_1", text="secret")


async def test_commit_is_observed_with_its_time() -> None:
    """The store's answer passes through."""
    clock, noting = VirtualClock(), Noting()
    store = ObservedStore(SlowStore(clock), noting, clock)
    committed = await store.commit(Unit(appends=[ENTRY]))
    assert (("e1",), ["committed in 2"]) == (committed.appended, noting.notes)


async def test_commit_that_fails_is_observed_and_still_raises() -> None:
    """The observer changes nothing."""
    clock, noting = VirtualClock(), Noting()
    store = ObservedStore(SlowStore(clock, fails=True), noting, clock)
    with pytest.raises(StoreUnavailable):
        await store.commit(Unit(appends=[ENTRY]))
    assert ["failed in 2"] == noting.notes


async def test_observed_store_is_as_durable_as_its_store() -> None:
    """Whether events survive a crash does not depend on the observer."""
    clock = VirtualClock()
    assert ObservedStore(MemoryStore(), Noting(), clock).durable is False


async def test_request_is_observed_with_its_answer() -> None:
    """Its status, or how it failed."""
    noting = Noting()
    async with LocalKochava(app_ids=["koapp"]) as kochava:
        url = kochava.url
        client = ObservedClient(noting, timeout_seconds=5.0)
        await client.send(WireRequest(method="GET", url=f"{url}/nothing", headers={}))
        await client.close()
    await client.send(WireRequest(method="GET", url=f"{url}/nothing", headers={}))
    await client.close()
    assert ["404", "connection refused"] == noting.notes


async def test_several_observers_get_every_call() -> None:
    """The first one is outermost."""
    notes: list[str] = []
    both = Observers(Noting("a ", notes), Noting("b ", notes))
    with both.handling(message()):
        pass
    with both.sending(WireRequest(method="GET", url="https://x.test/", headers={})) as answered:
        answered(Failure(reason="broke", ambiguous=True))
    both.committed(Unit(), None, 1.0)
    assert ["a begins message", "b begins message", "b ends message", "a ends message"] == notes[:4]
    assert ["a broke", "b broke", "a failed in 1", "b failed in 1"] == notes[4:]
