"""Keys and reprs of events."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
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


PRINT_KEYS = """
import sys
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
print(*(event.key for event in parse_webhook(sys.stdin.buffer.read())), sep="\\n")
"""


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_redelivery_to_another_process_gives_the_same_keys(hash_seed: str) -> None:
    """Keys do not depend on the process, nor on the order of its sets."""
    payload = orjson.dumps(webhook(*ITEMS.values()))

    other = subprocess.run(
        [sys.executable, "-c", PRINT_KEYS],
        input=payload,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        check=True,
    )

    assert [event.key for event in parse_webhook(payload)] == other.stdout.decode().split()


def test_order_of_members_does_not_change_a_key() -> None:
    """The key of an item without an id does not depend on its spelling."""
    forwards = ITEMS["optin"]
    assert key(forwards) == key(dict(reversed(forwards.items())))


def test_samples_have_distinct_keys() -> None:
    """Different events have different keys."""
    keys = [key(value) for value in ITEMS.values()]
    assert len(ITEMS) == len(set(keys))


def test_key_is_the_kind_and_hexadecimal_digits() -> None:
    """It is short and has no special characters for a database or a log."""
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
    """Each part of the identity is part of the key."""
    assert key(one) != key(other)


def test_key_of_a_message_does_not_depend_on_signed_links() -> None:
    """Signed addresses of attachments change between deliveries."""
    before, after = (
        item(
            message={"mid": "m", "attachments": [{"type": "image", "payload": {"url": f"https://cdn.example/{sign}"}}]}
        )
        for sign in "ab"
    )
    assert key(before) == key(after)


def test_key_depends_on_the_page() -> None:
    """Two Pages may receive the same id."""
    assert key(ITEMS["message"]) != key(ITEMS["message"], page_id="7")


def test_key_depends_on_the_channel() -> None:
    """An Instagram account may have the id of a Page."""
    assert key(ITEMS["message"]) != key(ITEMS["message"], about="instagram")


def test_key_depends_on_standby() -> None:
    """A standby event is not the event itself."""
    assert key(ITEMS["message"]) != key(ITEMS["message"], under="standby")


def test_key_does_not_depend_on_the_attempt() -> None:
    """A repeated attempt handles the same event."""
    event = MessageEvent(mid="m")
    assert event.key == attrs.evolve(event, attempt=2).key


def test_event_made_of_another_has_a_key_of_its_own() -> None:
    """Also when the other one's key is known already."""
    event = MessageEvent(mid="m")
    assert event.key != attrs.evolve(event, mid="n").key == MessageEvent(mid="n").key


def test_known_key_is_stable_over_releases() -> None:
    """Stores keep keys across upgrades, so they must not change with the code."""
    assert "message:a8472060a1794817273060328e2fba91" == key(ITEMS["message"])
    assert "optin:80b593ee69e382c54b2bc285a4b3d0e8" == key(ITEMS["optin"])


def test_events_cannot_be_changed() -> None:
    """Events are frozen."""
    event = MessageEvent(text="hello")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.text = "bye"  # type: ignore[misc]


@given(webhooks())
def test_events_can_be_copied(body: dict[str, Any]) -> None:
    """A deep copy and an unpickled event are equal to the original."""
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
    """Texts, answers, tokens and codes must not appear in logs."""
    found: list[Event] = []
    for value in ITEMS.values():
        found += parse_webhook(webhook(value))
    shown = " ".join(map(repr, found)).replace(PAGE_ID, "").replace(PERSON_ID, "")
    assert [] == [private for private in PRIVATE if re.search(rf"\b{re.escape(private)}", shown)]


def test_kind_is_text_as_named_by_the_platform() -> None:
    """A kind can be compared and printed as text."""
    assert ("message", "message") == (Kind.MESSAGE, str(Kind.MESSAGE))
