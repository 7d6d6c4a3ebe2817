"""
Kills at named points: wrappers of a store, a sender and a handler that kill the process at the n-th passage.

The process is built with these in place of the real ones, so that the package itself does not know them::

    points = KillPoints({KillPoint.AFTER_ANSWER: 3}, kill=lambda point: os.kill(os.getpid(), signal.SIGKILL))
    store = StoreWithPoints(open_store(url), points)
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kochava_bot_middleware.kochava.client import Answer, Failure, RequestSender
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import OUTBOX, Claim, Committed, Queue, Unit
from kochava_bot_middleware.store.wrapper import StoreWrapper


class KillPoint(enum.StrEnum):
    """A moment in the handling and delivery of an event."""

    BEFORE_STORING = "before an event is committed"
    AFTER_STORING = "after an event is committed, before it is answered"
    IN_HANDLER = "inside the handler"
    BEFORE_RECORDING = "before what the handler recorded is committed"
    AFTER_RECORDING = "after what the handler recorded is committed"
    EVENT_TAKEOVER = "after an event of a killed process is taken over"
    AFTER_CLAIM = "after records are claimed, before they are sent"
    BEFORE_REQUEST = "before a request is sent"
    AFTER_ANSWER = "after the answer was received"
    BEFORE_SETTLEMENT = "before a delivery is settled"
    AFTER_SETTLEMENT = "after a delivery is settled"
    RECORD_TAKEOVER = "after a record of a killed worker is taken over"


class KillPoints:
    """
    Counts the passages.

    Args:
        plan: At which passage of a point to kill, 1 being the first.
        kill: Called with the point; kills the process.
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


class SenderWithPoints:
    """A `RequestSender` with points."""

    def __init__(self, inner: RequestSender, points: KillPoints) -> None:
        self._inner = inner
        self._points = points

    async def send(self, request: WireRequest) -> Answer | Failure:
        self._points.reach(KillPoint.BEFORE_REQUEST)
        outcome = await self._inner.send(request)
        self._points.reach(KillPoint.AFTER_ANSWER)
        return outcome


class MiddlewareWithPoint:
    """A middleware with a point, which is reached when the handler has returned if the middleware is added last."""

    def __init__(self, points: KillPoints) -> None:
        self._points = points

    async def receive(self, event: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        result = await call_next(event)
        self._points.reach(KillPoint.IN_HANDLER)
        return result


class StoreWithPoints(StoreWrapper):
    """A `Store` with points."""

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

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        claims = await self.inner.claim(queue, limit, lease_seconds)
        is_delivered = queue in OUTBOX
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
        before.append(KillPoint.BEFORE_STORING)
        after.append(KillPoint.AFTER_STORING)
    if Queue.INBOX in settled:
        before.append(KillPoint.BEFORE_RECORDING)
        after.append(KillPoint.AFTER_RECORDING)
    if settled & {*OUTBOX}:
        before.append(KillPoint.BEFORE_SETTLEMENT)
        after.append(KillPoint.AFTER_SETTLEMENT)
    return before, after
