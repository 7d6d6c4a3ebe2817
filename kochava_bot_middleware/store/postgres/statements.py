"""
The SQL of the PostgreSQL store. Lists travel as arrays, so that a batch of any size is one statement.

An entry's columns always come in the same order, the one that `postgres_rows.entry_of` knows. Rows of `heads` are
locked in the order of queue and lane, marks in that of their keys, so that no two transactions wait for each other.
"""

from __future__ import annotations

# What a commit must know.

LOCK_LANES = """
WITH locked AS (
    SELECT h.queue, h.lane, h.place, h.id, h.token, h.attempts
    FROM unnest($1::text[], $2::text[]) AS t (queue, lane) JOIN {s}.heads AS h USING (queue, lane)
    ORDER BY h.queue, h.lane FOR UPDATE OF h)
SELECT {now}, locked.* FROM (SELECT) AS one LEFT JOIN locked ON true
"""

LOCK_MARKS = """
WITH locked AS (
    SELECT m.key, m.value, m.expires_at FROM {s}.marks AS m WHERE m.key = ANY ($1::text[])
    ORDER BY m.key FOR UPDATE OF m)
SELECT {now}, locked.* FROM (SELECT) AS one LEFT JOIN locked ON true
"""

SEEN = """
SELECT nextval('{s}.places'), EXISTS (
    SELECT FROM {s}.ids AS i WHERE i.id = t.id AND (i.kept OR i.until > $2::float8))
FROM unnest($1::text[]) WITH ORDINALITY AS t (id, number) ORDER BY t.number
"""

SUCCESSORS = """
SELECT e.place, e.id, e.queue, e.lane, e.schema, e.created_at, e.due_at, e.body
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS t (queue, lane, place) CROSS JOIN LATERAL (
    SELECT * FROM {s}.entries AS of_lane
    WHERE of_lane.queue = t.queue AND of_lane.lane = t.lane AND of_lane.place > t.place
    ORDER BY of_lane.place LIMIT 1) AS e
"""

# Parts of what a transaction writes; see `postgres_writes`.

NEW_IDS = """
INSERT INTO {s}.ids AS i (id, place, until, kept)
SELECT t.id, t.place, 'infinity', true FROM unnest($1::text[], $2::bigint[]) AS t (id, place) ORDER BY t.id
ON CONFLICT (id) DO UPDATE SET place = excluded.place, until = excluded.until, kept = true
WHERE NOT i.kept AND i.until <= $3::float8 RETURNING 1
"""

NEW_ENTRIES = """
INSERT INTO {s}.entries (place, id, queue, lane, schema, created_at, due_at, body)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::float8[], $7::float8[],
    $8::bytea[])
"""

NEW_HEADS = """
INSERT INTO {s}.heads (queue, lane, place, id, due_at, token, attempts, reason, detail)
SELECT t.queue, t.lane, t.place, t.id, t.due_at, t.token, t.attempts, '', ''
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::float8[], $6::text[], $7::integer[])
    AS t (queue, lane, place, id, due_at, token, attempts)
ORDER BY t.queue, t.lane ON CONFLICT (queue, lane) DO NOTHING RETURNING 1
"""

NEXT_HEADS = """
UPDATE {s}.heads AS h SET place = t.place, id = t.id, due_at = t.due_at, token = t.token, attempts = t.attempts,
    reason = '', detail = ''
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::float8[], $6::text[], $7::integer[])
    AS t (queue, lane, place, id, due_at, token, attempts)
WHERE h.queue = t.queue AND h.lane = t.lane
"""

KEPT_HEADS = """
UPDATE {s}.heads AS h SET token = NULL, due_at = t.due_at, attempts = h.attempts - t.uncounted,
    reason = coalesce(t.reason, h.reason), detail = coalesce(t.detail, h.detail)
FROM unnest($1::text[], $2::text[], $3::float8[], $4::integer[], $5::text[], $6::text[])
    AS t (queue, lane, due_at, uncounted, reason, detail)
WHERE h.queue = t.queue AND h.lane = t.lane
"""

GONE_HEADS = """
DELETE FROM {s}.heads AS h USING unnest($1::text[], $2::text[]) AS t (queue, lane)
WHERE h.queue = t.queue AND h.lane = t.lane
"""

GONE = """
DELETE FROM {s}.entries AS e USING unnest($1::text[], $2::bigint[]) AS t (queue, place)
WHERE e.queue = t.queue AND e.place = t.place
"""

ENDED = """
INSERT INTO {s}.ended (place, id, queue, lane, schema, created_at, due_at, body, state, attempts, reason, detail,
    ended_at)
SELECT e.place, e.id, e.queue, e.lane, e.schema, e.created_at, e.due_at,
    CASE WHEN t.state = 'dead' THEN e.body ELSE '' END, t.state, t.attempts, t.reason, t.detail, $7::float8
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[], $5::text[], $6::text[])
    AS t (queue, place, state, attempts, reason, detail)
JOIN {s}.entries AS e ON e.queue = t.queue AND e.place = t.place
"""

SETTLED_IDS = """
UPDATE {s}.ids AS i SET until = $3::float8, kept = t.kept
FROM unnest($1::text[], $2::boolean[]) AS t (id, kept) WHERE i.id = t.id
"""

PUT_MARKS = """
INSERT INTO {s}.marks (key, value, expires_at)
SELECT t.key, t.value, t.expires_at
FROM unnest($1::text[], $2::bytea[], $3::float8[]) AS t (key, value, expires_at) ORDER BY t.key
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
"""

PUT_ABSENT_MARKS = """
INSERT INTO {s}.marks AS m (key, value, expires_at)
SELECT t.key, t.value, t.expires_at
FROM unnest($1::text[], $2::bytea[], $3::float8[]) AS t (key, value, expires_at) ORDER BY t.key
ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
WHERE m.expires_at <= $4::float8 RETURNING 1
"""

DELETE_MARKS = "DELETE FROM {s}.marks AS m WHERE m.key = ANY ($1::text[])"

ADD_COUNTS = """
INSERT INTO {s}.counts AS c (queue, part, accepted, done, dead, dropped)
SELECT t.queue, pg_backend_pid() % 64, t.accepted, t.done, t.dead, t.dropped
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS t (queue, accepted, done, dead, dropped)
ORDER BY t.queue ON CONFLICT (queue, part) DO UPDATE SET accepted = c.accepted + excluded.accepted,
    done = c.done + excluded.done, dead = c.dead + excluded.dead, dropped = c.dropped + excluded.dropped
"""

# Claims.

CLAIM = """
WITH outlasting AS (
    SELECT h.queue, h.lane FROM {s}.heads AS h
    WHERE h.queue = $1 AND h.token IS NOT NULL AND h.due_at > coalesce($5::float8, {now}) + $6::float8
    FOR UPDATE SKIP LOCKED),
shortened AS (
    UPDATE {s}.heads AS h SET due_at = coalesce($5::float8, {now}) + $6::float8
    FROM outlasting AS o WHERE h.queue = o.queue AND h.lane = o.lane),
due AS (
    SELECT h.queue, h.lane, h.place, h.due_at FROM {s}.heads AS h
    WHERE h.queue = $1 AND h.due_at <= coalesce($5::float8, {now})
    ORDER BY h.due_at, h.place LIMIT $2 FOR UPDATE SKIP LOCKED),
too_far AS (
    SELECT h.queue, h.lane, h.place, h.due_at FROM {s}.heads AS h
    WHERE h.queue = $1 AND h.token IS NULL AND h.due_at > coalesce($5::float8, {now}) + $6::float8
    ORDER BY h.due_at, h.place LIMIT $2 - (SELECT count(*) FROM due) FOR UPDATE SKIP LOCKED),
numbered AS (
    SELECT chosen.*, row_number() OVER (ORDER BY chosen.due_at, chosen.place) AS number
    FROM (SELECT * FROM due UNION ALL SELECT * FROM too_far) AS chosen),
leased AS (
    UPDATE {s}.heads AS h SET token = ($4::text[])[n.number], attempts = h.attempts + 1,
        due_at = coalesce($5::float8, {now}) + $3::float8
    FROM numbered AS n WHERE h.queue = n.queue AND h.lane = n.lane
    RETURNING h.queue, h.place, h.token, h.due_at, h.attempts, n.number)
SELECT l.token, l.due_at, l.attempts, e.id, e.queue, e.lane, e.schema, e.created_at, e.due_at, e.body
FROM leased AS l JOIN {s}.entries AS e ON e.queue = l.queue AND e.place = l.place ORDER BY l.number
"""
"""What is due by now, and then what waits for a time too far ahead. Leases that end too far ahead are shortened."""

RENEW = """
WITH owned AS (
    SELECT h.queue, h.lane FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS t (queue, lane, id, token)
    JOIN {s}.heads AS h ON h.queue = t.queue AND h.lane = t.lane AND h.id = t.id AND h.token = t.token
    ORDER BY h.queue, h.lane FOR UPDATE OF h)
UPDATE {s}.heads AS h SET due_at = coalesce($6::float8, {now}) + $5::float8
FROM owned WHERE h.queue = owned.queue AND h.lane = owned.lane RETURNING h.token, h.due_at
"""

NEXT_DUE = """
WITH first AS (SELECT h.due_at FROM {s}.heads AS h WHERE h.queue = $1 ORDER BY h.due_at LIMIT 1),
last AS (SELECT h.due_at FROM {s}.heads AS h WHERE h.queue = $1 ORDER BY h.due_at DESC LIMIT 1)
SELECT CASE WHEN last.due_at > coalesce($2::float8, {now}) + $3::float8
    THEN least(first.due_at, coalesce($2::float8, {now})) ELSE first.due_at END
FROM first CROSS JOIN last
"""

RECALL = """
SELECT m.key, m.value FROM {s}.marks AS m
WHERE m.key = ANY ($1::text[]) AND (m.expires_at IS NULL OR m.expires_at > coalesce($2::float8, {now}))
"""

COUNTS = """
SELECT c.queue, sum(c.accepted)::bigint, sum(c.done)::bigint, sum(c.dead)::bigint, sum(c.dropped)::bigint,
    (SELECT count(*) FROM {s}.heads AS h
        WHERE h.queue = c.queue AND h.token IS NOT NULL AND h.due_at > coalesce($1::float8, {now})),
    (SELECT e.created_at FROM {s}.entries AS e WHERE e.queue = c.queue ORDER BY e.place LIMIT 1)
FROM {s}.counts AS c GROUP BY c.queue
"""
