"""The envelope of webhooks, and what no input may do to it."""

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
    """What `parse_webhook` gives; none if it refuses. Any other exception fails the test."""
    try:
        return parse_webhook(body)
    except NotAWebhook:
        return []


def again(event: Event) -> Event:
    """The event, read anew from what an inbox stores."""
    return parse_item(
        orjson.loads(orjson.dumps(event.raw)), channel=event.channel, page_id=event.page_id, standby=event.standby
    )


@given(json_values())
def test_any_json_gives_events_or_refusal(value: Any) -> None:
    """Nothing but `NotAWebhook` is ever raised."""
    events_or_refusal(json.dumps(value))
    events_or_refusal(webhook(value))


@given(st.binary())
def test_any_bytes_give_events_or_refusal(body: bytes) -> None:
    """What is not JSON is refused."""
    events_or_refusal(body)


@given(bent_webhooks())
def test_bent_webhook_gives_events_or_refusal(body: Any) -> None:
    """Wrong types and missing members anywhere cost at most the webhook, and every event can be used."""
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
def test_mapping_is_left_as_it_was(body: Any) -> None:
    """A body that a framework decoded belongs to that framework."""
    before = copy.deepcopy(body)
    events_or_refusal(body)
    assert before == body


@given(st.lists(st.sampled_from(["message", "read", "postback"]), min_size=1, max_size=3), json_values())
def test_misshaped_item_does_not_lose_its_siblings(names: list[str], odd: Any) -> None:
    """Whatever stands between them, good items are read."""
    items = [ITEMS[name] for name in names]
    alone = parse_webhook(webhook(*items))
    found = parse_webhook(webhook(odd, *items, odd))
    assert alone == [event for event in found if event.raw in items]


def test_misshaped_member_gives_an_unknown_event() -> None:
    """A message that is no object cannot be read, yet is passed on with its person."""
    (event,) = parse_webhook(webhook(item(message="hello")))
    assert (Kind.UNKNOWN, PERSON_ID, "hello") == (event.kind, event.user_id, event.raw["message"])


def test_item_that_is_no_object_is_kept() -> None:
    """It stands under `item`."""
    (event,) = parse_webhook(webhook("hello"))
    assert UnknownEvent(page_id=PAGE_ID, raw={"item": "hello"}) == event


@pytest.mark.parametrize("entries", [[], [{}], [None], [{"id": PAGE_ID}], [{"messaging": []}], [{"messaging": [{}]}]])
def test_empty_webhook_gives_no_events(entries: list[Any]) -> None:
    """Empty entries and items are fine."""
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
        b'{"object":"user","entry":[]}',
        b'{"object":["page"],"entry":[]}',
        b'{"object":"page","entry":[NaN]}',
        b'{"object":"page","entry":[1e999]}',
        b'{"object":"page","entry":["\xff"]}',
        b"\xef\xbb\xbf{}",
        {},
        {"object": "page", "entry": [object()]},
        {"object": "page", "entry": [10**400]},
    ],
)
def test_what_is_no_webhook_is_refused(body: Any) -> None:
    """Another object, another shape, or no JSON at all."""
    with pytest.raises(NotAWebhook):
        parse_webhook(body)


@pytest.mark.parametrize("body", [None, 5, [], bytearray(b"{}")])
def test_body_of_another_type_is_refused(body: Any) -> None:
    """Only bytes, text and mappings are read."""
    with pytest.raises(NotAWebhook):
        parse_webhook(body)


@pytest.mark.parametrize("depth", [300, 2_000, 100_000])
def test_too_deep_nesting_is_refused(depth: int) -> None:
    """What could not be written as JSON again cannot be kept."""
    deep = "[" * depth + "]" * depth
    with pytest.raises(NotAWebhook):
        parse_webhook(f'{{"object":"page","entry":[{{"messaging":[{{"message":{deep}}}]}}]}}')


def test_long_but_shallow_webhook_is_read() -> None:
    """Many brackets beside each other are not nesting."""
    items = [item(message={"mid": f"m_{number}"}) for number in range(1000)]
    assert [f"m_{number}" for number in range(1000)] == [
        event.mid for event in parse_webhook(orjson.dumps(webhook(*items))) if isinstance(event, MessageEvent)
    ]


def test_refusal_shows_nothing_of_the_body() -> None:
    """A body is personal, also a broken one."""
    with pytest.raises(NotAWebhook) as refusal:
        parse_webhook(b'{"object":"page","entry":[{"text":"my secret" oops')
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("form", [lambda body: json.dumps(body).encode(), json.dumps, dict, MappingProxyType])
def test_half_an_emoji_is_read(form: Any) -> None:
    """A title cut within an emoji does not cost the webhook, nor when a framework decoded it."""
    (event,) = parse_webhook(form(webhook(item(message={"mid": "m", "text": "Red \ud83d"}))))
    assert isinstance(event, MessageEvent)
    assert ("m", "Red ?") == (event.mid, event.text)


@pytest.mark.parametrize("form", [lambda body: json.dumps(body).encode(), json.dumps, dict])
def test_number_beyond_64_bits_is_read(form: Any) -> None:
    """One odd number does not cost the webhook."""
    (event,) = parse_webhook(form(webhook(item(message={"mid": "m", "odd": 10**30}))))
    assert ("message", 1e30) == (event.kind, event.raw["message"]["odd"])


@pytest.mark.parametrize("depth", [300, 900])
@pytest.mark.parametrize("form", [json.loads, str, str.encode])
def test_half_an_emoji_nested_too_deep_is_refused(depth: int, form: Any) -> None:
    """What could not be written as JSON again cannot be kept, mended or not."""
    deep = "[" * depth + '"\\ud83d"' + "]" * depth
    with pytest.raises(NotAWebhook):
        parse_webhook(form(f'{{"object":"page","entry":[{{"messaging":[{{"message":{deep}}}]}}]}}'))


def test_all_entries_and_items_are_read_in_order() -> None:
    """Entries and items keep the order they stand in."""
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
    """An item that is not in a list is read all the same."""
    body = {"object": "page", "entry": [{"id": PAGE_ID, "messaging": ITEMS["message"]}]}
    assert parse_webhook(webhook(ITEMS["message"])) == parse_webhook(body)


def test_attempt_is_told() -> None:
    """Whoever reads a stored item again says how often it was begun; nothing else changes."""
    event = parse_item(ITEMS["message"], channel=Channel.MESSENGER, page_id=PAGE_ID, attempt=2)
    (first,) = parse_webhook(webhook(ITEMS["message"]))
    assert attrs.evolve(first, attempt=2) == event
    assert first.key == event.key
