"""Keys of events, and what their records show."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given

from kochava_bot_middleware.messenger.events import Event, Kind, MessageEvent
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from tests.strategies import ITEMS, PAGE_ID, PERSON_ID, SENT_AT, item, webhook, webhooks


def key(value: dict[str, Any], **envelope: Any) -> str:
    """The key of the one event of a webhook with one item."""
    (event,) = parse_webhook(webhook(value, **envelope))
    return event.key


@given(webhooks())
def test_redelivery_gives_the_same_keys(body: dict[str, Any]) -> None:
    """The same bytes are the same events."""
    payload = orjson.dumps(body)
    assert [event.key for event in parse_webhook(payload)] == [event.key for event in parse_webhook(payload)]


def test_order_of_members_does_not_change_a_key() -> None:
    """An item without an identity of its own is taken as a whole, not as bytes."""
    forwards = ITEMS["optin"]
    assert key(forwards) == key(dict(reversed(forwards.items())))


def test_samples_have_distinct_keys() -> None:
    """No two happenings share a key."""
    keys = [key(value) for value in ITEMS.values()]
    assert len(ITEMS) == len(set(keys))


def test_key_names_kind_and_is_safe_in_any_store() -> None:
    """The key is short and has no character that a database or a log could stumble over."""
    for value in ITEMS.values():
        (event,) = parse_webhook(webhook(value))
        assert re.fullmatch(event.kind + ":[0-9a-f]{32}", event.key)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (item(message={"mid": "m_1"}), item(message={"mid": "m_2"})),
        (item(message={"mid": "m_1"}), item(message={"mid": "m_1", "is_echo": True})),
        (item(message={"mid": "m_1"}), item(message={"mid": "m_1", "is_deleted": True})),
        (item(message={"mid": "m", "is_echo": True}), item(message={"mid": "m", "is_echo": True, "is_deleted": True})),
        (item(message={"mid": "m_1"}), item(message_edit={"mid": "m_1", "num_edit": 1})),
        (item(message_edit={"mid": "m_1", "num_edit": 1}), item(message_edit={"mid": "m_1", "num_edit": 2})),
        (item(reaction={"mid": "m", "action": "react"}), item(reaction={"mid": "m", "action": "unreact"})),
        (item(reaction={"mid": "m"}), item(reaction={"mid": "m"}, timestamp=SENT_AT + 1)),
        (item(reaction={"mid": "m"}), item(reaction={"mid": "m"}, sender={"id": "7"})),
        (item(postback={"payload": "A"}), item(postback={"payload": "A"}, timestamp=SENT_AT + 1)),
        (item(read={"watermark": SENT_AT}), item(read={"watermark": SENT_AT + 1})),
        (item(read={"watermark": SENT_AT}), item(read={"watermark": SENT_AT}, sender={"id": "7"})),
        (item(read={"mid": "m_1"}), item(read={"mid": "m_2"})),
        (item(delivery={"watermark": SENT_AT}), item(read={"watermark": SENT_AT})),
        (item(delivery={"mids": ["a"], "watermark": 1}), item(delivery={"mids": ["b"], "watermark": 1})),
        (item(optin={"ref": "a"}), item(optin={"ref": "b"})),
    ],
)
def test_distinct_events_have_distinct_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    """What differs in identity differs in key."""
    assert key(one) != key(other)


def test_message_is_the_same_though_its_links_are_signed_anew() -> None:
    """A message is known by its id, not by addresses that expire."""
    before, after = (
        item(
            message={"mid": "m", "attachments": [{"type": "image", "payload": {"url": f"https://cdn.example/{sign}"}}]}
        )
        for sign in "ab"
    )
    assert key(before) == key(after)


def test_key_tells_pages_apart() -> None:
    """Two Pages may see the same id."""
    assert key(ITEMS["message"]) != key(ITEMS["message"], page_id="7")


def test_key_tells_channels_apart() -> None:
    """An Instagram account is not a Page."""
    assert key(ITEMS["message"]) != key(ITEMS["message"], about="instagram")


def test_key_tells_standby_apart() -> None:
    """Listening to an event is not handling it."""
    assert key(ITEMS["message"]) != key(ITEMS["message"], under="standby")


def test_key_does_not_change_with_attempts() -> None:
    """An event that is handled again is the same event."""
    event = MessageEvent(mid="m")
    assert event.key == attrs.evolve(event, attempt=2).key


def test_known_key_is_stable_over_releases() -> None:
    """Stores keep keys over an upgrade, so they must not change with the code."""
    assert "message:a8472060a1794817273060328e2fba91" == key(ITEMS["message"])
    assert "optin:80b593ee69e382c54b2bc285a4b3d0e8" == key(ITEMS["optin"])


def test_events_cannot_be_changed() -> None:
    """An event is a record of what was."""
    event = MessageEvent(text="hello")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.text = "bye"  # type: ignore[misc]


@given(webhooks())
def test_events_can_be_copied(body: dict[str, Any]) -> None:
    """Events pass through copies and process borders unharmed."""
    for event in parse_webhook(body):
        assert event == copy.deepcopy(event) == pickle.loads(pickle.dumps(event))


PRIVATE = [
    "Do you have these in red?",
    "Do you have them in blue?",
    "COLOR_RED",
    "cat.gif",
    "48.137",
    "43",
    "71937219379821",
    "secret-code",
    "Quiet rooms",
    "Ada Example",
    "By Friday",
    "SAVE20",
    "ch_1",
    "Menlo Park",
    "Nice!",
]


def test_repr_shows_nothing_private() -> None:
    """Texts, answers, tokens and codes stay out of logs."""
    found: list[Event] = []
    for value in ITEMS.values():
        found += parse_webhook(webhook(value))
    shown = " ".join(map(repr, found)).replace(PAGE_ID, "").replace(PERSON_ID, "")
    assert [] == [private for private in PRIVATE if re.search(rf"\b{re.escape(private)}", shown)]


def test_kinds_are_their_platform_words() -> None:
    """A kind may be compared with and printed as text."""
    assert ("message", "message") == (Kind.MESSAGE, str(Kind.MESSAGE))
