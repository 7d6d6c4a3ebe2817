"""The SQL of the PostgreSQL store that is not run for every entry: listings, and what an operator does."""

from __future__ import annotations

PLACE_OF = "SELECT i.place FROM {s}.ids AS i WHERE i.id = $1"

_STATE = "CASE WHEN h.token IS NOT NULL AND h.due_at > coalesce($1::float8, {now}) THEN 'in flight' ELSE 'waiting' END"

_LIVING = f"""
SELECT e.place, e.id, e.queue, e.lane, e.schema, e.created_at, e.due_at, e.body,
    {_STATE}, coalesce(h.attempts, 0), coalesce(h.reason, ''), coalesce(h.detail, ''), coalesce(h.due_at, e.due_at),
    NULL::float8
"""

_ENDED = """
SELECT d.place, d.id, d.queue, d.lane, d.schema, d.created_at, d.due_at, d.body,
    d.state, d.attempts, d.reason, d.detail, NULL::float8, d.ended_at
"""

LIST_LIVING = f"""
{_LIVING}
FROM {{s}}.entries AS e LEFT JOIN {{s}}.heads AS h ON h.queue = e.queue AND h.lane = e.lane AND h.place = e.place
WHERE e.queue = $2 AND e.place > $3 AND ($5::text IS NULL OR e.lane = $5) AND ($6::text IS NULL OR $6 = {_STATE})
ORDER BY e.place LIMIT $4
"""

LIST_IN_FLIGHT = f"""
{_LIVING}
FROM {{s}}.heads AS h JOIN {{s}}.entries AS e ON e.queue = h.queue AND e.place = h.place
WHERE h.queue = $2 AND h.place > $3 AND h.token IS NOT NULL AND h.due_at > coalesce($1::float8, {{now}})
    AND ($5::text IS NULL OR h.lane = $5)
ORDER BY e.place LIMIT $4
"""

LIST_OF_LANE = f"""
{_LIVING}
FROM {{s}}.entries AS e LEFT JOIN {{s}}.heads AS h ON h.queue = e.queue AND h.lane = e.lane AND h.place = e.place
WHERE e.queue = $2 AND e.lane = $5 AND e.place > $3 AND ($6::text IS NULL OR $6 = {_STATE})
ORDER BY e.lane, e.place LIMIT $4
"""

LIST_ENDED = f"""
{_ENDED}
FROM {{s}}.ended AS d
WHERE d.queue = $1 AND d.place > $2 AND ($4::text IS NULL OR d.lane = $4) AND ($5::text IS NULL OR d.state = $5)
ORDER BY d.place LIMIT $3
"""

FIND = f"""
WITH one AS (SELECT i.id, i.place FROM {{s}}.ids AS i WHERE i.id = $2)
{_LIVING}
FROM one CROSS JOIN (SELECT DISTINCT c.queue FROM {{s}}.counts AS c) AS q
JOIN {{s}}.entries AS e ON e.queue = q.queue AND e.place = one.place
LEFT JOIN {{s}}.heads AS h ON h.queue = e.queue AND h.lane = e.lane AND h.place = e.place
UNION ALL
{_ENDED}
FROM one JOIN {{s}}.ended AS d ON d.place = one.place
"""  # noqa: S608 - what is put together are constants of this module
"""An id tells a place, but not the queue, by which entries are found. There are few queues, and each has counts."""

# What an operator does. Only one process at a time moves dead entries, or they could slip through between two.

LOCK_UPKEEP = "SELECT pg_advisory_xact_lock(hashtextextended('kochava-bot upkeep {s}', 0))"

DEAD = """
SELECT d.place, d.id, d.queue, d.lane, d.schema, d.created_at, NULL::float8, d.body
FROM {s}.ids AS i JOIN {s}.ended AS d ON d.place = i.place WHERE i.id = ANY ($1::text[]) AND d.state = 'dead'
FOR UPDATE OF d
"""
"""Locked, so that no purge removes them meanwhile and their ids with them."""

DELETE_ENDED = "DELETE FROM {s}.ended AS d WHERE d.place = ANY ($1::bigint[])"

MOVE_IDS = """
UPDATE {s}.ids AS i SET place = t.place, until = 'infinity' FROM unnest($1::text[], $2::bigint[]) AS t (id, place)
WHERE i.id = t.id
"""

QUEUES = "SELECT DISTINCT c.queue FROM {s}.counts AS c"

DROP_LIVING = """
WITH gone AS (
    DELETE FROM {s}.entries AS e USING unnest($1::text[], $2::text[]) AS t (queue, lane)
    WHERE e.queue = t.queue AND e.lane = t.lane RETURNING e.*),
no_heads AS (
    DELETE FROM {s}.heads AS h USING unnest($1::text[], $2::text[]) AS t (queue, lane)
    WHERE h.queue = t.queue AND h.lane = t.lane),
dropped AS (
    INSERT INTO {s}.ended (place, id, queue, lane, schema, created_at, due_at, body, state, attempts, reason, detail,
        ended_at)
    SELECT g.place, g.id, g.queue, g.lane, g.schema, g.created_at, g.due_at, '', 'dropped',
        coalesce((SELECT h.attempts FROM {s}.heads AS h
            WHERE h.queue = g.queue AND h.lane = g.lane AND h.place = g.place), 0), $3, '', $4::float8
    FROM gone AS g)
SELECT gone.id, gone.queue FROM gone
"""

DROP_DEAD = """
UPDATE {s}.ended AS d SET state = 'dropped', body = '', reason = $2, detail = '', ended_at = $3::float8
WHERE d.lane = ANY ($1::text[]) AND d.state = 'dead' RETURNING d.id, d.queue
"""

PURGE = """
WITH old AS (
    SELECT d.place, d.id FROM {s}.ended AS d WHERE d.ended_at < $1 ORDER BY d.ended_at LIMIT $2
    FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM {s}.ended AS d USING old WHERE d.place = old.place),
forgotten AS (DELETE FROM {s}.ids AS i USING old WHERE i.id = old.id AND i.until = '-infinity'),
remembered AS (UPDATE {s}.ids AS i SET kept = false FROM old WHERE i.id = old.id AND i.until > '-infinity')
SELECT count(*) FROM old
"""

SWEEP_IDS = """
WITH old AS (
    SELECT i.id, i.kept FROM {s}.ids AS i
    WHERE i.until <= coalesce($1::float8, {now}) AND i.until < 'infinity' AND i.until > '-infinity'
    ORDER BY i.until LIMIT $2 FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM {s}.ids AS i USING old WHERE i.id = old.id AND NOT old.kept),
kept AS (UPDATE {s}.ids AS i SET until = '-infinity' FROM old WHERE i.id = old.id AND old.kept)
SELECT count(*) FROM old
"""

SWEEP_MARKS = """
WITH old AS (
    SELECT m.key FROM {s}.marks AS m WHERE m.expires_at <= coalesce($1::float8, {now})
    ORDER BY m.expires_at LIMIT $2 FOR UPDATE SKIP LOCKED),
gone AS (DELETE FROM {s}.marks AS m USING old WHERE m.key = old.key)
SELECT count(*) FROM old
"""
