"""Valid JSON that Python, or a store, cannot hold as it is."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from kochava_bot_middleware.exceptions import NotAWebhook
from kochava_bot_middleware.messenger.events import MessageEvent
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook

DEEP = "[" * 100_000 + '"]"' + "]" * 100_000


def body_with(value: str) -> str:
    """A message with a member of this JSON text."""
    message = '{"mid": "m", "text": "hi [{", "odd": ' + value + "}"
    item = '{"sender": {"id": "5551"}, "recipient": {"id": "1001"}, "message": ' + message + "}"
    return '{"object": "page", "entry": [{"id": "1001", "messaging": [' + item + "]}]}"


@pytest.mark.parametrize(
    ("value", "odd"),
    [
        ("9" * 400, "9" * 400),
        ("-" + "9" * 5000, "-" + "9" * 5000),
        ("1e400", "1e400"),
        ("-1E+400", "-1E+400"),
        ("1" + "0" * 30, 1e30),
        ("1e-999", 0.0),
    ],
)
def test_a_number_that_none_can_hold_becomes_its_digits(value: str, odd: Any) -> None:
    """The event is an event like any other."""
    for body in (body_with(value), body_with(value).encode()):
        (event,) = parse_webhook(body)
        assert isinstance(event, MessageEvent)
        assert ("5551", "hi [{", odd) == (event.user_id, event.text, event.raw["message"]["odd"])
        orjson.dumps(event.raw)


@pytest.mark.parametrize(
    "value", [DEEP, '{"a":' * 100_000 + "1" + "}" * 100_000, f"[{DEEP}, {DEEP}]"], ids=["arrays", "objects", "both"]
)
def test_what_is_nested_too_deeply_becomes_a_text(value: str) -> None:
    """However deep it is."""
    (event,) = parse_webhook(body_with(value))
    assert isinstance(event, MessageEvent)
    assert ("5551", "hi [{") == (event.user_id, event.text)
    orjson.dumps({"stored": event.raw})


def test_a_number_that_a_framework_has_decoded_becomes_its_digits() -> None:
    """As it is decoded from the body."""
    (event,) = parse_webhook(json.loads(body_with("9" * 400)))
    assert isinstance(event, MessageEvent)
    assert event.raw["message"]["odd"] == "9" * 400


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "9" * 400 + ", x", "[" * 300, "]" * 300])
def test_what_is_no_json_is_refused(value: str) -> None:
    """Though the lenient decoder reads the first two."""
    with pytest.raises(NotAWebhook):
        parse_webhook(body_with(value))
