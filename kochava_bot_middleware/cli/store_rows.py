"""The rows of a store: how they are walked, and what of them may be shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from ..kochava.records import Engagement, Ping, Record, UnknownRecord, UnreadableRecord, decode
from ..store.contract import Store
from ..store.records import EntryState, Listed, Queue
from ..tracking.state import Timer

PAGE = 500
"""Rows read at once."""

OUTBOX = (Queue.TRACK, Queue.PING)
"""The queues whose bodies are records for Kochava."""

LISTED_STATES = (EntryState.IN_FLIGHT, EntryState.DEAD, EntryState.DROPPED, EntryState.WAITING)
"""The states of rows that still exist."""


async def every_row(
    store: Store, queue: str, *, state: EntryState | None = None, lane: str | None = None
) -> AsyncIterator[Listed]:
    """
    All rows, each once, also while others take some of them away.

    `Store.browse` gives nothing after a row that was removed or, being put back, is last by now. Then the walk steps
    back to a row that is where it was.
    """
    seen: set[str] = set()
    anchors: list[str] = []
    while True:
        after = anchors[-1] if anchors else None
        page = await store.browse(queue, state=state, lane=lane, limit=PAGE, after=after)
        fresh = [row for row in page if row.entry.id not in seen]
        seen.update(row.entry.id for row in fresh)
        for row in fresh:
            yield row
        if fresh or len(page) == PAGE:
            anchors = [row.entry.id for row in page]
        elif page or not anchors:
            return
        else:
            anchors.pop()


def what_of(row: Listed) -> str:
    """What a row holds, by name: the kind of record and the event's name. Never anything of its content."""
    if row.entry.queue == Queue.TIMER:
        timer = Timer.from_bytes(row.entry.body)
        return "wait for a delivery" if timer is not None or not row.entry.body else "unreadable"
    if row.entry.queue not in OUTBOX or not row.entry.body:
        return ""
    try:
        record = decode(row.entry.body)
    except UnreadableRecord:
        return "unreadable"
    except UnknownRecord:
        return "of a newer release"
    return name_of(record)


def name_of(record: Record) -> str:
    """A record by name."""
    match record:
        case Engagement():
            return f"event {record.event_name!r}"
        case Ping():
            return f"{record.kind} of {record.tracker}"
        case _:
            return record.kind


def fields_of(row: Listed) -> dict[str, Any]:
    """What may be listed of a row, for JSON: ids, names and times, no content."""
    return {
        "id": row.entry.id,
        "queue": row.entry.queue,
        "lane": row.entry.lane,
        "state": str(row.state),
        "what": what_of(row),
        "attempts": row.attempts,
        "created_at": iso(row.entry.created_at),
        "due_at": iso(row.due_at),
        "ended_at": iso(row.ended_at),
        "reason": row.reason,
    }


def exported(row: Listed) -> dict[str, Any]:
    """A whole row, for JSON. A webhook's event is never in it."""
    return {**fields_of(row), "detail": row.detail, "schema": row.entry.schema, "body": body_of(row)}


def body_of(row: Listed) -> Mapping[str, Any] | None:
    """The stored record; ``None`` when it is erased, private or cannot be read."""
    if row.entry.queue not in (*OUTBOX, Queue.TIMER) or not row.entry.body:
        return None
    try:
        body = orjson.loads(row.entry.body)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def iso(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return str(seconds)
