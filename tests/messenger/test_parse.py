"""The structure of webhooks, and any other input."""

from __future__ import annotations

import copy
import json
from types import MappingProxyType
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.exceptions import NotAWebhook
from kochava_bot_middleware.messenger.events import Channel, Event, Kind, MessageEvent, UnknownEvent
from kochava_bot_middleware.messenger.parsing.webhook import parse_item, parse_webhook
from tests.strategies import (
    ITEMS,
    PAGE_ID,
    PERSON_ID,
    bent_webhooks,
    item,
    json_values,
    webhook,
    webhooks,
)


def events_or_refusal(body: Any) -> list[Event]:
    """The result of `parse_webhook`; empty if it refuses. Any other exception fails the test."""
    try:
        return parse_webhook(body)
    except NotAWebhook:
        return []


def again(event: Event) -> Event:
    """The event, read again from what an inbox stores."""
    return parse_item(
        orjson.loads(orjson.dumps(event.raw)), channel=event.channel, page_id=event.page_id, standby=event.standby
    )


@given(json_values())
def test_any_json_gives_events_or_refusal(value: Any) -> None:
    """Only `NotAWebhook` is raised."""
    events_or_refusal(json.dumps(value))
    events_or_refusal(webhook(value))


@given(st.binary())
def test_any_bytes_give_events_or_refusal(body: bytes) -> None:
    """Bytes that are not JSON are refused."""
    events_or_refusal(body)


@given(bent_webhooks())
def test_malformed_webhook_gives_events_or_refusal(body: Any) -> None:
    """Wrong types and missing members never give an unusable event."""
    for event in events_or_refusal(orjson.dumps(body)):
        assert event.key
        assert repr(event)


@given(bent_webhooks())
def test_stored_item_gives_an_equal_event(body: Any) -> None:
    """Raw item, channel, Page and standby are enough to read an event again."""
    for event in events_or_refusal(orjson.dumps(body)):
        assert event == again(event)
        assert event.key == again(event).key


@given(webhooks())
def test_form_of_the_body_does_not_matter(body: dict[str, Any]) -> None:
    """Bytes, text and mapping give the same events."""
    assert parse_webhook(orjson.dumps(body)) == parse_webhook(json.dumps(body)) == parse_webhook(MappingProxyType(body))


@given(bent_webhooks())
def test_mapping_is_not_changed(body: Any) -> None:
    """The decoded body belongs to a framework."""
    before = copy.deepcopy(body)
    events_or_refusal(body)
    assert before == body


@given(st.lists(st.sampled_from(["message", "read", "postback"]), min_size=1, max_size=3), json_values())
def test_misshaped_item_does_not_lose_its_siblings(names: list[str], odd: Any) -> None:
    """Valid items around it are read."""
    items = [ITEMS[name] for name in names]
    alone = parse_webhook(webhook(*items))
    found = parse_webhook(webhook(odd, *items, odd))
    assert alone == [event for event in found if event.raw in items]


def test_malformed_member_gives_an_unknown_event() -> None:
    """The event has the person and the raw item."""
    (event,) = parse_webhook(webhook(item(message="hello")))
    assert (Kind.UNKNOWN, PERSON_ID, "hello") == (event.kind, event.user_id, event.raw["message"])


def test_item_that_is_not_an_object_is_kept() -> None:
    """In `raw` under `item`."""
    (event,) = parse_webhook(webhook("hello"))
    assert UnknownEvent(page_id=PAGE_ID, raw={"item": "hello"}) == event


@pytest.mark.parametrize("entries", [[], [{}], [None], [{"id": PAGE_ID}], [{"messaging": []}], [{"messaging": [{}]}]])
def test_empty_webhook_gives_no_events(entries: list[Any]) -> None:
    """Empty entries and items are valid."""
    assert parse_webhook({"object": "page", "entry": entries}) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"page"',
        b"{}",
        b"hub.mode=subscribe",
        b'{"object":"page"}',
        b'{"object":"page","entry":{}}',
        b'{"object":"","entry":[]}',
        b'{"object":["page"],"entry":[]}',
        b'{"object":"page","entry":[NaN]}',
        b'{"object":"page","entry":["\xff"]}',
        b"\xef\xbb\xbf{}",
        {},
        {"object": "page", "entry": [object()]},
    ],
)
def test_body_that_is_not_a_webhook_is_refused(body: Any) -> None:
    """No object, another structure, or not JSON."""
    with pytest.raises(NotAWebhook):
        parse_webhook(body)


@pytest.mark.parametrize("about", ["user", "permissions", "application", "whatsapp_business_account", "PAGE"])
@pytest.mark.parametrize("rest", [{"entry": [{"id": "1", "changes": [{"field": "name"}]}]}, {"entry": []}, {}])
def test_webhook_of_another_object_has_no_events(about: str, rest: dict[str, Any]) -> None:
    """An app may be subscribed to more than Pages and Instagram accounts."""
    assert parse_webhook(orjson.dumps({"object": about, **rest})) == []


@pytest.mark.parametrize("body", [None, 5, []])
def test_body_of_another_type_is_refused(body: Any) -> None:
    """Only bytes, text and mappings are read."""
    with pytest.raises(NotAWebhook):
        parse_webhook(body)


def test_long_but_shallow_webhook_is_read() -> None:
    """Many brackets are not deep nesting."""
    items = [item(message={"mid": f"m_{number}"}) for number in range(1000)]
    assert [f"m_{number}" for number in range(1000)] == [
        event.mid for event in parse_webhook(orjson.dumps(webhook(*items))) if isinstance(event, MessageEvent)
    ]


def test_refusal_shows_nothing_of_the_body() -> None:
    """A malformed body is personal, too."""
    with pytest.raises(NotAWebhook) as refusal:
        parse_webhook(b'{"object":"page","entry":[{"text":"my secret" oops')
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("form", [lambda body: json.dumps(body).encode(), json.dumps, dict, MappingProxyType])
def test_lone_surrogate_is_replaced(form: Any) -> None:
    """A title may be cut within an emoji, also when a framework decoded the body."""
    (event,) = parse_webhook(form(webhook(item(message={"mid": "m", "text": "Red \ud83d"}))))
    assert isinstance(event, MessageEvent)
    assert ("m", "Red ?") == (event.mid, event.text)


@pytest.mark.parametrize("form", [lambda body: json.dumps(body).encode(), json.dumps, dict])
def test_number_beyond_64_bits_is_read(form: Any) -> None:
    """It is rounded."""
    (event,) = parse_webhook(form(webhook(item(message={"mid": "m", "odd": 10**30}))))
    assert ("message", 1e30) == (event.kind, event.raw["message"]["odd"])


@pytest.mark.parametrize("depth", [300, 900])
@pytest.mark.parametrize("form", [json.loads, str, str.encode])
def test_lone_surrogate_that_is_nested_too_deep_is_read(depth: int, form: Any) -> None:
    """The event can be encoded as JSON again."""
    deep = "[" * depth + '"\\ud83d"' + "]" * depth
    (event,) = parse_webhook(form(f'{{"object":"page","entry":[{{"messaging":[{{"message":{deep}}}]}}]}}'))
    orjson.dumps(event.raw)


def test_all_entries_and_items_are_read_in_order() -> None:
    """Events are in the order of entries and items."""
    body = {
        "object": "page",
        "entry": [
            {"id": "1", "messaging": [ITEMS["message"], ITEMS["read"]]},
            {"id": 2, "standby": [ITEMS["message"]], "changes": [ITEMS["change"]]},
        ],
    }
    wanted = [("1", "message", False), ("1", "read", False), ("2", "message", True), ("2", "change", False)]
    assert wanted == [(event.page_id, event.kind, event.standby) for event in parse_webhook(body)]


def test_array_may_be_a_single_item() -> None:
    """An item that is not in a list is read."""
    body = {"object": "page", "entry": [{"id": PAGE_ID, "messaging": ITEMS["message"]}]}
    assert parse_webhook(webhook(ITEMS["message"])) == parse_webhook(body)


def test_attempt_is_given_by_the_caller() -> None:
    """It changes nothing else of an event that is read again."""
    event = parse_item(ITEMS["message"], channel=Channel.MESSENGER, page_id=PAGE_ID, attempt=2)
    (first,) = parse_webhook(webhook(ITEMS["message"]))
    assert attrs.evolve(first, attempt=2) == event
    assert first.key == event.key
