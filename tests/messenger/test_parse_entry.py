"""Entries with items outside of their arrays: calls, answers to a call request, paid messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kochava_bot_middleware.messenger.events import ChangeEvent, Event, HopContext, Kind, UnknownEvent
from kochava_bot_middleware.messenger.parsing.webhook import parse_item, parse_webhook
from tests.strategies import ITEMS, PAGE_ID, PERSON_ID, webhook

SENT_AT = 1_767_225_600
"""2026-01-01 00:00:00 UTC in seconds, as webhooks on calling have it."""

PAID = {"recipient_id": PERSON_ID, "page_id": PAGE_ID, "timestamp": SENT_AT, "mid": "m_offer"}
"""What a webhook tells of a paid message."""


def entry(**members: Any) -> dict[str, Any]:
    """A webhook of one entry with these members."""
    return {"object": "page", "entry": [{"id": PAGE_ID, "time": SENT_AT, **members}]}


def again(event: Event) -> Event:
    """The event, read again from what an inbox stores."""
    return parse_item(event.raw, channel=event.channel, page_id=event.page_id, standby=event.standby)


@pytest.mark.parametrize(
    ("call", "user_id"),
    [
        ({"event": "connect", "from": PERSON_ID, "to": PAGE_ID, "call_direction": "user_initiated"}, PERSON_ID),
        ({"event": "connect", "from": PAGE_ID, "to": PERSON_ID, "call_direction": "business_initiated"}, PERSON_ID),
        ({"event": "connect", "from": PAGE_ID, "to": PERSON_ID}, PERSON_ID),
        ({"event": "call_status", "recipient_id": PERSON_ID, "call_status": "RINGING"}, PERSON_ID),
        ({"event": "media_update", "session": {"version": 1}}, None),
    ],
)
def test_call_is_a_change_about_the_person(call: dict[str, Any], user_id: str | None) -> None:
    """Calls are in an array beside ``messaging``."""
    call = {"id": "c_1", "timestamp": SENT_AT, **call}
    (event,) = parse_webhook(entry(calls=[call]))
    wanted = ChangeEvent(
        page_id=PAGE_ID,
        user_id=user_id,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        raw={"field": "calls", "value": call},
        field="calls",
        value=call,
    )
    assert wanted == event


def test_person_of_a_call_without_a_page_follows_from_its_direction() -> None:
    """Test events have no Page."""
    call = {"from": PAGE_ID, "to": PERSON_ID, "call_direction": "business_initiated"}
    body = entry(calls=[call])
    body["entry"][0]["id"] = "0"
    (event,) = parse_webhook(body)
    assert PERSON_ID == event.user_id


def test_stored_call_gives_an_equal_event() -> None:
    """What an inbox stores of a call is enough."""
    (event,) = parse_webhook(entry(calls=[{"id": "c_1", "from": PERSON_ID, "to": PAGE_ID}]))
    assert event == again(event)


def test_calls_and_messages_of_one_entry_are_all_read() -> None:
    """One does not hide the other."""
    events = parse_webhook(entry(messaging=[ITEMS["message"]], calls=[{"id": "c_1"}, {"id": "c_2"}]))
    assert [Kind.MESSAGE, Kind.CHANGE, Kind.CHANGE] == [event.kind for event in events]


def test_answer_to_a_call_request_stands_in_the_entry_itself() -> None:
    """It is an item of messaging without an array around it."""
    members = {
        "sender": {"id": PERSON_ID},
        "recipient": {"id": PAGE_ID},
        "timestamp": SENT_AT,
        "call_permission_reply": {"response": "approve"},
    }
    (event,) = parse_webhook(entry(**members))
    wanted = UnknownEvent(page_id=PAGE_ID, user_id=PERSON_ID, timestamp=datetime(2026, 1, 1, tzinfo=UTC), raw=members)
    assert wanted == event


def test_item_in_the_entry_itself_keeps_the_hop_context() -> None:
    """The previous app is named beside it, as for items of an array."""
    members = {"sender": {"id": PERSON_ID}, "message": {"mid": "m", "text": "Hi"}, "hop_context": {"app_id": 1}}
    (event,) = parse_webhook(entry(**members))
    assert (Kind.MESSAGE, (HopContext(app_id="1"),)) == (event.kind, event.hop_context)
    assert event == again(event)


def test_item_in_the_entry_itself_may_lack_a_sender() -> None:
    """Warnings are about nobody."""
    members = {"recipient": {"id": PAGE_ID}, "policy_enforcement": {"action": "warning"}}
    (event,) = parse_webhook(entry(**members))
    assert (Kind.POLICY_ENFORCEMENT, None, PAGE_ID) == (event.kind, event.user_id, event.page_id)


def test_items_under_the_name_of_their_field_are_read() -> None:
    """Where an entry names the webhook field instead of ``messaging``, its items are the same."""
    (event,) = parse_webhook(entry(messaging_handovers=[ITEMS["pass_thread_control"]]))
    assert (Kind.PASS_THREAD_CONTROL, PERSON_ID, PAGE_ID) == (event.kind, event.user_id, event.page_id)


def test_object_under_an_unknown_name_is_a_change() -> None:
    """Settings of calls are one object, and what comes tomorrow is not lost."""
    (event,) = parse_webhook(entry(call_settings={"audio_enabled": True}))
    assert ("call_settings", {"audio_enabled": True}) == (event.raw["field"], event.raw["value"])
    assert Kind.CHANGE is event.kind


@pytest.mark.parametrize("member", [None, 5, "text", [], {}, [1, "2", None, {}, []]])
def test_member_that_is_no_object_gives_nothing(member: Any) -> None:
    """A number or text beside the items is a property of the entry."""
    assert [] == parse_webhook(entry(tomorrow=member))


def test_changed_fields_without_values() -> None:
    """A subscription may leave values out."""
    events = parse_webhook(entry(changed_fields=["feed", "picture", 5]))
    wanted = [ChangeEvent(page_id=PAGE_ID, raw={"field": name}, field=name) for name in ("feed", "picture")]
    assert wanted == events


@pytest.mark.parametrize("around", [lambda change: webhook(change, under="changes"), lambda change: entry(**change)])
def test_paid_message_has_its_members_beside_the_field(around: Any) -> None:
    """There is no ``value``; what stands in its place is read as if there were."""
    change = {"field": "marketing_message_reads", **PAID}
    (event,) = parse_webhook(around(change))
    wanted = ChangeEvent(
        page_id=PAGE_ID,
        user_id=PERSON_ID,
        timestamp=datetime(2026, 1, 1, tzinfo=UTC),
        raw=change,
        field="marketing_message_reads",
        value=PAID,
        paid_message_ids=("m_offer",),
    )
    assert wanted == event


def test_paid_message_of_a_test_event_names_its_page() -> None:
    """The Page is among the members too."""
    change = {"field": "marketing_message_clicks", **PAID, "page_id": int(PAGE_ID)}
    (event,) = parse_webhook(webhook(change, under="changes", page_id="0"))
    assert (PERSON_ID, PAGE_ID) == (event.user_id, event.page_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("marketing_message_deliveries", {"recipient": {"user_ref": "ref-1"}, "mid": "m_offer"}),
        ("marketing_message_reads", {"sender": {"user_ref": "ref-1"}, "recipient": {"id": PAGE_ID}}),
        ("call_permission_reply", {"sender": {"user_ref": "ref-1"}, "recipient": {"id": PAGE_ID}}),
        ("inbox_labels", {"user": {"user_ref": "ref-1"}, "action": "add"}),
    ],
)
def test_change_of_a_reference_says_that_it_is_one(field: str, value: dict[str, Any]) -> None:
    """It is no PSID."""
    (event,) = parse_webhook(webhook({"field": field, "value": value}, under="changes"))
    assert ("ref-1", "ref-1", True) == (event.user_id, event.user_ref, event.is_by_reference)


@pytest.mark.parametrize("party", ["sender", "recipient"])
def test_change_that_names_id_and_reference_joins_them(party: str) -> None:
    """As a message does."""
    change = {"field": "marketing_message_reads", "value": {**PAID, party: {"user_ref": "ref-1"}}}
    (event,) = parse_webhook(webhook(change, under="changes"))
    assert (PERSON_ID, "ref-1") == (event.user_id, event.joined_user_ref)


def test_change_of_an_answer_to_a_call_request_names_the_person() -> None:
    """It is not of a messaging field, yet about a conversation."""
    value = {"sender": {"id": PERSON_ID}, "recipient": {"id": PAGE_ID}, "call_permission_reply": {"response": "reject"}}
    (event,) = parse_webhook(webhook({"field": "call_permission_reply", "value": value}, under="changes"))
    assert (Kind.CHANGE, PERSON_ID) == (event.kind, event.user_id)
