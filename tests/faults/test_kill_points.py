"""The kill points, with a function that only notes them."""

from __future__ import annotations

from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, Entry, Outcome, Queue, Settlement, Unit
from tests.faults.kill_points import (
    KillPoint,
    KillPoints,
    MiddlewareWithPoint,
    SenderWithPoints,
    StoreWithPoints,
)

ALWAYS = dict.fromkeys(KillPoint, 1)


def entry(queue: str) -> Entry:
    return Entry(id=queue, queue=queue, lane="u", created_at=0.0, body=b"{}")


def test_kills_at_the_planned_passage_only() -> None:
    """Not at other points, nor at earlier and later passages."""
    killed: list[KillPoint] = []
    points = KillPoints({KillPoint.AFTER_ANSWER: 2}, kill=killed.append)
    points.reach(KillPoint.AFTER_ANSWER)
    points.reach(KillPoint.BEFORE_REQUEST)
    points.reach(KillPoint.BEFORE_REQUEST)
    assert [] == killed
    points.reach(KillPoint.AFTER_ANSWER)
    points.reach(KillPoint.AFTER_ANSWER)
    assert [KillPoint.AFTER_ANSWER] == killed


async def test_points_around_the_commits_of_an_event() -> None:
    """Each commit has a point before it, when nothing is written, and one after it."""
    written: list[Unit] = []

    class WritingStore(MemoryStore):
        async def commit(self, unit: Unit) -> Committed:
            written.append(unit)
            return await super().commit(unit)

    passed: list[tuple[KillPoint, int]] = []
    points = KillPoints(ALWAYS, kill=lambda point: passed.append((point, len(written))))
    store = StoreWithPoints(WritingStore(), points)
    await store.commit(Unit(appends=[entry(Queue.INBOX)]))
    (event,) = await store.claim(Queue.INBOX, 1, 60)
    done = Settlement(claim=event, outcome=Outcome.DONE)
    await store.commit(Unit(appends=[entry(Queue.TRACK)], settlements=[done]))
    (record,) = await store.claim(Queue.TRACK, 1, 60)
    await store.commit(Unit(settlements=[Settlement(claim=record, outcome=Outcome.DONE)]))
    assert [
        (KillPoint.BEFORE_STORING, 0),
        (KillPoint.AFTER_STORING, 1),
        (KillPoint.BEFORE_RECORDING, 1),
        (KillPoint.AFTER_RECORDING, 2),
        (KillPoint.AFTER_CLAIM, 2),
        (KillPoint.BEFORE_SETTLEMENT, 2),
        (KillPoint.AFTER_SETTLEMENT, 3),
    ] == passed


async def test_a_claim_after_an_expired_lease_is_a_takeover() -> None:
    """The second claim of an event, and of a record."""
    inner = MemoryStore()
    passed: list[KillPoint] = []
    store = StoreWithPoints(inner, KillPoints(ALWAYS, kill=passed.append))
    await inner.commit(Unit(appends=[entry(Queue.INBOX), entry(Queue.TRACK)]))
    for queue in (Queue.INBOX, Queue.TRACK):
        await inner.claim(queue, 1, -1)
        await store.claim(queue, 1, 60)
    assert [KillPoint.EVENT_TAKEOVER, KillPoint.AFTER_CLAIM, KillPoint.RECORD_TAKEOVER] == passed


async def test_points_of_a_request_and_of_a_handler() -> None:
    """Before and after the request, and at the end of the handler."""
    passed: list[str] = []
    points = KillPoints(ALWAYS, kill=passed.append)

    class Sender:
        async def send(self, request: WireRequest) -> Answer | Failure:
            passed.append(request.method)
            return Answer(status=200)

    async def handler(event: str) -> str:
        passed.append(event)
        return "result"

    await SenderWithPoints(Sender(), points).send(WireRequest(method="GET", url="https://x.test/", headers={}))
    assert "result" == await MiddlewareWithPoint(points).receive("event", handler)
    assert [KillPoint.BEFORE_REQUEST, "GET", KillPoint.AFTER_ANSWER, "event", KillPoint.IN_HANDLER] == passed
