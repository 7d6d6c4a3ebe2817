"""The stored form of an event."""

from __future__ import annotations

from typing import Any

import orjson

from ..clock import time_digits
from ..messenger.events import Channel, Event
from ..messenger.parsing.webhook import parse_item
from ..store.records import Entry, Queue

SCHEMA = 1
"""Version of the stored form of an event. An entry of a newer one is left to the release that wrote it."""


class CorruptEntry(ValueError):
    """A stored event cannot be read."""


def id_of(event: Event) -> str:
    """The entry's id: the same for each delivery of *event*, whose time is that of what happened."""
    return f"inbox/{time_digits(event.timestamp)}/{event.key}"


def entry_of(event: Event, now: float, request: Any = None) -> Entry:
    """What is stored of *event* at *now*, in seconds since the epoch, and of the *request* with which it came."""
    item = {"channel": event.channel, "page_id": event.page_id, "standby": event.standby, "item": event.raw}
    if request is not None:
        item["request"] = request
    return Entry(
        id=id_of(event),
        queue=Queue.INBOX,
        # What concerns no person needs no order, so each such event has a lane of its own.
        lane=f"{event.page_id}/{event.user_id or event.key}",
        schema=SCHEMA,
        created_at=now,
        body=orjson.dumps(item, default=_plain),
    )


def event_of(entry: Entry, attempt: int = 1) -> Event:
    """
    The event that was stored as *entry*.

    Raises:
        CorruptEntry: The bytes are not what `entry_of` writes.
    """
    try:
        stored = orjson.loads(entry.body)
        item, page_id, standby = stored["item"], stored["page_id"], stored["standby"]
        if not (isinstance(item, dict) and isinstance(page_id, str | None) and isinstance(standby, bool)):
            raise CorruptEntry(entry.id)
        return parse_item(item, channel=Channel(stored["channel"]), page_id=page_id, standby=standby, attempt=attempt)
    except (ValueError, KeyError, TypeError) as exc:
        # The cause may quote the bytes.
        raise CorruptEntry(entry.id) from (exc if isinstance(exc, CorruptEntry) else None)


def request_of(entry: Entry) -> Any:
    """What was stored with an event; ``None`` if nothing was."""
    return orjson.loads(entry.body).get("request")


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "keys") else str(value)
