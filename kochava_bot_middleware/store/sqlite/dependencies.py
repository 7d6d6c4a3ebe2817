"""What a batch of units depends on, read with one statement: ids seen before, lanes in use, leases held, marks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import orjson

from ..records import Condition, Entry, Unit
from . import statements as sql


@attrs.define(kw_only=True)
class Head:
    """A lane's first entry, as the units so far leave it."""

    entry: Entry
    place: int
    due_at: float
    token: str | None = None
    attempts: int = 0


@attrs.define(kw_only=True)
class Leased:
    """A head somebody claims to own, and the entry that follows it in its lane."""

    queue: str
    lane: str
    place: int
    token: str | None
    successor: Head | None


@attrs.define(kw_only=True)
class Dependencies:
    """
    The state before a batch; whoever decides its units keeps it up to date.

    Attributes:
        seen: Ids that were seen before.
        busy_lanes: Queue and lane of what is not empty.
        leased: By entry id.
        marks: Values by key, of those that conditions ask for.
        place: Of the next new entry.
    """

    seen: set[str]
    busy_lanes: set[tuple[str, str]]
    leased: dict[str, Leased]
    marks: dict[str, bytes]
    place: int


def read_dependencies(connection: sqlite3.Connection, units: Sequence[Unit], now: float) -> Dependencies:
    """All that *units* depend on."""
    appends = [entry for unit in units for entry in unit.appends]
    ids = [entry.id for entry in appends]
    lanes = list({(entry.queue, entry.lane) for entry in appends})
    settled = [settlement.claim.entry.id for unit in units for settlement in unit.settlements]
    keys = list({mark.key for unit in units for mark in unit.marks if mark.condition is not Condition.ALWAYS})
    arguments = (json_text(ids), json_text(lanes), json_text(settled), json_text(keys), now)
    seen, busy, leased, marks, place = connection.execute(sql.DEPENDENCIES, arguments).fetchone()
    found = Dependencies(
        seen={ids[index] for index in orjson.loads(seen)},
        busy_lanes={lanes[index] for index in orjson.loads(busy)},
        leased={},
        marks=marks_of(keys, marks),
        place=place,
    )
    _add_leased(connection, found, settled, orjson.loads(leased), now)
    return found


def _add_leased(
    connection: sqlite3.Connection, found: Dependencies, settled: Sequence[str], rows: Sequence[Any], now: float
) -> None:
    following = [row[-1] for row in rows if row[-1] is not None]
    successors = _heads_at(connection, following, now) if following else {}
    for index, queue, lane, place, token, next_place in rows:
        found.leased[settled[index]] = Leased(
            queue=queue, lane=lane, place=place, token=token, successor=successors.get(next_place)
        )
        found.busy_lanes.add((queue, lane))


def _heads_at(connection: sqlite3.Connection, places: Sequence[int], now: float) -> Mapping[int, Head]:
    heads = {}
    for place, *columns in connection.execute(sql.ENTRIES, (json_text(places),)):
        entry = entry_of(columns)
        heads[place] = Head(entry=entry, place=place, due_at=first_due_at(entry, now))
    return heads


def first_due_at(entry: Entry, now: float) -> float:
    """When an entry that nobody has claimed yet is due."""
    return now if entry.due_at is None else max(now, entry.due_at)


def entry_of(columns: Sequence[Any]) -> Entry:
    """The entry whose columns a statement of `sqlite_statements` has read."""
    entry_id, queue, lane, schema, created_at, due_at, body = columns
    return Entry(id=entry_id, queue=queue, lane=lane, schema=schema, created_at=created_at, due_at=due_at, body=body)


def marks_of(keys: Sequence[str], answer: str) -> dict[str, bytes]:
    """The marks in the answer of a statement that was given *keys*."""
    return {keys[index]: bytes.fromhex(value) for index, value in orjson.loads(answer)}


def json_text(values: Iterable[object]) -> str:
    """A list as a statement takes it."""
    return orjson.dumps(list(values)).decode()
