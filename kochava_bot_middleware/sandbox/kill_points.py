"""
Death at a named point: wrappers around a store, a sender and a handler that end the process at the n-th passage.

The process that shall die is built from these in place of the real ones, so nothing in the package itself knows them::

    points = KillPoints({KillPoint.AFTER_ANSWER: 3}, kill=lambda point: os.kill(os.getpid(), signal.SIGKILL))
    store = PointedStore(open_store(url), points)
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..kochava.client import Answer, Failure, RequestSender
from ..kochava.wire import WireRequest
from ..store.contract import Store
from ..store.records import Claim, Committed, Queue, Unit
from ..store.wrapper import StoreWrapper

_DELIVERED = (Queue.TRACK, Queue.PING)


class KillPoint(enum.StrEnum):
    """A moment in the life of an event."""

    BEFORE_ADMISSION = "before an event is committed"
    AFTER_ADMISSION = "after an event is committed, before it is answered"
    IN_HANDLER = "inside the handler"
    BEFORE_RECORDING = "before what the handler recorded is committed"
    AFTER_RECORDING = "after what the handler recorded is committed"
    EVENT_TAKEOVER = "after an event of a dead process is taken over"
    AFTER_CLAIM = "after records are claimed, before they are sent"
    BEFORE_REQUEST = "before a request leaves"
    AFTER_ANSWER = "after the answer came"
    BEFORE_SETTLEMENT = "before a delivery is settled"
    AFTER_SETTLEMENT = "after a delivery is settled"
    RECORD_TAKEOVER = "after a record of a dead worker is taken over"


class KillPoints:
    """
    Counts the passages.

    Args:
        plan: At which passage of a point to kill, 1 being the first.
        kill: Ends the process; in the tests of this class, anything else.
    """

    def __init__(self, plan: Mapping[KillPoint, int], *, kill: Callable[[KillPoint], None]) -> None:
        self._plan = dict(plan)
        self._kill = kill
        self._passed: Counter[KillPoint] = Counter()

    def reach(self, point: KillPoint) -> None:
        """Pass *point*."""
        self._passed[point] += 1
        if self._passed[point] == self._plan.get(point):
            self._kill(point)


class PointedSender:
    """A `RequestSender` with points."""

    def __init__(self, inner: RequestSender, points: KillPoints) -> None:
        self._inner = inner
        self._points = points

    async def send(self, request: WireRequest) -> Answer | Failure:
        """See `RequestSender.send`."""
        self._points.reach(KillPoint.BEFORE_REQUEST)
        outcome = await self._inner.send(request)
        self._points.reach(KillPoint.AFTER_ANSWER)
        return outcome


class PointedHandling:
    """A middleware with a point. Added last, it is innermost: its point comes when the handler has done its work."""

    def __init__(self, points: KillPoints) -> None:
        self._points = points

    async def receive(self, event: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        """See `Middleware.receive`."""
        result = await call_next(event)
        self._points.reach(KillPoint.IN_HANDLER)
        return result


class PointedStore(StoreWrapper):
    """A `Store` with points; all else goes through."""

    def __init__(self, inner: Store, points: KillPoints) -> None:
        super().__init__(inner)
        self._points = points

    async def commit(self, unit: Unit) -> Committed:
        before, after = _points_of(unit)
        for point in before:
            self._points.reach(point)
        committed = await self.inner.commit(unit)
        for point in after:
            self._points.reach(point)
        return committed

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, at_most_ahead_seconds: float | None = None
    ) -> list[Claim]:
        claims = await self.inner.claim(queue, limit, lease_seconds, at_most_ahead_seconds=at_most_ahead_seconds)
        is_delivered = queue in _DELIVERED
        if claims and is_delivered:
            self._points.reach(KillPoint.AFTER_CLAIM)
        if any(claim.attempt > 1 for claim in claims):
            self._points.reach(KillPoint.RECORD_TAKEOVER if is_delivered else KillPoint.EVENT_TAKEOVER)
        return claims


def _points_of(unit: Unit) -> tuple[list[KillPoint], list[KillPoint]]:
    """The points before and after the commit of *unit*."""
    before, after = [], []
    settled = {settlement.claim.entry.queue for settlement in unit.settlements}
    if any(entry.queue == Queue.INBOX for entry in unit.appends):
        before.append(KillPoint.BEFORE_ADMISSION)
        after.append(KillPoint.AFTER_ADMISSION)
    if Queue.INBOX in settled:
        before.append(KillPoint.BEFORE_RECORDING)
        after.append(KillPoint.AFTER_RECORDING)
    if settled & {*_DELIVERED}:
        before.append(KillPoint.BEFORE_SETTLEMENT)
        after.append(KillPoint.AFTER_SETTLEMENT)
    return before, after
