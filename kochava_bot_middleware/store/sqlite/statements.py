"""
The SQL of the SQLite store.

A list is passed as one JSON array, so that a group of commits of any size needs only a few prepared statements. What
changes many rows says ``OR FAIL``: otherwise SQLite copies each page before it changes it, to be able to undo the one
statement. When a statement fails, the caller rolls back its transaction anyway.
"""

# ruff: noqa: S608 - statements are made from constants of this module, never from input

from __future__ import annotations

from functools import cache

from ..records import EntryState, Queue


def text_of(value: str, *, escaped: bool = True) -> str:
    """The SQL expression for a text that was passed within JSON, where *value* is the expression for it there."""
    return f"replace(replace({value}, char(1, 3), char(0)), char(1, 2), char(1))" if escaped else value


@cache
def insertion(into: str, width: int, size: int, then: str) -> str:
    """The statement that inserts those of *size* rows whose first column is not ``NULL``."""
    row = f"({', '.join('?' * width)})"
    rows = ", ".join([row] * size)
    return f"INSERT OR FAIL INTO {into} SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL {then}"


ENTRY = "e.id, e.queue, e.lane, e.schema, e.kind, e.name, e.label, e.created_at, e.body"
"""The columns of an `Entry`, always in this order."""

IS_ONLY_AN_ID = "(state = 'done' OR purged = 1)"
"""Of a row: nothing but the id is to be kept, and only for as long as ids are remembered."""

NEXT_PLACE = "SELECT 1 + SUM(accepted + retried) FROM counts"

# A group of commits.


@cache
def snapshot(*, escaped: bool) -> str:
    """
    The statement that reads what a group of units depends on: the ids ?1, the heads of the lanes ?2 (by queue) and what
    follows them, the state entries ?3, and the next place.

    Ids and keys are answered by their index, lanes by their queue and index. Expired state entries are among them.

    Args:
        escaped: Whether there may be escaped texts in what is passed; without them it is much cheaper.
    """
    entry_id, queue, lane, key = (
        text_of(value, escaped=escaped) for value in ("ids.value", "queues.key", "lanes.value", "keys.value")
    )
    return f"""
    SELECT (
        SELECT json_group_array(json_array(ids.key, {IS_ONLY_AN_ID} AND ended_at <= ?5))
        FROM json_each(?1) AS ids CROSS JOIN entries ON entries.id = {entry_id}
    ), (
        SELECT json_group_array(json_array(heads.queue, lanes.key, heads.place, own.id, heads.token, heads.attempts, (
            SELECT MIN(place) FROM entries INDEXED BY entries_by_lane
            WHERE lane = own.lane AND queue = heads.queue AND state IS NULL AND place > heads.place)))
        FROM json_each(?2) AS queues CROSS JOIN json_each(queues.value) AS lanes
        CROSS JOIN heads ON heads.queue = {queue} AND heads.place = (
            SELECT place FROM entries INDEXED BY entries_by_lane
            WHERE lane = {lane} AND queue = {queue} AND state IS NULL ORDER BY place LIMIT 1)
        CROSS JOIN entries AS own ON own.place = heads.place
    ), (
        SELECT json_group_array(json_array(keys.key, hex(marks.value), ifnull(expires_at <= ?4, 0)))
        FROM json_each(?3) AS keys CROSS JOIN marks ON marks.key = {key}
    ), (
        {NEXT_PLACE}
    )
    """


SUCCESSORS = f"SELECT e.place, e.due_at, {ENTRY} FROM entries AS e WHERE e.place IN (SELECT value FROM json_each(?))"

DELETE_ENTRIES = f"DELETE FROM entries WHERE id IN (SELECT {text_of('value')} FROM json_each(?))"

NEW_ENTRIES = "entries (place, id, queue, lane, schema, kind, name, label, created_at, due_at, body)"

PROVE_WRITABLE = "UPDATE counts SET accepted = accepted WHERE queue = ''"

DELETE_ENDED = "DELETE FROM entries WHERE id = ? AND state = 'done'"

END_ENTRIES = f"""
UPDATE OR FAIL entries SET state = ?2, attempts = ?3, reason = ?4, detail = ?5, ended_at = ?6,
    body = CASE WHEN ?2 = 'dead' THEN body ELSE x'' END,
    label = CASE WHEN ?2 = 'dead' THEN label ELSE '' END,
    lane = CASE WHEN ?2 <> 'dead' AND queue = '{Queue.INBOX}' THEN '' ELSE lane END,
    name = CASE WHEN ?2 <> 'dead' AND queue = '{Queue.INBOX}' THEN '' ELSE name END
WHERE place IN (SELECT value FROM json_each(?1))
"""

HEADS = "heads (queue, place, created_at, leased, due_at, token, attempts, reason, detail)"

DELETE_HEADS = """
DELETE FROM heads WHERE (queue, place) IN (
    SELECT queue, place FROM entries WHERE place IN (SELECT value FROM json_each(?)))
"""

RETURN_HEAD = """
UPDATE heads SET leased = 0, token = NULL, due_at = ?1, attempts = attempts - ?2, reason = ifnull(?3, reason),
    detail = ifnull(?4, detail)
WHERE queue = ?5 AND place = ?6
"""

MARKS = "marks (key, value, expires_at)"

REPLACE_MARK = "ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"


@cache
def delete_marks(*, escaped: bool) -> str:
    """The statement that deletes the state entries ?1."""
    return f"DELETE FROM marks WHERE key IN (SELECT {text_of('value', escaped=escaped)} FROM json_each(?1))"


COUNTS = "counts (queue, accepted, done, dead, dropped, retried)"

ADD_COUNTS = """
ON CONFLICT (queue) DO UPDATE SET accepted = accepted + excluded.accepted, done = done + excluded.done,
dead = dead + excluded.dead, dropped = dropped + excluded.dropped, retried = retried + excluded.retried
"""

DAY_COUNTS = "day_counts (day, facts, what, count, amount)"

ADD_DAY_COUNTS = """
ON CONFLICT (day, facts, what) DO UPDATE SET count = count + excluded.count, amount = amount + excluded.amount
"""

# Claims.

DUE_HEADS = f"""
SELECT due.place, heads.attempts, heads.leased, {ENTRY} FROM (
    SELECT * FROM (SELECT place, due_at FROM heads
        WHERE queue = ?1 AND leased = 0 AND due_at <= ?2 ORDER BY due_at, place LIMIT ?3)
    UNION ALL
    SELECT * FROM (SELECT place, due_at FROM heads
        WHERE queue = ?1 AND leased = 1 AND due_at <= ?2 ORDER BY due_at, place LIMIT ?3)
    ORDER BY due_at, place LIMIT ?3) AS due
CROSS JOIN heads ON heads.queue = ?1 AND heads.place = due.place CROSS JOIN entries AS e ON e.place = due.place
ORDER BY due.due_at, due.place
"""

LEASE_HEAD = "UPDATE heads SET leased = 1, token = ?, due_at = ?, attempts = ? WHERE queue = ? AND place = ?"

RENEW_HEAD = """
UPDATE heads SET due_at = ? WHERE token = ? AND queue = ? AND place = (SELECT place FROM entries WHERE id = ?)
"""

NEXT_DUE = """
SELECT MIN(due_at) FROM (
    SELECT * FROM (SELECT due_at FROM heads WHERE queue = ?1 AND leased = 0 ORDER BY due_at LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT due_at FROM heads WHERE queue = ?1 AND leased = 1 ORDER BY due_at LIMIT 1))
"""

# Reading.


@cache
def recall(*, escaped: bool) -> str:
    """The statement that reads the state entries ?1, answered by their index."""
    return f"""
    SELECT json_group_array(json_array(keys.key, hex(marks.value)))
    FROM json_each(?1) AS keys CROSS JOIN marks ON marks.key = {text_of("keys.value", escaped=escaped)}
    WHERE expires_at IS NULL OR expires_at > ?2
    """


READ_COUNTS = "SELECT queue, accepted, done, dead, dropped FROM counts WHERE accepted > 0"

READ_DAY_COUNTS = "SELECT day, facts, what, count, amount FROM day_counts WHERE day BETWEEN ? AND ?"

IN_FLIGHT = "SELECT COUNT(*) FROM heads WHERE queue = ? AND leased = 1 AND due_at > ?"

FIRST_HEAD = "SELECT created_at FROM heads WHERE queue = ? ORDER BY place LIMIT 1"

_LISTED = f"""
SELECT e.place AS place, {ENTRY}, CASE WHEN e.state IS NOT NULL THEN e.state
        WHEN heads.leased = 1 AND heads.due_at > :now THEN 'in flight' ELSE 'waiting' END,
    ifnull(heads.attempts, e.attempts), ifnull(heads.reason, e.reason), ifnull(heads.detail, e.detail),
    CASE WHEN e.state IS NULL THEN ifnull(heads.due_at, nullif(e.due_at, 0)) END, e.ended_at, heads.token
"""
_WITH_HEADS = "LEFT JOIN heads ON heads.queue = e.queue AND heads.place = e.place"

FIND = f"""
{_LISTED} FROM entries AS e {_WITH_HEADS}
WHERE e.id = :id AND e.purged = 0 AND NOT (e.state IS 'done' AND e.ended_at <= :forgotten_at)
"""

PLACE_OF = f"SELECT place FROM entries WHERE id = ? AND NOT ifnull({IS_ONLY_AN_ID} AND ended_at <= ?, 0)"

_LIVING = f"""
{_LISTED} FROM entries AS e NOT INDEXED {_WITH_HEADS}
WHERE e.state IS NULL AND e.queue = :queue
    AND e.place >= max(:after + 1, (SELECT MIN(place) FROM heads WHERE queue = :queue))
"""
"""From the first head on: before it, everything has ended."""

_LIVING_OF_LANE = f"""
{_LISTED} FROM entries AS e INDEXED BY entries_by_lane {_WITH_HEADS}
WHERE e.lane = :lane AND e.queue = :queue AND e.state IS NULL AND e.place > :after
"""

_KEPT = f"""
{_LISTED} FROM entries AS e INDEXED BY entries_kept {_WITH_HEADS}
WHERE e.queue = :queue AND e.state IN ('dead', 'dropped') AND e.purged = 0 AND e.place > :after
"""

HISTORY = f"""
{_LISTED} FROM entries AS e NOT INDEXED {_WITH_HEADS}
WHERE e.lane IN (SELECT {text_of("value")} FROM json_each(:lanes)) AND e.purged = 0
    AND NOT (e.state IS 'done' AND e.ended_at <= :forgotten_at)
ORDER BY e.place DESC LIMIT :limit
"""

_IS_WAITING = "NOT ifnull(heads.leased = 1 AND heads.due_at > :now, 0)"

_IN_FLIGHT = f"""
{_LISTED} FROM heads INDEXED BY heads_by_due CROSS JOIN entries AS e ON e.place = heads.place
WHERE heads.queue = :queue AND heads.leased = 1 AND heads.due_at > :now AND e.place > :after
"""

_DONE = f"""
{_LISTED} FROM entries AS e NOT INDEXED {_WITH_HEADS}
WHERE e.queue = :queue AND e.state = 'done' AND e.purged = 0 AND e.place > :after
"""


@cache
def page(state: EntryState | None, *, of_lane: bool) -> str:
    """The statement of a page of `Store.browse`. Each part of it stops after as many rows as the page has."""
    living = _LIVING_OF_LANE if of_lane else _LIVING
    parts = {
        None: (living, _KEPT),
        EntryState.WAITING: (f"{living} AND {_IS_WAITING}",),
        EntryState.IN_FLIGHT: (_IN_FLIGHT,),
        EntryState.DONE: (_DONE,),
        EntryState.DEAD: (f"{_KEPT} AND e.state = 'dead'",),
        EntryState.DROPPED: (f"{_KEPT} AND e.state = 'dropped'",),
    }
    lane = "AND e.lane = :lane" if of_lane else ""
    limited = (f"SELECT * FROM ({part} {lane} ORDER BY e.place LIMIT :limit)" for part in parts[state])
    return f"{' UNION ALL '.join(limited)} ORDER BY place LIMIT :limit"


# Upkeep.

FIND_DEAD = """
SELECT place, queue, lane, created_at, label, reason FROM entries WHERE id = ? AND state = 'dead' AND purged = 0
"""

REVIVE = """
UPDATE entries SET place = ?1, due_at = ?2, state = NULL, attempts = 0, reason = '', detail = '', ended_at = NULL
WHERE place = ?3
"""

IS_BUSY = "SELECT 1 FROM entries INDEXED BY entries_by_lane WHERE lane = ? AND queue = ? AND state IS NULL LIMIT 1"

PLACES_OF_LANES = f"""
SELECT place FROM entries NOT INDEXED
WHERE place >= :first_place AND lane IN (SELECT {text_of("value")} FROM json_each(:lanes))
"""

_PLACES = "place IN (SELECT value FROM json_each(:places))"

_UNSENT = "(state IS NULL OR state = 'dead' AND purged = 0)"

COUNT_UNSENT = f"""
SELECT queue, state, label, reason, COUNT(*) FROM entries WHERE {_PLACES} AND {_UNSENT} GROUP BY 1, 2, 3, 4
"""

DROP_UNSENT = f"""
UPDATE entries SET state = 'dropped', reason = :reason, ended_at = :now, attempts = CASE WHEN state IS NULL THEN
    ifnull((SELECT heads.attempts FROM heads WHERE heads.queue = entries.queue AND heads.place = entries.place), 0)
    ELSE attempts END
WHERE {_PLACES} AND {_UNSENT}
"""

BLANK_ENTRIES = f"UPDATE entries SET lane = '', name = '', label = '', detail = '', body = x'' WHERE {_PLACES}"

PURGE = """
UPDATE entries SET purged = 1, name = '', label = '', detail = '', body = x'' WHERE place IN (
    SELECT place FROM entries INDEXED BY entries_kept_by_time
    WHERE state IN ('dead', 'dropped') AND purged = 0 AND ended_at < ? LIMIT ?)
"""

SWEEP_IDS = f"""
DELETE FROM entries WHERE place IN (
    SELECT place FROM entries INDEXED BY entries_ids_by_time WHERE {IS_ONLY_AN_ID} AND ended_at <= ? LIMIT ?)
"""

DELETE_DAY_COUNTS = "DELETE FROM day_counts WHERE day < ?"

SWEEP_MARKS = """
DELETE FROM marks WHERE key IN (SELECT key FROM marks WHERE expires_at IS NOT NULL AND expires_at <= ? LIMIT ?)
"""

SHORTEN_WAITS = """
UPDATE heads SET due_at = ?2 WHERE queue = ?1 AND place IN (
    SELECT place FROM heads WHERE queue = ?1 AND leased = 0 AND due_at > ?2
    UNION ALL SELECT place FROM heads WHERE queue = ?1 AND leased = 1 AND due_at > ?2 LIMIT ?3)
"""
