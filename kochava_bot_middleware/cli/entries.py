"""Reading a store's entries: opening it, listing all of them, and what may be shown of one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol, runtime_checkable

import orjson

from ..clock import Clock
from ..exceptions import KochavaBotError, SettingsError, StoreUnavailable, Violation
from ..kochava.records import Engagement, Ping, Record, UnknownRecord, UnreadableRecord, decode
from ..store.contract import Store
from ..store.records import OUTBOX, EntryState, Listed, Queue
from ..store.sqlite.store import SqliteStore
from ..tracking.settings import KochavaSettings
from ..tracking.state import Timer
from .output import iso

PAGE = 500
"""Entries read at once."""

SHOWN_IDS = 5
"""Ids in an error at most."""


@runtime_checkable
class Preparable(Protocol):
    """A store that must be prepared once, such as by creating its tables."""

    async def init(self) -> None:
        """Prepare it. Idempotent."""


@asynccontextmanager
async def opened(
    settings: KochavaSettings, clock: Clock, *, create: bool = False, only_reads: bool = False
) -> AsyncIterator[Store]:
    """
    The store that the settings name, open.

    Args:
        create: Create it if it does not exist.
        only_reads: It is not written, so that a store which this user may only read will do.

    Raises:
        SettingsError: It is in the memory of one process, which no command can read.
        StoreUnavailable: It cannot be opened, or does not exist.
    """
    place = settings.kept_in
    if place.is_memory:
        wanted = "a store that processes can share"
        raise SettingsError([Violation(key="kochava.store", wanted=wanted, got=repr(place.address))])
    store = place.make(clock)
    if not create and isinstance(store, SqliteStore) and not store.path.exists():
        # Opening it would create an empty one.
        msg = f"there is no store at {store.path}; a bot creates it when it starts, or `kochava-bot store init`"
        raise StoreUnavailable(msg)
    try:
        if create and isinstance(store, Preparable):
            await store.init()
        if not only_reads:
            await store.open()
        yield store
    finally:
        await store.close()


async def every_entry(
    store: Store, queue: str, *, state: EntryState | None = None, lane: str | None = None
) -> AsyncIterator[Listed]:
    """
    All entries of a queue, each once, also while others remove some of them.

    `Store.browse` returns nothing after an entry that was removed or that, being put back, is the last one by now.
    Reading then goes on after an earlier entry that is still where it was.
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


async def whole_ids(store: Store, starts: Collection[str], *, state: EntryState | None = None) -> dict[str, str]:
    """
    The ids of entries by what is given of each: its beginning, if only one id begins so, or all of it.

    Args:
        state: Only ids of entries in this state; by default of all but those that are done. Where a whole id is given,
            the state is not looked at.

    Returns:
        What is given is missing where no id begins so.

    Raises:
        KochavaBotError: Several ids begin so.
    """
    found = {start: start for start in starts if start and await store.find(start) is not None}
    matches: dict[str, list[str]] = {start: [] for start in starts if start and start not in found}
    queues = dict.fromkeys([*map(str, Queue), *await store.stats()]) if matches else {}
    for queue in queues:
        async for row in every_entry(store, queue, state=state):
            for start, ids in matches.items():
                if row.entry.id.startswith(start):
                    ids.append(row.entry.id)
    for start, ids in matches.items():
        if len(ids) > 1:
            shown = ", ".join(ids[:SHOWN_IDS]) + (", …" if len(ids) > SHOWN_IDS else "")
            msg = f"{start!r} is the beginning of {len(ids)} ids, give more of it: {shown}"
            raise KochavaBotError(msg)
        if ids:
            found[start] = ids[0]
    return found


def summary_of(row: Listed) -> str:
    """What an entry holds: the kind of record and the event's name, nothing of its content."""
    if row.entry.queue == Queue.TIMER:
        timer = Timer.from_bytes(row.entry.body)
        return "wait for a delivery" if timer is not None or not row.entry.body else "unreadable"
    if row.entry.queue not in OUTBOX:
        return ""
    if not row.entry.body:
        # The kind and the name outlive the body.
        return f"event {row.entry.name!r}" if row.entry.name else row.entry.kind
    try:
        record = decode(row.entry.body)
    except UnreadableRecord:
        return "unreadable"
    except UnknownRecord:
        return "of a newer release"
    return record_name(record)


def record_name(record: Record) -> str:
    """The kind of a record, with the name of an event."""
    match record:
        case Engagement():
            return f"event {record.event_name!r}"
        case Ping():
            return f"{record.kind} of {record.tracker}"
        case _:
            return record.kind


def fields_of(row: Listed) -> dict[str, Any]:
    """What a listing may show of an entry, for JSON: ids, names and times, no content."""
    return {
        "id": row.entry.id,
        "queue": row.entry.queue,
        "lane": row.entry.lane,
        "state": str(row.state),
        "what": summary_of(row),
        "attempts": row.attempts,
        "created_at": iso(row.entry.created_at),
        "due_at": iso(row.due_at),
        "ended_at": iso(row.ended_at),
        "reason": row.reason,
    }


def body_of(row: Listed) -> Mapping[str, Any] | None:
    """The stored record; ``None`` when it is erased, a webhook's event, or cannot be read."""
    if row.entry.queue not in (*OUTBOX, Queue.TIMER) or not row.entry.body:
        return None
    try:
        body = orjson.loads(row.entry.body)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None
