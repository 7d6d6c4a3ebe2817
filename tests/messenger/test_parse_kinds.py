"""Each kind has a class and a sample."""

from __future__ import annotations

import pytest

from kochava_bot_middleware.messenger import events
from kochava_bot_middleware.messenger.events import Event, Kind
from kochava_bot_middleware.messenger.parsing.webhook import parse_webhook
from tests.strategies import ITEMS, PERSON_ID, only, webhook


@pytest.mark.parametrize("name", [name for name in ITEMS if name in set(Kind)])
def test_sample_is_read_as_its_kind(name: str) -> None:
    """The name of a sample is its kind."""
    (event,) = parse_webhook(webhook(ITEMS[name], under="changes" if "field" in ITEMS[name] else "messaging"))
    assert Kind(name) == event.kind


def test_samples_cover_every_kind() -> None:
    """No kind is without a sample."""
    assert set(Kind) <= set(ITEMS)


def test_every_kind_has_one_class() -> None:
    """No two classes have the same kind."""
    classes = [value for value in vars(events).values() if isinstance(value, type) and issubclass(value, Event)]
    abstract = {events.Event, events.ContentEvent, events.ThreadControlEvent}
    assert sorted(Kind) == sorted(cls.kind for cls in classes if cls not in abstract)


def test_kind_of_tomorrow() -> None:
    """An item without a known key is an unknown event of its person."""
    event = only(events.UnknownEvent, ITEMS["unknown"])
    assert (PERSON_ID, ITEMS["unknown"]) == (event.user_id, event.raw)
