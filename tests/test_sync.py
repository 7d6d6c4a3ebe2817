"""`SyncKochava`: the calls of a middleware from threads, beside event loops, and after a stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware import (
    KochavaMiddleware,
    RegistrationError,
    SettingsError,
    SyncKochava,
    TrackingError,
    background,
    current_handling,
)
from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.kochava.records import decode
from kochava_bot_middleware.messenger.events import Event, MessageEvent, PostbackEvent
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, EntryState, Queue, Unit
from kochava_bot_middleware.testing import LocalKochava
from tests.tracking.tracked_bot import GREETING, PAGE_ID, SMARTLINKS, USER_ID, body_to

SETTINGS: dict[str, Any] = {"kochava_app_id": "koapp", "worker": "separate"}


class BrokenStore(MemoryStore):
    """A store whose engine is down."""

    async def commit(self, unit: Unit) -> Committed:
        msg = "the disk is full"
        raise StoreUnavailable(msg)

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        msg = "the disk is full"
        raise StoreUnavailable(msg)


def message(mid: str = "m_1", user_id: str = USER_ID) -> MessageEvent:
    return MessageEvent(user_id=user_id, page_id=PAGE_ID, mid=mid, text="hello")


def names(store: MemoryStore, queue: str = Queue.TRACK) -> list[str]:
    """The event name or kind of each record."""
    rows = asyncio.run(store.browse(queue, state=EntryState.WAITING))
    records = [decode(row.entry.body) for row in rows]
    return [getattr(record, "event_name", record.kind) for record in records]


@pytest.fixture
def store() -> MemoryStore:
    """Where the records are."""
    return MemoryStore()


@pytest.fixture
def kochava(store: MemoryStore) -> Iterator[SyncKochava]:
    """Not started yet."""
    made = SyncKochava.from_dict({**SETTINGS, "smartlinks": SMARTLINKS, "greeting": GREETING}, store=store)
    yield made
    made.stop()


def test_the_first_call_starts_it(kochava: SyncKochava, store: MemoryStore) -> None:
    """And when it returns, the event is in the store."""
    kochava.track("Renewal", {"sum": 5}, user_id=USER_ID)
    assert ["Renewal"] == names(store)


def test_a_handling_is_that_of_its_thread(kochava: SyncKochava, store: MemoryStore) -> None:
    """What each thread tracks belongs to its event."""

    def work(user_id: str) -> None:
        with kochava.handling(message(f"m_{user_id}", user_id)) as handling:
            assert handling is current_handling()
            kochava.track(f"By {user_id}")

    threads = [threading.Thread(target=work, args=(f"u{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"By u{number}" for number in range(8)} == set(names(store))


def test_decorators_work_on_plain_handlers(kochava: SyncKochava, store: MemoryStore) -> None:
    """A named event, a greeting that is watched, and an event that is left out."""
    mids = iter(["m_10"])

    @kochava.event("Purchase", data=lambda _event, result: {"sum": result})
    def buy(_event: Event) -> int:
        return 100

    @kochava.greeting
    def greet(_event: Event) -> None:
        kochava.send(body_to(), lambda _body: {"recipient_id": USER_ID, "message_id": next(mids)})

    @kochava.ignore
    def quiet(_event: Event) -> None:
        pass

    for event, handler in ((message("m_1"), buy), (message("m_2"), greet), (message("m_3"), quiet)):
        with kochava.handling(event):
            handler(event)
    with kochava.handling(PostbackEvent(user_id=USER_ID, page_id=PAGE_ID, payload="CHAT")):
        pass
    assert ["Purchase", "Message", "Postback"] == names(store)
    assert ["impression", "click"] == names(store, Queue.PING) + names(store, Queue.CLICK)


def test_send_calls_in_the_calling_thread(kochava: SyncKochava) -> None:
    """With the links rewritten; its answer and its errors are passed on."""
    threads: list[threading.Thread] = []

    def call(body: Any) -> str:
        threads.append(threading.current_thread())
        url: str = body["message"]["attachment"]["payload"]["buttons"][0]["url"]
        return url

    assert kochava.send(body_to(), call).startswith("https://acme.smart.link/ab12cd34e")
    assert [threading.current_thread()] == threads
    with pytest.raises(ZeroDivisionError):
        kochava.send(body_to(), lambda _body: 1 / 0)


def test_a_send_that_two_layers_see_is_tracked_once(kochava: SyncKochava) -> None:
    """Such as an instrumented session beneath a client."""
    kochava.send(body_to(), lambda body: kochava.send(body, lambda _body: {}))
    assert 1 == kochava.counts.links_rewritten


def test_an_event_delivered_twice_is_recorded_once(kochava: SyncKochava, store: MemoryStore) -> None:
    """The ids of its records are made from it."""
    for _ in range(2):
        with kochava.handling(message()):
            kochava.track("Greeted")
    assert ["Greeted"] == names(store)


def test_people_opt_out_and_in_and_are_forgotten(kochava: SyncKochava, store: MemoryStore) -> None:
    """As with the asynchronous calls."""
    kochava.opt_out(USER_ID)
    kochava.track("Not Sent", user_id=USER_ID)
    kochava.opt_in(USER_ID)
    kochava.identify({"customer_id": "C-17"}, user_id=USER_ID)
    kochava.track("Sent", user_id=USER_ID)
    assert ["Sent"] == [name for name in names(store) if name != "identity_link"]
    assert 2 == kochava.forget(USER_ID)
    assert [] == names(store)


def test_a_store_that_is_down_makes_track_raise_and_handling_not() -> None:
    """The handler comes first; a call that records by itself says that it did not."""
    kochava = SyncKochava.from_dict(
        {**SETTINGS, "commit_timeout_seconds": 0.05, "drain_seconds": 0}, store=BrokenStore()
    )
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        kochava.track("Renewal", user_id=USER_ID)
    with kochava.handling(message()):
        kochava.track("Greeted")
    kochava.stop()


def test_a_store_that_cannot_be_opened_makes_track_raise_and_handling_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also a message is sent, with its links as they were."""
    kochava = SyncKochava.from_dict(
        {**SETTINGS, "store": f"sqlite:///{tmp_path}/missing/bot.db", "smartlinks": SMARTLINKS}
    )
    with pytest.raises(StoreUnavailable, match="missing"):
        kochava.track("Renewal", user_id=USER_ID)
    with kochava.handling(message()):
        assert body_to() == kochava.send(body_to(), lambda body: body)
    assert "tracking_failed handling" in caplog.text
    kochava.stop()


def test_a_process_that_can_start_no_thread_any_more_says_when_to_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As newer versions of Python refuse it when the main thread has ended."""

    def refuse(_thread: threading.Thread) -> None:
        msg = "can't create new thread at interpreter shutdown"
        raise RuntimeError(msg)

    monkeypatch.setattr(background, "_process", background._Process())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(StoreUnavailable, match="call `start` before the main thread ends"):
        SyncKochava.from_dict(SETTINGS).track("Renewal", user_id=USER_ID)


def test_nothing_is_recorded_after_stop_until_it_is_started_again(kochava: SyncKochava, store: MemoryStore) -> None:
    """Each call says so, and what to call."""
    kochava.stop()
    calls: tuple[Callable[[], object], ...] = (
        lambda: kochava.track("Late", user_id=USER_ID),
        lambda: kochava.identify({"customer_id": "C"}, user_id=USER_ID),
        lambda: kochava.opt_out(USER_ID),
        lambda: kochava.opt_in(USER_ID),
        lambda: kochava.forget(USER_ID),
        kochava.flush,
    )
    for call in calls:
        with pytest.raises(StoreUnavailable, match=r"after `stop`.*call `start` first"):
            call()
    kochava.start()
    kochava.track("Again", user_id=USER_ID)
    assert ["Again"] == names(store)


async def test_a_call_in_a_running_event_loop_names_the_one_to_await(store: MemoryStore) -> None:
    """It would block the loop, and everything in it."""
    kochava = SyncKochava.from_dict(SETTINGS, store=store)
    calls: dict[str, Callable[[], object]] = {
        "track": lambda: kochava.track("Renewal", user_id=USER_ID),
        "start": kochava.start,
        "flush": kochava.flush,
        "send": lambda: kochava.send(body_to(), lambda body: body),
    }
    for name, call in calls.items():
        with pytest.raises(RegistrationError, match=rf"`await kochava\.{name}\(…\)` with a KochavaMiddleware"):
            call()
    with pytest.raises(RegistrationError, match="would block the event loop"), kochava.handling(message()):
        pass


async def test_threads_beside_an_event_loop_use_the_middleware_in_it(store: MemoryStore) -> None:
    """Its calls run in the loop where it was started."""
    async with KochavaMiddleware.from_dict(SETTINGS, store=store) as kochava:
        assert kochava.sync is kochava.sync

        def work() -> None:
            with kochava.sync.handling(message()):
                kochava.sync.track("From a thread")

        await asyncio.to_thread(work)
        await kochava.track("From the loop", user_id=USER_ID)
        rows = await store.browse(Queue.TRACK)
    assert ["From a thread", "From the loop"] == [row.entry.name for row in rows]


async def test_an_asynchronous_call_from_another_loop_names_sync(store: MemoryStore) -> None:
    """Its store and tasks belong to the loop in which it was started."""
    async with KochavaMiddleware.from_dict(SETTINGS, store=store) as kochava:

        def work() -> None:
            with pytest.raises(RegistrationError, match=r"`track`: the event loop .* call `kochava\.sync`"):
                asyncio.run(kochava.track("Renewal", user_id=USER_ID))

        await asyncio.to_thread(work)


def test_an_asynchronous_call_after_a_loop_that_ended_without_stop_says_so(store: MemoryStore) -> None:
    """What the first loop began cannot go on in the second."""
    kochava = KochavaMiddleware.from_dict(SETTINGS, store=store)
    asyncio.run(kochava.start())
    with pytest.raises(RegistrationError, match=r"has ended without `await kochava\.stop\(\)`"):
        asyncio.run(kochava.track("Renewal", user_id=USER_ID))
    with pytest.raises(RegistrationError, match="does not run any more"):
        kochava.sync.track("Renewal", user_id=USER_ID)


def test_loops_one_after_the_other_may_use_one_that_was_not_started(store: MemoryStore) -> None:
    """Such as a task queue whose tasks call `asyncio.run`."""
    kochava = KochavaMiddleware.from_dict(SETTINGS, store=store)
    asyncio.run(kochava.track("First", user_id=USER_ID))
    asyncio.run(kochava.track("Second", user_id=USER_ID))
    assert ["First", "Second"] == names(store)


def test_a_middleware_may_be_started_in_one_loop_after_the_other(store: MemoryStore) -> None:
    """As tests and reloading servers do."""
    kochava = KochavaMiddleware.from_dict(SETTINGS, store=store)

    async def use(name: str) -> None:
        async with kochava:
            await kochava.track(name, user_id=USER_ID)

    asyncio.run(use("First"))
    asyncio.run(use("Second"))
    asyncio.run(store.open())
    assert ["First", "Second"] == names(store)


async def test_flush_waits_until_everything_is_delivered(tmp_path: Path) -> None:
    """From a thread and in the loop."""
    async with LocalKochava(app_ids=["koapp"]) as server:
        settings = {"kochava_app_id": "koapp", "store": f"sqlite:///{tmp_path / 'bot.db'}", **server.settings()}
        async with KochavaMiddleware.from_dict(settings) as kochava:
            for number in range(300):
                await kochava.track("Renewal", user_id=f"u{number}")
            assert 0 == await kochava.flush(timeout_seconds=30)
        assert 300 == len(server.events)


async def test_flush_returns_how_many_records_still_wait(tmp_path: Path) -> None:
    """Where Kochava does not answer, and at once where nothing delivers."""
    store = f"sqlite:///{tmp_path / 'bot.db'}"
    nowhere = {"event_url": "http://127.0.0.1:9/track/json"}
    async with KochavaMiddleware.from_dict({"kochava_app_id": "koapp", "store": store, "wire": nowhere}) as kochava:
        await kochava.track("Renewal", user_id="5")
        await kochava.track("Renewal", user_id="6")
        assert 2 == await kochava.flush(timeout_seconds=0.1)
    async with KochavaMiddleware.from_dict({"kochava_app_id": "koapp", "store": store, "mode": "off"}) as kochava:
        async with asyncio.timeout(5):
            assert 2 == await kochava.flush(timeout_seconds=60)


def test_settings_and_arguments_are_checked_alike(kochava: SyncKochava) -> None:
    """With the same errors."""
    with pytest.raises(SettingsError):
        SyncKochava.from_dict({})
    with pytest.raises(TrackingError, match="`user_id` must say whom it is about"):
        kochava.track("Renewal")
    with pytest.raises(RegistrationError, match=r"KochavaMiddleware, got dict: SyncKochava\.from_dict"):
        SyncKochava({"kochava_app_id": "koapp"})  # type: ignore[arg-type]
