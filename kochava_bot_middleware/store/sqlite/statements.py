"""
The SQL of the SQLite store, and how lists of values are passed to it.

A list is passed as one JSON array, so that a group of commits of any size needs only a few prepared statements.
"""

# ruff: noqa: S608 - statements are made from constants of this module, never from input

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain, islice

import orjson

from ..records import EntryState

MOST_ROWS = 64
"""Rows of one INSERT: some hundred values, far below the limit of any SQLite."""


def json_of(values: Iterable[int | tuple[str, str]]) -> str:
    """Integers, or pairs of texts, as a statement takes them."""
    return orjson.dumps([value if isinstance(value, int) else tuple(map(_escaped, value)) for value in values]).decode()


def json_of_texts(texts: Iterable[str]) -> str:
    """Texts, as a statement takes them."""
    return orjson.dumps([_escaped(text) for text in texts]).decode()


def _escaped(text: str) -> str:
    """The text without NUL characters, at which the JSON functions of SQLite would cut it; `text_of` undoes this."""
    return text.replace("\x01", "\x01\x02").replace("\x00", "\x01\x03")


def text_of(value: str) -> str:
    """The SQL expression for a text that was passed within JSON, where *value* is the expression for it there."""
    return f"replace(replace({value}, char(1, 3), char(0)), char(1, 2), char(1))"


def insert(connection: sqlite3.Connection, into: str, rows: Iterable[Sequence[object]], then: str = "") -> None:
    """
    Insert rows, whose first column is never ``None``, with few statements.

    Each statement releases the interpreter and takes it again, for which a busy event loop makes the writer wait. So
    the cost of a commit is the number of its statements, and ``executemany`` is one for each row.

    Args:
        into: Table, and columns unless they are all given.
        then: The rest of the statement, such as ``ON CONFLICT …``.
    """
    remaining = iter(rows)
    while some := list(islice(remaining, MOST_ROWS)):
        # Padded with empty rows to a power of two, so that few different statements are ever prepared.
        size = 1 << (len(some) - 1).bit_length()
        width = len(some[0])
        padding = (None,) * ((size - len(some)) * width)
        connection.execute(_insertion(into, width, size, then), (*chain.from_iterable(some), *padding))


@cache
def _insertion(into: str, width: int, size: int, then: str) -> str:
    row = f"({', '.join('?' * width)})"
    rows = ", ".join([row] * size)
    return f"INSERT INTO {into} SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL {then}"


ENTRY = "e.id, e.queue, e.lane, e.schema, e.kind, e.name, e.created_at, e.body"
"""The columns of an `Entry`, always in this order."""

IS_ONLY_AN_ID = "(state = 'done' OR purged = 1)"
"""Of a row: nothing but the id is to be kept, and only for as long as ids are remembered."""

# A group of commits.

SNAPSHOT = f"""
SELECT (
    SELECT json_group_array(json_array(ids.key, {IS_ONLY_AN_ID} AND ended_at <= ?6))
    FROM json_each(?1) AS ids CROSS JOIN entries ON entries.id = {text_of("ids.value")}
), (
    SELECT json_group_array(json_array(lanes.key, heads.place, own.id, heads.token, heads.attempts,
        CASE WHEN lanes.key < ?3 THEN (
            SELECT MIN(place) FROM entries WHERE lane = heads.lane AND queue = heads.queue AND place > heads.place
            AND state IS NULL) END))
    FROM json_each(?2) AS lanes
    CROSS JOIN heads ON heads.queue = {text_of("json_extract(lanes.value, '$[0]')")}
        AND heads.lane = {text_of("json_extract(lanes.value, '$[1]')")}
    CROSS JOIN entries AS own ON own.place = heads.place
), (
    SELECT json_group_array(json_array(keys.key, hex(marks.value)))
    FROM json_each(?4) AS keys CROSS JOIN marks ON marks.key = {text_of("keys.value")}
    WHERE expires_at IS NULL OR expires_at > ?5
), (
    SELECT next FROM places
)
"""
"""
What a group of units depends on: ids of ?1, heads of the lanes of ?2 (with successors of the first ?3 of them), state
entries of ?4, and the next place. Ids, lanes and keys are answered by their index.
"""

SUCCESSORS = f"SELECT e.place, e.due_at, {ENTRY} FROM entries AS e WHERE e.place IN (SELECT value FROM json_each(?))"

DELETE_ENTRIES = f"DELETE FROM entries WHERE id IN (SELECT {text_of('value')} FROM json_each(?))"

NEW_ENTRIES = "entries (place, id, queue, lane, schema, kind, name, created_at, due_at, body)"

NEXT_PLACE = "SELECT next FROM places"

SET_NEXT_PLACE = "UPDATE places SET next = ?"

END_ENTRIES = """
UPDATE entries SET state = ?2, attempts = ?3, reason = ?4, detail = ?5, ended_at = ?6,
    body = CASE WHEN ?2 = 'dead' THEN body ELSE x'' END
WHERE place IN (SELECT value FROM json_each(?1))
"""

HEADS = "heads (queue, lane, place, leased, due_at, token, attempts)"

REPLACE_HEAD = """
ON CONFLICT (queue, lane) DO UPDATE SET place = excluded.place, leased = excluded.leased, due_at = excluded.due_at,
token = excluded.token, attempts = excluded.attempts, reason = '', detail = ''
"""

DELETE_HEADS = """
DELETE FROM heads WHERE (queue, lane) IN (
    SELECT queue, lane FROM entries WHERE place IN (SELECT value FROM json_each(?)))
"""

RETURN_HEAD = """
UPDATE heads SET leased = 0, token = NULL, due_at = ?1, attempts = attempts - ?2, reason = ifnull(?3, reason),
    detail = ifnull(?4, detail)
WHERE queue = ?5 AND lane = ?6
"""

MARKS = "marks (key, value, expires_at)"

REPLACE_MARK = "ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"

DELETE_MARK = "DELETE FROM marks WHERE key = ?"

COUNTS = "counts (queue, accepted, done, dead, dropped)"

ADD_COUNTS = """
ON CONFLICT (queue) DO UPDATE SET accepted = accepted + excluded.accepted, done = done + excluded.done,
dead = dead + excluded.dead, dropped = dropped + excluded.dropped
"""

# Claims.

DUE_HEADS = f"""
SELECT heads.attempts, {ENTRY} FROM (
    SELECT * FROM (SELECT lane, place, due_at FROM heads
        WHERE queue = ?1 AND leased = 0 AND due_at <= ?2 ORDER BY due_at, place LIMIT ?3)
    UNION ALL
    SELECT * FROM (SELECT lane, place, due_at FROM heads
        WHERE queue = ?1 AND leased = 1 AND due_at <= ?2 ORDER BY due_at, place LIMIT ?3)
    ORDER BY due_at, place LIMIT ?3) AS due
CROSS JOIN heads ON heads.queue = ?1 AND heads.lane = due.lane CROSS JOIN entries AS e ON e.place = due.place
ORDER BY due.due_at, due.place
"""

LEASE_HEAD = "UPDATE heads SET leased = 1, token = ?, due_at = ?, attempts = ? WHERE queue = ? AND lane = ?"

RENEW_HEAD = "UPDATE heads SET due_at = ? WHERE token = ? AND queue = ? AND lane = ?"

NEXT_DUE = """
SELECT MIN(due_at) FROM (
    SELECT * FROM (SELECT due_at FROM heads WHERE queue = ?1 AND leased = 0 ORDER BY due_at LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT due_at FROM heads WHERE queue = ?1 AND leased = 1 ORDER BY due_at LIMIT 1))
"""

# Reading.

RECALL = f"""
SELECT json_group_array(json_array(keys.key, hex(marks.value)))
FROM json_each(?1) AS keys CROSS JOIN marks ON marks.key = {text_of("keys.value")}
WHERE expires_at IS NULL OR expires_at > ?2
"""

READ_COUNTS = "SELECT queue, accepted, done, dead, dropped FROM counts"

IN_FLIGHT = "SELECT COUNT(*) FROM heads WHERE queue = ? AND leased = 1 AND due_at > ?"

FIRST_WAITING = """
SELECT created_at FROM entries INDEXED BY entries_living WHERE queue = ? AND state IS NULL ORDER BY place LIMIT 1
"""
"""The first entry of a queue is the head of its lane."""

_LISTED = f"""
SELECT e.place AS place, {ENTRY}, CASE WHEN e.state IS NOT NULL THEN e.state
        WHEN heads.leased = 1 AND heads.due_at > :now THEN 'in flight' ELSE 'waiting' END,
    ifnull(heads.attempts, e.attempts), ifnull(heads.reason, e.reason), ifnull(heads.detail, e.detail),
    CASE WHEN e.state IS NULL THEN ifnull(heads.due_at, e.due_at) END, e.ended_at
"""
_WITH_HEADS = "LEFT JOIN heads ON heads.queue = e.queue AND heads.lane = e.lane AND heads.place = e.place"

FIND = f"""
{_LISTED} FROM entries AS e {_WITH_HEADS}
WHERE e.id = :id AND e.purged = 0 AND NOT (e.state IS 'done' AND e.ended_at <= :forgotten_at)
"""

PLACE_OF = f"SELECT place FROM entries WHERE id = ? AND NOT ifnull({IS_ONLY_AN_ID} AND ended_at <= ?, 0)"

_LIVING = f"{_LISTED} FROM entries AS e INDEXED BY entries_living {_WITH_HEADS} WHERE e.state IS NULL"

_KEPT = f"""
{_LISTED} FROM entries AS e INDEXED BY entries_kept {_WITH_HEADS}
WHERE e.state IN ('dead', 'dropped') AND e.purged = 0
"""

_IS_WAITING = "NOT ifnull(heads.leased = 1 AND heads.due_at > :now, 0)"

_IN_FLIGHT = f"""
{_LISTED} FROM heads CROSS JOIN entries AS e ON e.place = heads.place
WHERE heads.queue = :queue AND heads.leased = 1 AND heads.due_at > :now
"""

_DONE = f"{_LISTED} FROM entries AS e NOT INDEXED {_WITH_HEADS} WHERE e.state = 'done' AND e.purged = 0"

_LANE = f"{_LISTED} FROM entries AS e INDEXED BY entries_by_lane {_WITH_HEADS} WHERE e.lane = :lane AND e.purged = 0"

_PAGES = {
    None: (_LIVING, _KEPT),
    EntryState.WAITING: (f"{_LIVING} AND {_IS_WAITING}",),
    EntryState.IN_FLIGHT: (_IN_FLIGHT,),
    EntryState.DONE: (_DONE,),
    EntryState.DEAD: (f"{_KEPT} AND e.state = 'dead'",),
    EntryState.DROPPED: (f"{_KEPT} AND e.state = 'dropped'",),
}
_PAGES_OF_A_LANE = {
    None: f"{_LANE} AND e.state IS NOT 'done'",
    EntryState.WAITING: f"{_LANE} AND e.state IS NULL AND {_IS_WAITING}",
    EntryState.IN_FLIGHT: f"{_IN_FLIGHT} AND e.lane = :lane",
    EntryState.DONE: f"{_LANE} AND e.state = 'done'",
    EntryState.DEAD: f"{_LANE} AND e.state = 'dead'",
    EntryState.DROPPED: f"{_LANE} AND e.state = 'dropped'",
}


@cache
def page(state: EntryState | None, *, of_lane: bool) -> str:
    """The statement of a page of `Store.browse`. Each part of it stops after as many rows as the page has."""
    parts = (_PAGES_OF_A_LANE[state],) if of_lane else _PAGES[state]
    limited = (
        f"SELECT * FROM ({part} AND e.queue = :queue AND e.place > :after ORDER BY e.place LIMIT :limit)"
        for part in parts
    )
    return f"{' UNION ALL '.join(limited)} ORDER BY place LIMIT :limit"


# Upkeep.

FIND_DEAD = "SELECT place, queue, lane FROM entries WHERE id = ? AND state = 'dead' AND purged = 0"

REVIVE = """
UPDATE entries SET place = ?1, due_at = ?2, state = NULL, attempts = 0, reason = '', detail = '', ended_at = NULL
WHERE place = ?3
"""

KEEP_HEAD = "ON CONFLICT DO NOTHING"

_IN_LANES = f"lane IN (SELECT {text_of('value')} FROM json_each(:lanes))"

_UNSENT = "(state IS NULL OR state = 'dead' AND purged = 0)"

COUNT_UNSENT = f"SELECT queue, state, COUNT(*) FROM entries WHERE {_IN_LANES} AND {_UNSENT} GROUP BY queue, state"

DROP_UNSENT = f"""
UPDATE entries SET state = 'dropped', reason = :reason, ended_at = :now, attempts = CASE WHEN state IS NULL THEN
    ifnull((SELECT heads.attempts FROM heads WHERE heads.queue = entries.queue AND heads.lane = entries.lane
        AND heads.place = entries.place), 0) ELSE attempts END
WHERE {_IN_LANES} AND {_UNSENT}
"""

DELETE_HEADS_OF_LANES = f"""
DELETE FROM heads WHERE (queue, lane) IN (SELECT queue, lane FROM entries WHERE {_IN_LANES})
"""

BLANK_ENTRIES = f"UPDATE entries SET lane = '', name = '', detail = '', body = x'' WHERE {_IN_LANES}"

PURGE = """
UPDATE entries SET purged = 1, name = '', detail = '', body = x'' WHERE place IN (
    SELECT place FROM entries INDEXED BY entries_kept_by_time
    WHERE state IN ('dead', 'dropped') AND purged = 0 AND ended_at < ? LIMIT ?)
"""

SWEEP_IDS = f"""
DELETE FROM entries WHERE place IN (
    SELECT place FROM entries INDEXED BY entries_ids_by_time WHERE {IS_ONLY_AN_ID} AND ended_at <= ? LIMIT ?)
"""

SWEEP_MARKS = """
DELETE FROM marks WHERE key IN (SELECT key FROM marks WHERE expires_at IS NOT NULL AND expires_at <= ? LIMIT ?)
"""

SHORTEN_WAITS = """
UPDATE heads SET due_at = ?2 WHERE queue = ?1 AND lane IN (
    SELECT lane FROM heads WHERE queue = ?1 AND leased = 0 AND due_at > ?2
    UNION ALL SELECT lane FROM heads WHERE queue = ?1 AND leased = 1 AND due_at > ?2 LIMIT ?3)
"""
