"""
What can be watched of a bot at work, for metrics and traces: handlings, requests and commits.

An observer is told; it changes nothing. Whoever observes must be quick. `GuardedObserver` keeps what one raises from
harming what it watches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Protocol

from ..clock import Clock
from ..kochava.client import Answer, Failure, KochavaClient
from ..kochava.wire import WireRequest
from ..messenger.events import Event
from ..store.contract import Store
from ..store.passing import PassingStore
from ..store.unit import Committed, Unit

Answered = Callable[[Answer | Failure], None]
"""Told what came of a request."""


class Observer(Protocol):
    """
    Who watches.
    """

    def handling(self, event: Event) -> AbstractContextManager[object]:
        """
        Lasts while *event* is handled; what the handler raises passes through.
        """

    def sending(self, request: WireRequest) -> AbstractContextManager[Answered]:
        """
        Lasts while *request* is under way. All of it but method and host may be private.
        """

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        """
        A commit ended.

        Args:
            answer: ``None`` when the store raised.
            seconds: How long it took.
        """


class NullObserver:
    """
    Watches nothing.
    """

    def handling(self, event: Event) -> AbstractContextManager[object]:
        """
        See `Observer.handling`.
        """
        return nullcontext()

    def sending(self, request: WireRequest) -> AbstractContextManager[Answered]:
        """
        See `Observer.sending`.
        """
        return nullcontext(_ignore)

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        """
        See `Observer.committed`.
        """


class Observers:
    """
    Several observers as one; the first is the outermost.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    @contextmanager
    def handling(self, event: Event) -> Iterator[None]:
        """
        See `Observer.handling`.
        """
        with ExitStack() as stack:
            for each in self._observers:
                stack.enter_context(each.handling(event))
            yield

    @contextmanager
    def sending(self, request: WireRequest) -> Iterator[Answered]:
        """
        See `Observer.sending`.
        """
        with ExitStack() as stack:
            told = [stack.enter_context(each.sending(request)) for each in self._observers]

            def answered(outcome: Answer | Failure) -> None:
                for tell in told:
                    tell(outcome)

            yield answered

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        """
        See `Observer.committed`.
        """
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
        """
        See `Sender.send`.
        """
        with self._observer.sending(request) as answered:
            outcome = await super().send(request)
            answered(outcome)
            return outcome


class ObservedStore(PassingStore):
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
        """
        See `Store.commit`.
        """
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
