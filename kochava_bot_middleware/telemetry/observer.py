"""
What can be observed, for metrics and traces: handlings, requests and commits.

An observer changes nothing and must be fast. `GuardedObserver` keeps its errors away from the code it observes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Protocol, TypeVar

from ..clock import Clock
from ..incidents import Incidents
from ..kochava.client import Answer, Failure, KochavaClient
from ..kochava.wire import WireRequest
from ..messenger.events import Event
from ..proxies import ENVIRONMENT
from ..store.contract import Store
from ..store.records import Committed, Unit
from ..store.wrapper import StoreWrapper

log = logging.getLogger("kochava_bot_middleware.telemetry")

T = TypeVar("T")

Answered = Callable[[Answer | Failure], None]
"""Called with the outcome of a request."""


class Observer(Protocol):
    """What is called while events are handled, requests are sent and units are committed."""

    def handling(self, event: Event) -> AbstractContextManager[object]:
        """Entered while *event* is handled; what the handler raises passes through."""

    def sending(self, request: WireRequest) -> AbstractContextManager[Answered]:
        """Entered while *request* is sent. All of it but method and host may be private."""

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        """
        A commit ended.

        Args:
            answer: ``None`` when the store raised.
            seconds: How long it took.
        """


class Observers:
    """Several observers as one; the first is the outermost."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    @contextmanager
    def handling(self, event: Event) -> Iterator[None]:
        with ExitStack() as stack:
            for observer in self._observers:
                stack.enter_context(observer.handling(event))
            yield

    @contextmanager
    def sending(self, request: WireRequest) -> Iterator[Answered]:
        with ExitStack() as stack:
            callbacks = [stack.enter_context(observer.sending(request)) for observer in self._observers]

            def answered(outcome: Answer | Failure) -> None:
                for callback in callbacks:
                    callback(outcome)

            yield answered

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        for observer in self._observers:
            observer.committed(unit, answer, seconds)


class GuardedObserver:
    """
    An `Observer` around another. What the inner one raises is logged; what it would swallow is raised.

    Args:
        clock: Decides when a lasting incident is logged again.
    """

    def __init__(self, inner: Observer, clock: Clock) -> None:
        self._inner = inner
        self._incidents = Incidents(clock, log)

    def handling(self, event: Event) -> AbstractContextManager[object]:
        return self._guarded("handling", lambda: self._inner.handling(event))

    @contextmanager
    def sending(self, request: WireRequest) -> Iterator[Answered]:
        with self._guarded("sending", lambda: self._inner.sending(request)) as inner_answered:

            def answered(outcome: Answer | Failure) -> None:
                try:
                    if inner_answered is not None:
                        inner_answered(outcome)
                except Exception as exc:  # noqa: BLE001 - an observer must not do harm
                    self._report("sending", exc)

            yield answered

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        try:
            self._inner.committed(unit, answer, seconds)
        except Exception as exc:  # noqa: BLE001 - an observer must not do harm
            self._report("committed", exc)

    @contextmanager
    def _guarded(self, method: str, observe: Callable[[], AbstractContextManager[T]]) -> Iterator[T | None]:
        """Enter and leave the context of the inner observer; yield ``None`` if it cannot be entered."""
        context: AbstractContextManager[object] = nullcontext()
        value = None
        try:
            observing = observe()
            value = observing.__enter__()
            context = observing
        except Exception as exc:  # noqa: BLE001 - an observer must not do harm
            self._report(method, exc)
        try:
            yield value
        except BaseException as raised:
            try:
                context.__exit__(type(raised), raised, raised.__traceback__)
            except Exception as exc:  # noqa: BLE001 - an observer must not do harm
                if exc is not raised:
                    self._report(method, exc)
            raise
        try:
            context.__exit__(None, None, None)
        except Exception as exc:  # noqa: BLE001 - an observer must not do harm
            self._report(method, exc)

    def _report(self, method: str, exc: Exception) -> None:
        subject = f"{type(self._inner).__name__}.{method}"
        self._incidents.report("observer_failed", subject, reason=type(exc).__name__)


class ObservedClient(KochavaClient):
    """A `KochavaClient` whose requests are observed."""

    def __init__(self, observer: Observer, *, timeout_seconds: float, proxy: str = ENVIRONMENT) -> None:
        super().__init__(timeout_seconds=timeout_seconds, proxy=proxy)
        self._observer = observer

    async def send(self, request: WireRequest) -> Answer | Failure:
        with self._observer.sending(request) as answered:
            outcome = await super().send(request)
            answered(outcome)
            return outcome


class ObservedStore(StoreWrapper):
    """A `Store` whose commits are observed."""

    def __init__(self, inner: Store, observer: Observer, clock: Clock) -> None:
        super().__init__(inner)
        self._observer = observer
        self._clock = clock

    async def commit(self, unit: Unit) -> Committed:
        began = self._clock.monotonic()
        try:
            answer = await self.inner.commit(unit)
        except Exception:
            self._observer.committed(unit, None, self._clock.monotonic() - began)
            raise
        self._observer.committed(unit, answer, self._clock.monotonic() - began)
        return answer
