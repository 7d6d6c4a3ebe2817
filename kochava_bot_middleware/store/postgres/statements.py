"""
The SQL of the PostgreSQL store. Lists travel as arrays, so that a batch of any size is one statement.

Rows of `heads` are locked in the order of queue and lane, rows of `marks` in that of their keys, so that no two
transactions wait for each other.
"""

# ruff: noqa: S608 - what is put together are constants of this module

from __future__ import annotations

from collections.abc import Sequence

from ..records import EntryState, Queue

# What a commit reads.

LOCK_HEADS = """
WITH locked AS (
    SELECT h.queue, h.lane, h.place, h.id, h.token, h.attempts
    FROM unnest($1::text[], $2::text[]) AS t (queue, lane) JOIN {s}.heads AS h USING (queue, lane)
    ORDER BY h.queue, h.lane FOR UPDATE OF h)
SELECT {now}, locked.* FROM (SELECT) AS one LEFT JOIN locked ON true
"""

LOCK_MARKS = "SELECT FROM {s}.marks AS m WHERE m.key = ANY ($1::text[]) ORDER BY m.key FOR UPDATE OF m"

PLACES = "SELECT nextval('{s}.places') FROM generate_series(1, $1::integer)"

_READ = """
WITH heads AS MATERIALIZED (
    SELECT h.queue, h.lane, h.place, h.id, h.token, h.attempts, t.ends
    FROM unnest($1::text[], $2::text[], $3::boolean[]) AS t (queue, lane, ends) JOIN {s}.heads AS h USING (queue, lane))
SELECT 'now', NULL::bigint, {now}, NULL::text, NULL::text, NULL::text, NULL::integer, NULL::float8, NULL::bytea,
    {alone}, NULL::text, NULL::text
FROM {s}.store_version
UNION ALL
SELECT 'head', h.place, NULL, h.id, h.queue, h.lane, h.attempts, NULL, NULL, h.token, NULL, NULL FROM heads AS h
UNION ALL
SELECT 'next', e.place, greatest(e.due_at, {now}), {entry} FROM heads AS h CROSS JOIN LATERAL (
    SELECT * FROM {s}.entries AS of_lane
    WHERE of_lane.lane = h.lane AND of_lane.queue = h.queue AND of_lane.place > h.place
        AND coalesce(of_lane.state, '') = ''
    ORDER BY of_lane.place LIMIT 1) AS e
WHERE h.ends
UNION ALL
SELECT CASE WHEN EXISTS (SELECT FROM {s}.entries AS e WHERE e.id = t.id AND {is_seen}) THEN 'seen' ELSE 'new' END,
    nextval('{s}.places'), NULL, t.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM unnest($4::text[]) AS t (id)
UNION ALL
SELECT 'mark', NULL, NULL, m.key, NULL, NULL, NULL, NULL, m.value, NULL, NULL, NULL
FROM {s}.marks AS m WHERE m.key = ANY ($5::text[]) AND (m.expires_at IS NULL OR m.expires_at > {now})
"""
"""
Not ``state IS NULL``, with which a planner without statistics walks through all that waits. ``greatest`` passes over
NULL, which stands for "at once" in rows from before version 2.
"""

READ = _READ.replace("{alone}", "NULL::text")

READ_ALONE = _READ.replace("{alone}", "set_config('synchronous_commit', 'off', true)")
"""As a transaction of its own it need not wait for the disk, though it gives places."""

HOLD = "{s}.hold($1::text[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[], $7::bytea[], $8::float8)"

# What a commit writes: parts of a `CombinedStatement`.

NEW_ENTRIES = """
INSERT INTO {s}.entries AS e (place, id, queue, lane, schema, created_at, due_at, body, kind, name, label)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::float8[], $7::float8[],
    $8::bytea[], $9::text[], $10::text[], $11::text[]) AS t (place, id) ORDER BY t.id
ON CONFLICT (id) DO UPDATE SET place = excluded.place, queue = excluded.queue, lane = excluded.lane,
    schema = excluded.schema, created_at = excluded.created_at, due_at = excluded.due_at, body = excluded.body,
    kind = excluded.kind, name = excluded.name, label = excluded.label,
    state = NULL, purged = false, attempts = 0, reason = '', detail = '',
    ended_at = NULL
WHERE NOT {is_seen} RETURNING 1
"""
"""A row whose id need not be remembered any more is replaced."""

SETTLED_ENTRIES = f"""
UPDATE {{s}}.entries AS e SET state = t.state, attempts = t.attempts, reason = t.reason, detail = t.detail,
    ended_at = $6::float8, body = CASE WHEN t.state = 'dead' THEN e.body ELSE '' END,
    label = CASE WHEN t.state = 'dead' THEN e.label ELSE '' END,
    lane = CASE WHEN t.state <> 'dead' AND e.queue = '{Queue.INBOX}' THEN '' ELSE e.lane END,
    name = CASE WHEN t.state <> 'dead' AND e.queue = '{Queue.INBOX}' THEN '' ELSE e.name END
FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[]) AS t (id, state, attempts, reason, detail)
WHERE e.id = t.id
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

RETURNED_HEADS = """
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

DELETE_EXPIRED_MARKS = f"{DELETE_MARKS} AND m.expires_at <= $2::float8"

ADD_COUNTS = """
INSERT INTO {s}.counts AS c (queue, part, accepted, done, dead, dropped)
SELECT t.queue, pg_backend_pid() % 64, t.accepted, t.done, t.dead, t.dropped
FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
    AS t (queue, accepted, done, dead, dropped)
ORDER BY t.queue ON CONFLICT (queue, part) DO UPDATE SET accepted = c.accepted + excluded.accepted,
    done = c.done + excluded.done, dead = c.dead + excluded.dead, dropped = c.dropped + excluded.dropped
"""

ADD_DAY_COUNTS = """
INSERT INTO {s}.day_counts AS c (day, facts, what, part, count, amount)
SELECT t.day, t.facts, t.what, pg_backend_pid(), t.count, t.amount
FROM unnest($1::integer[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) AS t (day, facts, what, count, amount)
ORDER BY t.day, t.facts, t.what ON CONFLICT (day, facts, what, part) DO UPDATE
SET count = c.count + excluded.count, amount = c.amount + excluded.amount
"""

# Claims.

CLAIM = """
WITH due AS (
    SELECT h.queue, h.lane, h.place, h.due_at, h.token IS NOT NULL AS is_leased
    FROM {s}.heads AS h WHERE h.queue = $1 AND h.due_at <= {now}
    ORDER BY h.due_at, h.place LIMIT $2 FOR UPDATE SKIP LOCKED),
numbered AS (SELECT due.*, row_number() OVER (ORDER BY due.due_at, due.place) AS number FROM due),
leased AS (
    UPDATE {s}.heads AS h SET token = ($4::text[])[n.number], attempts = h.attempts + 1, due_at = {now} + $3::float8
    FROM numbered AS n WHERE h.queue = n.queue AND h.lane = n.lane
    RETURNING h.id, h.token, h.attempts, n.is_leased, n.number)
SELECT l.token, l.attempts, l.is_leased, {entry} FROM leased AS l JOIN {s}.entries AS e ON e.id = l.id ORDER BY l.number
"""

RENEW = """
WITH owned AS (
    SELECT h.queue, h.lane FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS t (queue, lane, id, token)
    JOIN {s}.heads AS h ON h.queue = t.queue AND h.lane = t.lane AND h.id = t.id AND h.token = t.token
    ORDER BY h.queue, h.lane FOR UPDATE OF h)
UPDATE {s}.heads AS h SET due_at = {now} + $5::float8
FROM owned WHERE h.queue = owned.queue AND h.lane = owned.lane RETURNING h.token
"""

NEXT_DUE_IN = """
SELECT greatest(h.due_at - {now}, 0.0) FROM {s}.heads AS h WHERE h.queue = $1 ORDER BY h.due_at LIMIT 1
"""

# What is looked at.

RECALL = """
SELECT m.key, m.value FROM {s}.marks AS m
WHERE m.key = ANY ($1::text[]) AND (m.expires_at IS NULL OR m.expires_at > {now})
"""

STATS = """
SELECT c.queue, sum(c.accepted)::bigint, sum(c.done)::bigint, sum(c.dead)::bigint, sum(c.dropped)::bigint,
    (SELECT count(*) FROM {s}.heads AS h WHERE h.queue = c.queue AND h.token IS NOT NULL AND h.due_at > {now}),
    (SELECT e.created_at FROM {s}.entries AS e WHERE e.queue = c.queue AND e.state IS NULL ORDER BY e.place LIMIT 1)
FROM {s}.counts AS c GROUP BY c.queue
"""

READ_DAY_COUNTS = """
SELECT c.day, c.facts, c.what, sum(c.count)::bigint, sum(c.amount) FROM {s}.day_counts AS c
WHERE ($1::bigint IS NULL OR c.day >= $1) AND ($2::bigint IS NULL OR c.day <= $2) GROUP BY 1, 2, 3
"""

_IS_LEASED = "(h.token IS NOT NULL AND h.due_at > {now})"

_LISTED = f"""
SELECT e.place, coalesce(e.state, CASE WHEN {_IS_LEASED} THEN 'in flight' ELSE 'waiting' END) AS state,
    coalesce(h.attempts, e.attempts), coalesce(h.reason, e.reason), coalesce(h.detail, e.detail),
    CASE WHEN e.state IS NULL THEN coalesce(h.due_at, nullif(e.due_at, 0)) END, e.ended_at, h.token, {{entry}}
FROM {{s}}.entries AS e
LEFT JOIN {{s}}.heads AS h ON e.state IS NULL AND h.queue = e.queue AND h.lane = e.lane AND h.id = e.id
"""

FIND = f"{_LISTED} WHERE e.id = $1 AND NOT e.purged AND {{is_seen}}"

_AFTER = """
WITH after AS (SELECT CASE WHEN $2::text IS NULL THEN -1 ELSE (
    SELECT e.place FROM {s}.entries AS e WHERE e.id = $2 AND {is_seen}) END AS place)
"""

_OF_QUEUE = "e.queue = $1 AND e.place > (SELECT after.place FROM after)"

_LEASED_HEADS = f"""
SELECT h.id FROM {{s}}.heads AS h
WHERE h.queue = $1 AND {_IS_LEASED} AND h.place > (SELECT after.place FROM after) ORDER BY h.place LIMIT $3
"""

_OF_STATE = {
    EntryState.WAITING: f"{_OF_QUEUE} AND e.state IS NULL AND {_IS_LEASED} IS NOT TRUE",
    EntryState.IN_FLIGHT: f"e.id IN ({_LEASED_HEADS})",
    **{
        settled: f"{_OF_QUEUE} AND e.state = '{settled}' AND NOT e.purged"
        for settled in (EntryState.DONE, EntryState.DEAD, EntryState.DROPPED)
    },
}


def listing(states: Sequence[EntryState]) -> str:
    """
    The statement that lists entries of a queue in these states, in the order of their places.

    Its parameters are the queue, the id after which to begin (``None``: the beginning), and how many.
    """
    listed = " UNION ALL ".join(f"({_LISTED} WHERE {_OF_STATE[state]} ORDER BY 1 LIMIT $3)" for state in states)
    return f"{_AFTER} SELECT * FROM ({listed}) AS listed ORDER BY 1 LIMIT $3"


LIST_LANE = f"""
{_AFTER} SELECT * FROM (
    {_LISTED} WHERE {_OF_QUEUE} AND e.lane = $4 AND NOT e.purged OFFSET 0) AS listed
WHERE listed.state = ANY ($5::text[]) ORDER BY 1 LIMIT $3
"""
"""The same of one lane, which has few entries; its further parameters are the lane and the states."""

HISTORY = f"""
{_LISTED} WHERE e.lane = ANY ($1::text[]) AND NOT e.purged AND {{is_seen}} ORDER BY e.place DESC LIMIT $2
"""

# What an operator does. Only one process at a time moves dead entries, or they could slip through between two.

LOCK_UPKEEP = "SELECT pg_advisory_xact_lock(hashtextextended('kochava-bot upkeep {s}', 0))"

LOCK_DEAD = """
SELECT e.reason, {entry} FROM {s}.entries AS e
WHERE e.id = ANY ($1::text[]) AND e.state = 'dead' AND NOT e.purged FOR UPDATE OF e
"""
"""Locked, so that no purge removes them meanwhile."""

RETRIED_ENTRIES = """
UPDATE {s}.entries AS e SET place = t.place, due_at = $3::float8, state = NULL, attempts = 0, reason = '', detail = '',
    ended_at = NULL
FROM unnest($1::text[], $2::bigint[]) AS t (id, place) WHERE e.id = t.id
"""

LOCK_HEADS_OF_LANES = """
WITH locked AS (
    SELECT h.queue, h.lane, h.place, h.id, h.token, h.attempts
    FROM (SELECT DISTINCT c.queue FROM {s}.counts AS c) AS q CROSS JOIN unnest($1::text[]) AS t (lane)
    JOIN {s}.heads AS h ON h.queue = q.queue AND h.lane = t.lane
    ORDER BY h.queue, h.lane FOR UPDATE OF h)
SELECT {now}, locked.* FROM (SELECT) AS one LEFT JOIN locked ON true
"""
"""Each queue that ever accepted something has counts."""

FORGET = """
WITH old AS (
    SELECT e.id, e.state, e.label, e.reason FROM {s}.entries AS e
    WHERE e.lane = ANY ($1::text[]) AND (e.state = 'dead' AND NOT e.purged OR e.state IS NULL AND EXISTS (
        SELECT FROM unnest($2::text[], $3::text[]) AS t (queue, lane) WHERE t.queue = e.queue AND t.lane = e.lane))
    FOR UPDATE OF e),
gone AS (
    DELETE FROM {s}.heads AS h USING unnest($2::text[], $3::text[]) AS t (queue, lane)
    WHERE h.queue = t.queue AND h.lane = t.lane RETURNING h.id, h.attempts),
dropped AS (
    UPDATE {s}.entries AS e SET state = 'dropped', reason = $4, ended_at = $5::float8, lane = '', name = '',
        label = '', detail = '', body = '',
        attempts = coalesce((SELECT gone.attempts FROM gone WHERE gone.id = e.id), e.attempts)
    FROM old WHERE e.id = old.id RETURNING e.queue, old.state, old.label, old.reason),
blanked AS (
    UPDATE {s}.entries AS e SET lane = '', name = '', label = '', detail = '', body = ''
    WHERE e.lane = ANY ($1::text[]) AND (e.state IN ('done', 'dropped') OR e.purged))
SELECT d.queue, d.state, d.label, d.reason, count(*) FROM dropped AS d GROUP BY 1, 2, 3, 4
"""
"""Lanes, locked queues and lanes, reason, time. Answers how many were dropped, by what they were before."""

PURGE = """
WITH old AS (
    SELECT e.id FROM {s}.entries AS e
    WHERE e.state IN ('dead', 'dropped') AND NOT e.purged AND e.ended_at < {now} - $1::float8
    ORDER BY e.ended_at LIMIT $2 FOR UPDATE SKIP LOCKED),
gone AS (
    UPDATE {s}.entries AS e SET purged = true, body = '', name = '', label = '', reason = '', detail = ''
    FROM old WHERE e.id = old.id)
SELECT count(*) FROM old
"""

FORGET_DAY_COUNTS = "DELETE FROM {s}.day_counts AS c WHERE c.day < $1"

LOCK_DAY_COUNTS = "SELECT pg_try_advisory_xact_lock(hashtextextended('kochava-bot day counts {s}', 0))"

JOIN_DAY_COUNTS = """
WITH old AS (
    DELETE FROM {s}.day_counts AS c
    WHERE c.part <> 0 AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = c.part)
    RETURNING c.day, c.facts, c.what, c.count, c.amount)
INSERT INTO {s}.day_counts AS c (day, facts, what, part, count, amount)
SELECT o.day, o.facts, o.what, 0, sum(o.count), sum(o.amount) FROM old AS o GROUP BY 1, 2, 3
ON CONFLICT (day, facts, what, part) DO UPDATE SET count = c.count + excluded.count, amount = c.amount + excluded.amount
"""
"""What connections that ended have counted becomes one row; part 0 is nobody else's."""

SWEEP = """
WITH expired_entries AS (
    SELECT e.id FROM {s}.entries AS e WHERE (e.state = 'done' OR e.purged) AND e.ended_at <= {now} - {dedupe_seconds}
    ORDER BY e.ended_at LIMIT $1 FOR UPDATE SKIP LOCKED),
gone_entries AS (DELETE FROM {s}.entries AS e USING expired_entries AS old WHERE e.id = old.id),
expired_marks AS (
    SELECT m.key FROM {s}.marks AS m WHERE m.expires_at <= {now}
    ORDER BY m.expires_at LIMIT $1 FOR UPDATE SKIP LOCKED),
gone_marks AS (DELETE FROM {s}.marks AS m USING expired_marks AS old WHERE m.key = old.key),
late_heads AS (
    SELECT h.queue, h.lane, {now} + t.longest AS due_at
    FROM unnest($2::text[], $3::float8[]) AS t (queue, longest)
    JOIN {s}.heads AS h ON h.queue = t.queue AND h.due_at > {now} + t.longest LIMIT $1 FOR UPDATE OF h SKIP LOCKED),
moved_heads AS (
    UPDATE {s}.heads AS h SET due_at = late.due_at FROM late_heads AS late
    WHERE h.queue = late.queue AND h.lane = late.lane)
SELECT greatest((SELECT count(*) FROM expired_entries), (SELECT count(*) FROM expired_marks),
    (SELECT count(*) FROM late_heads))
"""
"""How many rows of each kind, queues and their longest waits."""
