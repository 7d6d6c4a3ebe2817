"""An observer that raises does no harm to what it observes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import attrs
import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.messenger.events import Event, MessageEvent
from kochava_bot_middleware.store.records import Committed, Entry, Unit
from kochava_bot_middleware.telemetry.observer import Answered, GuardedObserver, ObservedStore, Observer
from kochava_bot_middleware.testing import LocalKochava, VirtualClock
from tests.telemetry.test_observer import Noting, SlowStore

EVENT = MessageEvent(user_id="5", page_id="1", timestamp=None, raw={}, mid="m_1", text="secret")
REQUEST = WireRequest(method="GET", url="https://x.test/", headers={})
ENTRY = Entry(id="e1", queue="track", lane="koapp/5", created_at=0.0, body=b"{}")
ANSWER = Answer(status=200)


class RaisesWhenCalled:
    """Raises before it returns a context manager."""

    def handling(self, event: Event) -> AbstractContextManager[object]:
        raise KeyError(event.user_id)

    def sending(self, request: WireRequest) -> AbstractContextManager[Answered]:
        raise KeyError(request.url)

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        raise KeyError(seconds)


class RaisesOnEnter(RaisesWhenCalled):
    """Raises when its context is entered."""

    @contextmanager
    def handling(self, event: Event) -> Iterator[None]:
        raise KeyError(event.user_id)
        yield

    @contextmanager
    def sending(self, request: WireRequest) -> Iterator[Answered]:
        raise KeyError(request.url)
        yield


class RaisesOnExit(RaisesWhenCalled):
    """Raises when it gets the answer, and when its context is left, however that happens."""

    @contextmanager
    def handling(self, event: Event) -> Iterator[None]:
        try:
            yield
        finally:
            raise KeyError(event.user_id)

    @contextmanager
    def sending(self, request: WireRequest) -> Iterator[Answered]:
        def answered(outcome: Answer | Failure) -> None:
            raise KeyError(outcome)

        try:
            yield answered
        finally:
            raise KeyError(request.url)


RAISING = pytest.mark.parametrize(
    "observer", [RaisesWhenCalled(), RaisesOnEnter(), RaisesOnExit()], ids=lambda each: type(each).__name__
)


def guarded(observer: Observer, clock: VirtualClock | None = None) -> GuardedObserver:
    return GuardedObserver(observer, clock or VirtualClock())


@RAISING
def test_error_of_the_handler_passes_an_observer_that_raises(observer: Observer) -> None:
    """The bot gets the error of its handler, not that of the observer."""
    with pytest.raises(ZeroDivisionError), guarded(observer).handling(EVENT):
        raise ZeroDivisionError


def test_observer_that_swallows_errors_hides_none() -> None:
    """The bot gets what the handler raises."""

    class Swallowing(Noting):
        @contextmanager
        def handling(self, event: Event) -> Iterator[None]:
            with suppress(ZeroDivisionError):
                yield

    with pytest.raises(ZeroDivisionError), guarded(Swallowing()).handling(EVENT):
        raise ZeroDivisionError


@RAISING
def test_handling_and_sending_go_on_though_the_observer_raises(observer: Observer) -> None:
    """The answer can be passed on, too."""
    done = []
    with guarded(observer).handling(EVENT):
        done.append("handled")
    with guarded(observer).sending(REQUEST) as answered:
        answered(ANSWER)
        done.append("sent")
    assert ["handled", "sent"] == done


@RAISING
async def test_commit_returns_its_answer_though_the_observer_raises(observer: Observer) -> None:
    """Or the error of the store."""
    clock = VirtualClock()
    observed = ObservedStore(SlowStore(clock), guarded(observer), clock)
    assert ("e1",) == (await observed.commit(Unit(appends=[ENTRY]))).appended
    with pytest.raises(StoreUnavailable):
        await ObservedStore(SlowStore(clock, fails=True), guarded(observer), clock).commit(Unit(appends=[ENTRY]))


def test_observer_that_works_gets_every_call() -> None:
    """As without the guard around it."""
    noting = Noting()
    guard = guarded(noting)
    with guard.handling(EVENT):
        pass
    with guard.sending(REQUEST) as answered:
        answered(ANSWER)
    guard.committed(Unit(), None, 2.0)
    assert ["begins message", "ends message", "200", "failed in 2"] == noting.notes


def test_observer_that_raises_is_one_incident(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with method and type of error, once a minute."""
    clock = VirtualClock()
    guard = guarded(RaisesOnExit(), clock)
    for _ in range(61):
        with guard.handling(EVENT):
            pass
        clock.stall(1)
    line = "observer_failed RaisesOnExit.handling KeyError"
    assert [line, f"{line} (60 more)"] == caplog.messages
    assert {"kochava_bot_middleware.telemetry"} == {record.name for record in caplog.records}


def test_error_of_the_handler_is_no_incident_of_the_observer(caplog: pytest.LogCaptureFixture) -> None:
    """A context manager that lets an error pass may raise it itself."""

    @attrs.define
    class Raising:
        def __enter__(self) -> None:
            pass

        def __exit__(self, _kind: object, raised: BaseException | None, _traceback: object) -> None:
            if raised is not None:
                raise raised

    class Passing(RaisesWhenCalled):
        def handling(self, event: Event) -> AbstractContextManager[object]:
            return Raising()

    with pytest.raises(ZeroDivisionError), guarded(Passing()).handling(EVENT):
        raise ZeroDivisionError
    assert [] == caplog.messages


@RAISING
async def test_bot_handles_and_delivers_under_an_observer_that_raises(
    observer: Observer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Handling, commit and delivery go on; the log names the observer."""
    caplog.set_level(logging.WARNING)
    async with LocalKochava(app_ids=["koapp"]) as kochava:
        store = f"sqlite:///{tmp_path / 'bot.db'}"
        mapping = {"kochava_app_id": "koapp", "store": store, **kochava.settings()}
        middleware = KochavaMiddleware.from_dict(mapping, observer=observer)
        await middleware.start()

        async def handle(_event: Event) -> str:
            await middleware.track("Purchase")
            return "done"

        assert "done" == await middleware.chain_layer.receive(EVENT, handle)
        await kochava.received()
        await middleware.stop()
    name = type(observer).__name__
    logged = {message for message in caplog.messages if message.startswith("observer_failed")}
    assert {f"observer_failed {name}.{where} KeyError" for where in ("handling", "sending", "committed")} == logged
