"""
Keeps an observer's own faults away from what it watches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Generic, TypeVar

from ..clock import Clock
from ..incidents import Incidents
from ..kochava.client import Answer, Failure
from ..kochava.wire import WireRequest
from ..messenger.events import Event
from ..store.unit import Committed, Unit
from .observation import Answered, Observer

log = logging.getLogger("kochava_bot_middleware.observing")

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
        """
        See `Observer.handling`.
        """
        return _Guarded("handling", lambda: self._observer.handling(event), self._failed, None)

    def sending(self, request: WireRequest) -> AbstractContextManager[Answered]:
        """
        See `Observer.sending`.
        """
        return _GuardedSending("sending", lambda: self._observer.sending(request), self._failed, _ignore)

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        """
        See `Observer.committed`.
        """
        try:
            self._observer.committed(unit, answer, seconds)
        except Exception as exc:  # noqa: BLE001 - whoever watches must not harm
            self._failed("committed", exc)

    def _failed(self, where: str, exc: Exception) -> None:
        subject = f"{type(self._observer).__name__}.{where}"
        self._incidents.report("observer_failed", subject, reason=type(exc).__name__)


_Failed = Callable[[str, Exception], None]


class _Guarded(Generic[T]):
    """
    Lasts as long as the observer's own context manager, and never differs for what is within.
    """

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
    """
    Also guards what is told within.
    """

    def __enter__(self) -> Answered:
        tell = super().__enter__()

        def answered(outcome: Answer | Failure) -> None:
            try:
                tell(outcome)
            except Exception as exc:  # noqa: BLE001 - whoever watches must not harm
                self._failed(self._where, exc)

        return answered


def _ignore(_outcome: Answer | Failure) -> None:
    pass
