"""
A group of units in one transaction: read once what they depend on, decide with `CommitPlan`, write once.

Also how lists of values are passed to the statements: as JSON, without the characters that SQLite's JSON cannot pass.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import orjson

from ..day_counts import DayCounts
from ..plan import ENDED, CommitPlan, Lane, QueuedEntry, Snapshot, StoredHead
from ..records import Committed, Condition, Entry, EntryState, Mark, Unit
from ..settings import NewToken
from . import statements as sql
from .errors import Emptied

MOST_ROWS = 64
"""Rows of one INSERT: some hundred values, far below the limit of any SQLite."""

MOST_PADDING = 8
"""Empty rows of one INSERT: more of them cost more than another statement, for 33 rows as much as these once more."""

_NUL_OR_ESCAPE = "\\u000"
"""How each of both begins in JSON. Other control characters begin so too, which does no harm."""


def commit_units(
    connection: sqlite3.Connection, units: Sequence[Unit], now: float, *, new_token: NewToken, dedupe_seconds: float
) -> list[Committed]:
    """Commit *units*, in order, within the transaction of the caller."""
    snapshot, leftovers = _read(connection, units, now, dedupe_seconds)
    plan = CommitPlan(snapshot, new_token)
    answers = [plan.decide(unit) for unit in units]
    _write(connection, plan, leftovers)
    return answers


def write_marks(connection: sqlite3.Connection, marks: Iterable[Mark], now: float) -> None:
    """Set and delete state entries, whatever the conditions."""
    rows: list[tuple[str, bytes, float | None]] = []
    deleted: list[str] = []
    for mark in marks:
        if mark.value is None:
            deleted.append(mark.key)
        else:
            after = mark.expires_after_seconds
            rows.append((mark.key, mark.value, None if after is None else now + after))
    if rows:
        insert(connection, sql.MARKS, rows, sql.REPLACE_MARK)
    if deleted:
        passed = json_of_texts(deleted)
        connection.execute(sql.delete_marks(escaped=is_escaped(passed)), (passed,))


def next_place(connection: sqlite3.Connection) -> int:
    """The next place."""
    (place,) = connection.execute(sql.NEXT_PLACE).fetchone()
    if place is None:
        raise Emptied
    return int(place)


def recall(connection: sqlite3.Connection, now: float, *, keys: Sequence[str]) -> dict[str, bytes]:
    """The values of those state entries that exist and have not expired."""
    passed = json_of_texts(keys)
    (answer,) = connection.execute(sql.recall(escaped=is_escaped(passed)), (passed, now)).fetchone()
    return _values_of(keys, answer)


def add_counts(connection: sqlite3.Connection, counts: Mapping[tuple[str, str], int]) -> None:
    """Add to the counts, given by queue and name."""
    rows = [
        (queue, *[counts.get((queue, name), 0) for name in ("accepted", "done", "dead", "dropped", "retried")])
        for queue in {queue for queue, _ in counts}
    ]
    insert(connection, sql.COUNTS, rows, sql.ADD_COUNTS)


def add_day_counts(connection: sqlite3.Connection, counts: DayCounts) -> None:
    """Add to the counters by day."""
    insert(connection, sql.DAY_COUNTS, counts.changes(), sql.ADD_DAY_COUNTS)


def _values_of(keys: Sequence[str], answer: str) -> dict[str, bytes]:
    """The state entries in the answer of a statement that was given *keys*."""
    return {keys[index]: bytes.fromhex(value) for index, value in orjson.loads(answer)}


def entry_of(columns: Sequence[Any]) -> Entry:
    """The entry of the columns `statements.ENTRY`."""
    entry_id, queue, lane, schema, kind, name, label, created_at, body = columns
    return Entry(
        id=entry_id,
        queue=queue,
        lane=lane,
        schema=schema,
        kind=kind,
        name=name,
        label=label,
        created_at=created_at,
        body=body,
    )


@attrs.define
class _Leftovers:
    """
    What is known of rows that count as absent.

    Attributes:
        ids: Of stored entries that need not be remembered any more.
        absent_keys: Of state entries that have a condition, those of which there is no row, expired or not.
    """

    ids: set[str]
    absent_keys: set[str]


def _read(
    connection: sqlite3.Connection, units: Sequence[Unit], now: float, dedupe_seconds: float
) -> tuple[Snapshot, _Leftovers]:
    """What the units depend on."""
    ids, settled, lanes, absent_keys = _dependencies(units)
    keys = list(absent_keys)
    passed = (json_of_texts(ids), json_of_groups(lanes), json_of_texts(keys))
    statement = sql.snapshot(escaped=is_escaped(*passed))
    stored, stored_heads, stored_marks, next_place = connection.execute(
        statement, (*passed, now, now - dedupe_seconds)
    ).fetchone()
    if next_place is None:
        raise Emptied
    seen: set[str] = set()
    lapsed: set[str] = set()
    for index, is_lapsed in orjson.loads(stored):
        (lapsed if is_lapsed else seen).add(ids[index])
    heads: dict[Lane, StoredHead] = {}
    following: dict[int, Lane] = {}
    for queue, index, place, entry_id, token, attempts, next_in_lane in orjson.loads(stored_heads):
        of_lane = (queue, lanes[queue][index])
        heads[of_lane] = StoredHead(place=place, id=entry_id, token=token, attempts=attempts)
        if next_in_lane is not None and of_lane in settled:
            following[next_in_lane] = of_lane
    values: dict[str, bytes] = {}
    for index, value, is_expired in orjson.loads(stored_marks):
        absent_keys.discard(keys[index])
        if not is_expired:
            values[keys[index]] = bytes.fromhex(value)
    snapshot = Snapshot(
        now=now,
        heads=heads,
        successors=_successors(connection, following, now) if following else {},
        seen=frozenset(seen),
        places=itertools.count(next_place),
        values=values,
    )
    return snapshot, _Leftovers(lapsed, absent_keys)


def _dependencies(units: Sequence[Unit]) -> tuple[list[str], set[Lane], dict[str, list[str]], set[str]]:
    """The ids that are appended, the lanes that something is settled in, all lanes by queue, and the checked keys."""
    ids: list[str] = []
    settled: set[Lane] = set()
    appended: set[Lane] = set()
    keys: set[str] = set()
    for unit in units:
        for settlement in unit.settlements:
            entry = settlement.claim.entry
            settled.add((entry.queue, entry.lane))
        for entry in unit.appends:
            ids.append(entry.id)
            appended.add((entry.queue, entry.lane))
        for mark in unit.marks:
            if mark.condition is not Condition.ALWAYS:
                keys.add(mark.key)
    lanes: defaultdict[str, list[str]] = defaultdict(list)
    for queue, lane in settled | appended:
        lanes[str(queue)].append(lane)  # orjson takes no member of an enum as a key
    return ids, settled, lanes, keys


def _successors(connection: sqlite3.Connection, lanes: Mapping[int, Lane], now: float) -> Mapping[Lane, QueuedEntry]:
    """The entries at the given places, by lane."""
    rows = connection.execute(sql.SUCCESSORS, (json_of(lanes),))
    return {
        lanes[place]: QueuedEntry(entry=entry_of(columns), place=place, due_at=max(now, due_at))
        for place, due_at, *columns in rows
    }


def _write(connection: sqlite3.Connection, plan: CommitPlan, leftovers: _Leftovers) -> None:
    if plan.appended:
        repeated = leftovers.ids and leftovers.ids.intersection(queued.entry.id for queued in plan.appended)
        if repeated:
            connection.execute(sql.DELETE_ENTRIES, (json_of_texts(repeated),))
        insert(connection, sql.NEW_ENTRIES, map(_entry_row, plan.appended))
    if plan.settled:
        _end_entries(connection, plan)
    _write_heads(connection, plan)
    absent_keys = leftovers.absent_keys
    marks = [mark for mark in plan.marks.values() if mark.value is not None or mark.key not in absent_keys]
    write_marks(connection, marks, plan.snapshot.now)
    add_counts(connection, plan.counts)
    add_day_counts(connection, plan.day_counts)


def _end_entries(connection: sqlite3.Connection, plan: CommitPlan) -> None:
    """End heads, with one statement for all that end alike."""
    places: defaultdict[tuple[EntryState, int, str, str], list[int]] = defaultdict(list)
    for head, settlement in plan.settled:
        end = (ENDED[settlement.outcome], head.attempts, settlement.reason, settlement.detail)
        places[end].append(head.place)
    for end, ended in places.items():
        connection.execute(sql.END_ENTRIES, (json_of(ended), *end, plan.snapshot.now))
    connection.execute(sql.DELETE_HEADS, (json_of(head.place for head, _ in plan.settled),))


def _write_heads(connection: sqlite3.Connection, plan: CommitPlan) -> None:
    new: list[QueuedEntry] = []
    returned: list[tuple[object, ...]] = []
    for (queue, _), change in plan.lanes.items():
        if change.head is not None:
            new.append(change.head)
        elif change.returned is not None and change.stored is not None:
            back = change.returned
            returned.append((back.due_at, int(back.is_uncounted), back.reason, back.detail, queue, change.stored.place))
    insert(connection, sql.HEADS, map(_head_row, new))
    if returned:
        connection.executemany(sql.RETURN_HEAD, returned)


def _entry_row(queued: QueuedEntry) -> tuple[object, ...]:
    entry = queued.entry
    about = (entry.id, entry.queue, entry.lane, entry.schema, entry.kind, entry.name, entry.label, entry.created_at)
    return (queued.place, *about, queued.due_at, entry.body)


def _head_row(head: QueuedEntry) -> tuple[object, ...]:
    entry = head.entry
    is_leased = head.token is not None
    return (entry.queue, head.place, entry.created_at, is_leased, head.due_at, head.token, head.attempts, "", "")


def json_of(numbers: Iterable[int]) -> str:
    """Integers, as a statement takes them."""
    return _json(list(numbers))


def json_of_texts(texts: Iterable[str]) -> str:
    """Texts, as a statement takes them."""
    texts = list(texts)
    passed = _json(texts)
    return _json(list(map(_escaped, texts))) if is_escaped(passed) else passed


def json_of_groups(groups: Mapping[str, Sequence[str]]) -> str:
    """Lists of texts by another text, as a statement takes them."""
    passed = _json(groups)
    if is_escaped(passed):
        escaped = {_escaped(key): list(map(_escaped, texts)) for key, texts in groups.items()}
        return _json(escaped)
    return passed


def is_escaped(*passed: str) -> bool:
    """Whether there may be escaped texts in what is passed to a statement."""
    every = "".join(passed)
    # To look for one character first costs a hundredth.
    return "\\" in every and _NUL_OR_ESCAPE in every


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        message = "a text holds half a character (a lone surrogate)"
        raise UnicodeError(message) from None


def _escaped(text: str) -> str:
    """The text without NUL characters, at which the JSON functions of SQLite would cut it; `text_of` undoes this."""
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x03")


def insert(connection: sqlite3.Connection, into: str, rows: Iterable[Sequence[object]], then: str = "") -> None:
    """
    Insert rows, whose first column is never ``None``, with few statements.

    Each statement releases the interpreter and takes it again, for which a busy event loop makes the writer wait. So
    the cost of a commit is the number of its statements, and ``executemany`` is one for each row.

    Args:
        into: Table, and columns unless they are all given.
        then: The rest of the statement, such as ``ON CONFLICT …``.
    """
    rows = list(rows)
    first = 0
    while first < len(rows):
        left = min(len(rows) - first, MOST_ROWS)
        # Padded with empty rows to a power of two, so that few different statements are ever prepared.
        size = 1 << (left - 1).bit_length()
        if size - left > MOST_PADDING:
            size //= 2
        some = rows[first : first + size]
        first += size
        width = len(some[0])
        padding = (None,) * ((size - len(some)) * width)
        connection.execute(sql.insertion(into, width, size, then), (*itertools.chain.from_iterable(some), *padding))
