"""
The SQL of the SQLite store. Lists travel as one JSON array, so that a batch of any size is one prepared statement.

An entry's columns always come in the same order, the one that `sqlite_dependencies.entry_of` knows.
"""

from __future__ import annotations

# A commit.

DEPENDENCIES = """
SELECT (
    SELECT json_group_array(key) FROM json_each(?1) WHERE EXISTS (SELECT 1 FROM entries WHERE id = value)
    OR EXISTS (SELECT 1 FROM remembered WHERE id = value AND until > ?5)
    OR EXISTS (SELECT 1 FROM ended WHERE id = value)
), (
    SELECT json_group_array(lanes.key) FROM json_each(?2) AS lanes
    WHERE EXISTS (SELECT 1 FROM entries WHERE
        queue = json_extract(lanes.value, '$[0]') AND lane = json_extract(lanes.value, '$[1]'))
), (
    SELECT json_group_array(json_array(json_each.key, own.queue, own.lane, own.place, heads.token, (
        SELECT MIN(place) FROM entries WHERE lane = own.lane AND queue = own.queue AND place > own.place)))
    FROM json_each(?3) CROSS JOIN entries AS own ON own.id = json_each.value
    CROSS JOIN heads ON heads.queue = own.queue AND heads.place = own.place
), (
    SELECT json_group_array(json_array(json_each.key, hex(marks.value)))
    FROM json_each(?4) CROSS JOIN marks ON marks.key = json_each.value
    WHERE expires_at IS NULL OR expires_at > ?5
), (
    SELECT next FROM places
)
"""
"""All that a batch of commits must know. Ids, lanes and keys are answered by their index."""

ENTRIES = """
SELECT place, id, queue, lane, schema, created_at, due_at, body FROM entries
WHERE place IN (SELECT value FROM json_each(?))
"""

BUSY_LANE = "SELECT 1 FROM entries WHERE lane = ? AND queue = ? LIMIT 1"

HEADS = "heads (queue, place, created_at, leased, due_at, token, attempts, reason, detail)"

KEEP_HEAD = """
UPDATE heads SET leased = 0, token = NULL, due_at = ?1, attempts = attempts - ?2,
reason = ifnull(?3, reason), detail = ifnull(?4, detail) WHERE queue = ?5 AND place = ?6
"""

END_ENTRY = """
INSERT INTO ended SELECT e.place, e.id, e.queue, e.lane, e.schema, e.created_at, e.due_at,
CASE WHEN ?1 THEN e.body ELSE x'' END, ?2, ifnull(heads.attempts, 0), ?3, ?4, ?5
FROM entries AS e LEFT JOIN heads ON heads.queue = e.queue AND heads.place = e.place WHERE e.place = ?6
"""

REMEMBER_ENTRIES = """
INSERT INTO remembered SELECT id, ?2, place FROM entries WHERE place IN (SELECT value FROM json_each(?1))
ON CONFLICT (id) DO UPDATE SET until = excluded.until, place = excluded.place
"""

REMEMBER = """
INSERT INTO remembered VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET until = excluded.until, place = excluded.place
"""

DELETE_HEADS = """
DELETE FROM heads WHERE (queue, place) IN (
    SELECT queue, place FROM entries WHERE place IN (SELECT value FROM json_each(?)))
"""

DELETE_ENTRIES = "DELETE FROM entries WHERE place IN (SELECT value FROM json_each(?))"

REPLACE_MARK = "ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"

DELETE_MARK = "DELETE FROM marks WHERE key = ?"

RECALL = """
SELECT json_group_array(json_array(json_each.key, hex(marks.value)))
FROM json_each(?1) CROSS JOIN marks ON marks.key = json_each.value
WHERE expires_at IS NULL OR expires_at > ?2
"""

# Counts.

ADD_COUNTS = """
ON CONFLICT (queue) DO UPDATE SET accepted = accepted + excluded.accepted, done = done + excluded.done,
dead = dead + excluded.dead, dropped = dropped + excluded.dropped
"""

COUNTS = "SELECT queue, accepted, done, dead, dropped FROM counts"

IN_FLIGHT = "SELECT COUNT(*) FROM heads WHERE queue = ? AND leased = 1 AND due_at > ?"

FIRST_HEAD = "SELECT created_at FROM heads WHERE queue = ? ORDER BY place LIMIT 1"

# Claims.

DUE_HEADS = """
SELECT due.place, heads.attempts, e.id, e.queue, e.lane, e.schema, e.created_at, e.due_at, e.body FROM (
    SELECT * FROM (SELECT place, due_at FROM heads
        WHERE queue = ?1 AND leased = 0 AND due_at <= ?2 ORDER BY due_at, place LIMIT ?3)
    UNION ALL
    SELECT * FROM (SELECT place, due_at FROM heads
        WHERE queue = ?1 AND leased = 1 AND due_at <= ?2 ORDER BY due_at, place LIMIT ?3)
    UNION ALL
    SELECT * FROM (SELECT place, due_at FROM heads
        WHERE queue = ?1 AND leased = 0 AND due_at > ?4 ORDER BY due_at, place LIMIT ?3)
    ORDER BY due_at, place LIMIT ?3) AS due
CROSS JOIN heads ON heads.queue = ?1 AND heads.place = due.place CROSS JOIN entries AS e ON e.place = due.place
ORDER BY due.due_at, due.place
"""
"""What is due by the time ?2, and then what waits for a time after ?4."""

SHORTEN_LEASES = "UPDATE heads SET due_at = ?2 WHERE queue = ?1 AND leased = 1 AND due_at > ?2"

LEASE_HEAD = "UPDATE heads SET leased = 1, token = ?, due_at = ?, attempts = ? WHERE queue = ? AND place = ?"

RENEW_HEAD = """
UPDATE heads SET due_at = ?1 WHERE token = ?2 AND queue = ?3 AND place = (SELECT place FROM entries WHERE id = ?4)
"""

NEXT_DUE = """
SELECT MIN(due_at) FROM (
    SELECT * FROM (SELECT due_at FROM heads WHERE queue = ?1 AND leased = 0 ORDER BY due_at LIMIT 1)
    UNION ALL
    SELECT * FROM (SELECT due_at FROM heads WHERE queue = ?1 AND leased = 1 ORDER BY due_at LIMIT 1)
    UNION ALL
    SELECT ?2 WHERE EXISTS (SELECT 1 FROM heads WHERE queue = ?1 AND leased = 0 AND due_at > ?3)
        OR EXISTS (SELECT 1 FROM heads WHERE queue = ?1 AND leased = 1 AND due_at > ?3))
"""
"""The time ?2 counts as well if anything is due after ?3."""

# What a person asks for.

PLACE_OF = """
SELECT place FROM entries WHERE id = ?1 UNION ALL SELECT place FROM ended WHERE id = ?1
UNION ALL SELECT place FROM remembered WHERE id = ?1 LIMIT 1
"""

_LIVING = """
SELECT e.place, e.id, e.queue, e.lane, e.schema, e.created_at, e.due_at, e.body,
    CASE WHEN heads.leased = 1 AND heads.due_at > :now THEN 'in flight' ELSE 'waiting' END AS state,
    ifnull(heads.attempts, 0), ifnull(heads.reason, ''), ifnull(heads.detail, ''), ifnull(heads.due_at, e.due_at), NULL
"""

_ENDED = """
SELECT place, id, queue, lane, schema, created_at, due_at, body, state, attempts, reason, detail, NULL, ended_at
FROM ended
"""

LIST_LIVING = (
    _LIVING
    + """
FROM entries AS e {hint} LEFT JOIN heads ON heads.queue = e.queue AND heads.place = e.place
WHERE e.queue = :queue AND e.place > :after {lane} {state} ORDER BY e.place LIMIT :limit
"""
)

LIST_IN_FLIGHT = (
    _LIVING
    + """
FROM heads CROSS JOIN entries AS e ON e.place = heads.place
WHERE heads.queue = :queue AND heads.leased = 1 AND heads.due_at > :now AND e.place > :after {lane}
ORDER BY e.place LIMIT :limit
"""
)

LIST_ENDED = (
    _ENDED
    + """
WHERE queue = :queue AND place > :after {lane} {state} ORDER BY place LIMIT :limit
"""
)

FIND = f"""
{_LIVING} FROM entries AS e LEFT JOIN heads ON heads.queue = e.queue AND heads.place = e.place WHERE e.id = :id
UNION ALL {_ENDED} WHERE id = :id
"""

DEAD_BY_ID = """
SELECT place, id, queue, lane, schema, created_at, NULL, body FROM ended WHERE id = ? AND state = 'dead'
"""

DELETE_ENDED = "DELETE FROM ended WHERE place = ?"

PURGE = "DELETE FROM ended WHERE place IN (SELECT place FROM ended WHERE ended_at < ? LIMIT ?)"

LIVING_IN_LANES = "SELECT place, id, queue FROM entries WHERE lane IN (SELECT value FROM json_each(?))"

DEAD_IN_LANES = "SELECT place, id, queue FROM ended WHERE state = 'dead' AND lane IN (SELECT value FROM json_each(?))"

DROP_DEAD = "UPDATE ended SET state = 'dropped', body = x'', reason = ?, detail = '', ended_at = ? WHERE place = ?"

SWEEP_REMEMBERED = "DELETE FROM remembered WHERE id IN (SELECT id FROM remembered WHERE until <= ? LIMIT ?)"

SWEEP_MARKS = """
DELETE FROM marks WHERE key IN (SELECT key FROM marks WHERE expires_at IS NOT NULL AND expires_at <= ? LIMIT ?)
"""
