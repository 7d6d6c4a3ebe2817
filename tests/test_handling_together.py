"""A host that handles all events of a webhook in one call, and does not say which one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kochava_bot_middleware import KochavaMiddleware, SyncKochava, TrackingError, current_handling
from kochava_bot_middleware.kochava.records import Engagement, Record, decode
from kochava_bot_middleware.messenger.events import DeliveryEvent, Event, MessageEvent, PostbackEvent, Referral
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Committed, EntryState, Queue, Unit
from tests.tracking.tracked_bot import GREETING, PAGE_ID, SMARTLINKS, body_to

SETTINGS: dict[str, Any] = {
    "kochava_app_id": "koapp",
    "worker": "separate",
    "smartlinks": SMARTLINKS,
    "greeting": {**GREETING, "delivery_events": "absent", "delivery_wait_seconds": 0},
}


class CountingStore(MemoryStore):
    """Counts the commits that append something."""

    commits = 0

    async def commit(self, unit: Unit) -> Committed:
        self.commits += bool(unit.appends)
        return await super().commit(unit)


def message(user_id: str, mid: str = "m_1", **more: Any) -> MessageEvent:
    return MessageEvent(user_id=user_id, page_id=PAGE_ID, mid=f"{mid}_{user_id}", text="hello", **more)


async def records_of(store: MemoryStore, queue: str = Queue.TRACK) -> list[Any]:
    rows = await store.browse(queue, state=EntryState.WAITING)
    return [decode(row.entry.body) for row in rows]


def names(records: Sequence[Record], user_id: str) -> list[str]:
    return [each.event_name for each in records if isinstance(each, Engagement) and each.user_id == user_id]


@pytest.fixture
def store() -> CountingStore:
    """Where the records are."""
    return CountingStore()


@pytest.fixture
def kochava(store: CountingStore) -> KochavaMiddleware:
    """Not started: nothing delivers."""
    return KochavaMiddleware.from_dict(SETTINGS, store=store)


async def test_what_is_tracked_belongs_to_the_event_of_the_same_person(
    kochava: KochavaMiddleware, store: CountingStore
) -> None:
    """It replaces that person's automatic event alone."""
    async with kochava.handling_together([message("ann"), message("bob")]) as call:
        await kochava.track("Purchase", user_id="bob")
        call.answered(200)
    records = await records_of(store)
    assert (["Message"], ["Purchase"]) == (names(records, "ann"), names(records, "bob"))


async def test_events_of_several_people_are_one_commit(kochava: KochavaMiddleware, store: CountingStore) -> None:
    """All or none."""
    async with kochava.handling_together([message(f"u{number}") for number in range(20)]):
        await kochava.track("Question", user_id="u3")
    assert (1, 20) == (store.commits, len(await records_of(store)))


async def test_events_of_one_person_are_recorded_in_their_order(
    kochava: KochavaMiddleware, store: CountingStore
) -> None:
    """Each is planned from what the one before it left."""
    tap = PostbackEvent(user_id="ann", page_id=PAGE_ID, payload="BUY", mid="m_2")
    async with kochava.handling_together([message("ann"), tap, message("bob"), message("ann", "m_3")]):
        pass
    records = await records_of(store)
    assert (["Message", "Postback", "Message"], ["Message"]) == (names(records, "ann"), names(records, "bob"))
    assert 3 == store.commits


async def test_a_webhook_that_comes_twice_is_recorded_once(kochava: KochavaMiddleware, store: CountingStore) -> None:
    """The ids of what is tracked are made from the events, also after the answer."""
    for _ in range(2):
        async with kochava.handling_together([message("ann"), message("bob")]) as call:
            await kochava.track("Question", user_id="ann")
            call.answered(200)
            await kochava.runtime.commit(*call.to_commit())
            await kochava.track("Question", user_id="ann")
            await kochava.track("Later", user_id="bob")
    records = await records_of(store)
    assert ["Question", "Question"] == names(records, "ann")
    assert ["Message", "Later"] == names(records, "bob")


async def test_what_the_person_did_is_preferred_to_a_receipt(kochava: KochavaMiddleware) -> None:
    """A receipt that comes with a message causes no answer."""
    receipt = DeliveryEvent(user_id="ann", page_id=PAGE_ID, mids=("m_0",))
    events: list[Event] = [message("ann"), receipt]
    async with kochava.handling_together(events):
        handling = current_handling()
        assert handling is not None
        assert events[0] is handling.event


async def test_of_several_people_nobody_is_taken_for_granted(kochava: KochavaMiddleware) -> None:
    """The error says why."""
    async with kochava.handling_together([message("ann"), message("bob")]):
        assert current_handling() is None
        with pytest.raises(TrackingError, match="several people are being handled by one call, so `user_id` must"):
            await kochava.track("Purchase")


async def test_a_person_who_is_in_no_event_is_recorded_at_once(
    kochava: KochavaMiddleware, store: CountingStore
) -> None:
    """As outside of handling."""
    async with kochava.handling_together([message("ann"), message("bob")]):
        await kochava.track("Invited", user_id="cid")
        assert ["Invited"] == names(await records_of(store), "cid")


async def test_a_send_has_the_referral_of_its_recipient(kochava: KochavaMiddleware) -> None:
    """Not that of somebody else in the same webhook."""
    seen: list[Any] = []

    async def call(body: Any) -> Any:
        handling = current_handling(body["recipient"]["id"])
        seen.append(None if handling is None or handling.event.referral is None else handling.event.referral.ref)
        return {"recipient_id": body["recipient"]["id"], "message_id": "m_9"}

    events = [message("ann", referral=Referral(ref="spring")), message("bob", referral=Referral(ref="autumn"))]
    async with kochava.handling_together(events):
        for user_id in ("bob", "ann"):
            await kochava.send(body_to(user_id), call)
    assert ["autumn", "spring"] == seen


async def test_a_greeting_handler_greets_each_person(kochava: KochavaMiddleware, store: CountingStore) -> None:
    """One greeting for each, which a redelivered webhook does not repeat."""

    @kochava.greeting
    async def greet(*people: str) -> None:
        for user_id in people:
            await kochava.send(body_to(user_id), call)

    async def call(body: Any) -> Any:
        numbers.append(len(numbers))
        return {"recipient_id": body["recipient"]["id"], "message_id": f"m_{len(numbers)}"}

    numbers: list[int] = []
    for _ in range(2):
        async with kochava.handling_together([message("ann"), message("bob")]):
            await greet("ann", "bob")
    timers = await store.browse(Queue.TIMER, state=EntryState.WAITING)
    assert 2 == len(timers)


async def test_an_endpoint_that_is_ignored_ignores_all_its_events(
    kochava: KochavaMiddleware, store: CountingStore
) -> None:
    """Its decorator does not say whose."""

    @kochava.ignore
    async def endpoint() -> None:
        pass

    async with kochava.handling_together([message("ann"), message("bob")]):
        await endpoint()
    assert [] == await records_of(store)


async def test_a_handling_within_says_which_event_it_is(kochava: KochavaMiddleware, store: CountingStore) -> None:
    """The same host may handle them one by one after all; there is still one commit."""
    events = [message("ann"), message("bob")]
    async with kochava.handling_together(events):
        for event in events:
            async with kochava.handling(event, handler="one") as handling:
                assert event is handling.event
                await kochava.track("Seen")
    records = await records_of(store)
    assert (1, ["Seen"], ["Seen"]) == (store.commits, names(records, "ann"), names(records, "bob"))


@pytest.mark.parametrize(("status", "handled"), [(200, True), (204, True), (500, False), (503, False)])
async def test_the_answer_says_whether_the_events_were_handled(
    kochava: KochavaMiddleware, store: CountingStore, status: int, handled: bool
) -> None:
    """Also without an answer they are recorded."""
    async with kochava.handling_together([message("ann")], handler="webhook") as call:
        call.answered(status)
    (record,) = await records_of(store)
    assert ("webhook", handled) == (record.event_data["handler"], record.event_data["handled"])


@pytest.mark.parametrize("status", [307, 400, 401, 403, 404, 413])
async def test_of_a_refused_webhook_only_what_the_endpoint_tracked_is_recorded(
    kochava: KochavaMiddleware, store: CountingStore, status: int
) -> None:
    """It may be forged."""
    async with kochava.handling_together([message("ann"), message("bob")]) as call:
        await kochava.track("Refused", user_id="ann")
        call.answered(status)
    records = await records_of(store)
    assert (["Refused"], []) == (names(records, "ann"), names(records, "bob"))


async def test_the_name_of_the_handler_may_be_known_late(kochava: KochavaMiddleware, store: CountingStore) -> None:
    """A host that routes by itself says it while the endpoint runs."""
    found: list[str] = []
    async with kochava.handling_together([message("ann")], handler=lambda: found[0] if found else None):
        handling = current_handling()
        assert handling is not None
        assert handling.handler is None
        found.append("webhook")
    (record,) = await records_of(store)
    assert "webhook" == record.event_data["handler"]


async def test_nothing_is_recorded_when_it_is_off(store: CountingStore) -> None:
    """The calls work all the same."""
    kochava = KochavaMiddleware.from_dict({**SETTINGS, "mode": "off"}, store=store)
    async with kochava.handling_together([message("ann"), message("bob")]) as call:
        await kochava.track("Purchase", user_id="ann")
        call.answered(403)
    assert [] == await records_of(store)


async def test_sixty_people_are_two_commits(kochava: KochavaMiddleware, store: CountingStore) -> None:
    """A state that changes meanwhile makes only a part of them be planned anew."""
    async with kochava.handling_together([message(f"u{number}") for number in range(60)]):
        pass
    assert (2, 60) == (store.commits, len(await records_of(store)))


def test_synchronous_code_has_the_same(store: CountingStore) -> None:
    """In its own thread."""
    kochava = SyncKochava.from_dict(SETTINGS, store=store)
    with kochava.handling_together([message("ann"), message("bob")], handler="webhook") as call:
        kochava.track("Purchase", user_id="bob")
        call.answered(200)
    kochava.stop()
    assert 1 == store.commits
