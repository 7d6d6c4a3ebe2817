"""Events on their way into the inbox and back."""

from __future__ import annotations

from typing import Any

import attrs
import orjson
import pytest

from kochava_bot_middleware.inbox.stored_event import CorruptEntry, entry_of, event_of, id_of
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from tests.strategies import ITEMS, webhook


def under(name: str) -> str:
    return "changes" if "field" in ITEMS[name] else "messaging"


@pytest.mark.parametrize("page_id", ["104000000000001", "0", None])
@pytest.mark.parametrize("about", ["page", "instagram"])
@pytest.mark.parametrize("name", ITEMS)
def test_event_comes_back_as_it_was(name: str, about: str, page_id: str | None) -> None:
    """Its key, too: what it records the second time has the same ids."""
    (event,) = parse_webhook(webhook(ITEMS[name], under=under(name), about=about, page_id=page_id))
    again = event_of(entry_of(event, 1.0))

    assert (event, event.key) == (again, again.key)


def test_ids_of_later_events_sort_later() -> None:
    """So what is stored together is on few pages of an index, however much is stored."""
    items = [{**ITEMS["message"], "timestamp": 1_700_000_000_000 + number} for number in range(5)]
    for number, item in enumerate(items):
        item["message"] = {"mid": f"m_{number}", "text": "hello"}
    ids = [id_of(event) for item in items for event in parse_webhook(webhook(item))]

    assert sorted(ids) == ids


@pytest.mark.parametrize("name", ["message", "postback"])
def test_standby_comes_back(name: str) -> None:
    """Else a handler would answer in a thread that another app owns."""
    (event,) = parse_webhook(webhook(ITEMS[name], under="standby"))

    assert event_of(entry_of(event, 1.0)).standby


def test_attempt_is_told() -> None:
    """It is not stored, but comes from the claim."""
    (event,) = parse_webhook(webhook(ITEMS["message"]))

    assert 3 == event_of(entry_of(event, 1.0), 3).attempt


def test_one_person_is_one_lane() -> None:
    """Messages, echoes and deliveries alike keep the person's order."""
    events = [parse_webhook(webhook(ITEMS[name]))[0] for name in ("message", "echo", "delivery", "postback")]

    assert 1 == len({entry_of(event, 1.0).lane for event in events})


def test_what_concerns_nobody_waits_for_nobody() -> None:
    """Each such event has its own lane."""
    events = [parse_webhook(webhook(ITEMS[name]))[0] for name in ("policy_enforcement", "app_roles")]

    assert 2 == len({entry_of(event, 1.0).lane for event in events})


def test_entry_does_not_print_its_body() -> None:
    """It is personal."""
    (event,) = parse_webhook(webhook(ITEMS["message"]))

    assert "in red" not in repr(entry_of(event, 1.0))


def body(**changes: Any) -> bytes:
    return orjson.dumps({"channel": "messenger", "page_id": "1", "standby": False, "item": {}, **changes})


@pytest.mark.parametrize(
    "corrupt",
    [
        b"",
        b"\xff\x00",
        b"{",
        b"[]",
        b"null",
        b"{}",
        body(channel="pigeon"),
        body(page_id=1),
        body(standby="no"),
        body(item="text"),
        body(item=["field"]),
        body(item=None),
    ],
)
def test_corrupt_bytes_are_told(corrupt: bytes) -> None:
    """With one error, which shows nothing of them."""
    (event,) = parse_webhook(webhook(ITEMS["message"]))
    entry = attrs.evolve(entry_of(event, 1.0), body=corrupt)

    with pytest.raises(CorruptEntry, match=id_of(event)):
        event_of(entry)
