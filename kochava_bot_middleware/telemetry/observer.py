"""
What can be watched of a bot at work, for metrics and traces: handlings, requests and commits.

An observer is told; it changes nothing. Whoever observes must be quick. `GuardedObserver` keeps what one raises from
harming what it watches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from ..clock import Clock
from ..incidents import Incidents
from ..kochava.client import Answer, Failure, KochavaClient
from ..kochava.wire import WireRequest
from ..messenger.events import Event
from ..store.contract import Store
from ..store.records import Committed, Unit
from ..store.wrapper import StoreWrapper

Answered = Callable[[Answer | Failure], None]
"""Told what came of a request."""


class Observer(Protocol):
    """Who watches."""

    def handling(self, event: Event) -> AbstractContextManager[object]:
        """Lasts while *event* is handled; what the handler raises passes through."""

    def sending(self, request: WireRequest) -> AbstractContextManager[Answered]:
        """Lasts while *request* is under way. All of it but method and host may be private."""

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        """
        A commit ended.

        Args:
            answer: ``None`` when the store raised.
            seconds: How long it took.
        """


class NullObserver:
    """Watches nothing."""

    def handling(self, event: Event) -> AbstractContextManager[object]:
        """See `Observer.handling`."""
        return nullcontext()

    def sending(self, request: WireRequest) -> AbstractContextManager[Answered]:
        """See `Observer.sending`."""
        return nullcontext(_ignore)

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        """See `Observer.committed`."""


class Observers:
    """Several observers as one; the first is the outermost."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    @contextmanager
    def handling(self, event: Event) -> Iterator[None]:
        """See `Observer.handling`."""
        with ExitStack() as stack:
            for each in self._observers:
                stack.enter_context(each.handling(event))
            yield

    @contextmanager
    def sending(self, request: WireRequest) -> Iterator[Answered]:
        """See `Observer.sending`."""
        with ExitStack() as stack:
            told = [stack.enter_context(each.sending(request)) for each in self._observers]

            def answered(outcome: Answer | Failure) -> None:
                for tell in told:
                    tell(outcome)

            yield answered

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        """See `Observer.committed`."""
        for each in self._observers:
            each.committed(unit, answer, seconds)


class ObservedClient(KochavaClient):
    """
    A `KochavaClient` whose requests are watched.

    Args:
        timeout_seconds: See `KochavaClient`.
    """

    def __init__(self, observer: Observer, *, timeout_seconds: float) -> None:
        super().__init__(timeout_seconds=timeout_seconds)
        self._observer = observer

    async def send(self, request: WireRequest) -> Answer | Failure:
        """See `Sender.send`."""
        with self._observer.sending(request) as answered:
            outcome = await super().send(request)
            answered(outcome)
            return outcome


class ObservedStore(StoreWrapper):
    """
    A `Store` whose commits are watched.

    Args:
        clock: Measures how long they take.
    """

    def __init__(self, inner: Store, observer: Observer, clock: Clock) -> None:
        super().__init__(inner)
        self._observer = observer
        self._clock = clock

    async def commit(self, unit: Unit) -> Committed:
        """See `Store.commit`."""
        began = self._clock.monotonic()
        try:
            answer = await self.inner.commit(unit)
        except Exception:
            self._observer.committed(unit, None, self._clock.monotonic() - began)
            raise
        self._observer.committed(unit, answer, self._clock.monotonic() - began)
        return answer


def _ignore(_outcome: Answer | Failure) -> None:
    pass


log = logging.getLogger("kochava_bot_middleware.telemetry")

T = TypeVar("T")


class GuardedObserver:
    """
    An `Observer` around another: what that one raises is one incident, and what it would swallow is raised.

    Args:
        clock: Tells when a lasting incident is logged again.
    """

    def __init__(self, observer: Observer, clock: Clock) -> None:
        self._observer = observer
        self._incidents = Incidents(clock, log)

    def handling(self, event: Event) -> AbstractContextManager[object]:
        """See `Observer.handling`."""
        return _Guarded("handling", lambda: self._observer.handling(event), self._failed, None)

    def sending(self, request: WireRequest) -> AbstractContextManager[Answered]:
        """See `Observer.sending`."""
        return _GuardedSending("sending", lambda: self._observer.sending(request), self._failed, _ignore)

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        """See `Observer.committed`."""
        try:
            self._observer.committed(unit, answer, seconds)
        except Exception as exc:  # noqa: BLE001 - whoever watches must not harm
            self._failed("committed", exc)

    def _failed(self, where: str, exc: Exception) -> None:
        subject = f"{type(self._observer).__name__}.{where}"
        self._incidents.report("observer_failed", subject, reason=type(exc).__name__)


_Failed = Callable[[str, Exception], None]


class _Guarded(Generic[T]):
    """Lasts as long as the observer's own context manager, and never differs for what is within."""

    def __init__(
        self, where: str, watch: Callable[[], AbstractContextManager[T]], failed: _Failed, otherwise: T
    ) -> None:
        self._where = where
        self._watch = watch
        self._failed = failed
        self._otherwise = otherwise
        self._entered: AbstractContextManager[T] | None = None

    def __enter__(self) -> T:
        try:
            watching = self._watch()
            told = watching.__enter__()
        except Exception as exc:  # noqa: BLE001 - whoever watches must not harm
            self._failed(self._where, exc)
            return self._otherwise
        self._entered = watching
        return told

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._entered is None:
            return
        try:
            self._entered.__exit__(kind, raised, traceback)
        except Exception as exc:  # noqa: BLE001 - whoever watches must not harm
            if exc is not raised:
                self._failed(self._where, exc)


class _GuardedSending(_Guarded[Answered]):
    """Also guards what is told within."""

    def __enter__(self) -> Answered:
        tell = super().__enter__()

        def answered(outcome: Answer | Failure) -> None:
            try:
                tell(outcome)
            except Exception as exc:  # noqa: BLE001 - whoever watches must not harm
                self._failed(self._where, exc)

        return answered
