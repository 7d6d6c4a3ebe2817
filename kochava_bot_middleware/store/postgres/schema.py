"""
The tables in PostgreSQL, their versions, and the check of both.

::

    entries     every entry, in the order of `place`; one that is settled keeps its row as the memory of its id
    heads       the first entry of each lane, its lease and when it is due; a claim searches it, and a commit locks
                it to change a lane
    marks       state entries
    counts      by queue, in parts, so that connections do not wait for one another to count; read as their sum
    day_counts  by day; each connection has a part of its own, and a sweep joins the parts of those that ended
    hold        locks heads and state entries, and fails unless they are still what a commit has read
    expect      fails unless it is given true

In `entries`, `state` is NULL until an entry is settled; `purged` says that only its id counts. Each partial index is
for one use (what waits, what is settled, what a sweep or a purge takes away), so that neither millions of settled rows
nor a long backlog is in the way of the others.

Most rows change within seconds, so the tables are vacuumed early and without pauses (see `_BUSY`). No update of a
head can be heap-only, since the time it is due is indexed; the space left free in a page is for its next version. A
transaction that is left open for hours keeps all dead rows and makes claims slow: monitor such transactions.
"""

from __future__ import annotations

import attrs

from ...exceptions import SchemaTooNew, StoreUnusable
from .session import PostgresSession

_BUSY = (
    "autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0, "
    "autovacuum_analyze_scale_factor = 0.05"
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE SEQUENCE {s}.places",
        f"""
        CREATE TABLE {{s}}.entries (queue text COLLATE "C" NOT NULL, place bigint NOT NULL,
        id text COLLATE "C" NOT NULL, lane text COLLATE "C" NOT NULL, schema integer NOT NULL,
        created_at float8 NOT NULL, due_at float8, body bytea NOT NULL, PRIMARY KEY (queue, place)) WITH ({_BUSY})
        """,
        "CREATE INDEX entries_by_lane ON {s}.entries (queue, lane, place)",
        f"""
        CREATE TABLE {{s}}.heads (queue text COLLATE "C" NOT NULL, lane text COLLATE "C" NOT NULL,
        place bigint NOT NULL, id text COLLATE "C" NOT NULL, due_at float8 NOT NULL, token text,
        attempts integer NOT NULL, reason text NOT NULL, detail text NOT NULL,
        PRIMARY KEY (queue, lane)) WITH (fillfactor = 80, {_BUSY})
        """,
        "CREATE INDEX heads_by_due ON {s}.heads (queue, due_at, place)",
        "CREATE INDEX heads_by_lease ON {s}.heads (queue, due_at) WHERE token IS NOT NULL",
        """
        CREATE TABLE {s}.ended (place bigint PRIMARY KEY, id text COLLATE "C" NOT NULL, queue text COLLATE "C" NOT NULL,
        lane text COLLATE "C" NOT NULL, schema integer NOT NULL, created_at float8 NOT NULL, due_at float8,
        body bytea NOT NULL, state text NOT NULL, attempts integer NOT NULL, reason text NOT NULL,
        detail text NOT NULL, ended_at float8 NOT NULL)
        """,
        "CREATE INDEX ended_by_queue ON {s}.ended (queue, place)",
        "CREATE INDEX ended_by_time ON {s}.ended (ended_at)",
        "CREATE INDEX dead_by_lane ON {s}.ended (lane) WHERE state = 'dead'",
        f"""
        CREATE TABLE {{s}}.ids (id text COLLATE "C" PRIMARY KEY, place bigint NOT NULL, until float8 NOT NULL,
        kept boolean NOT NULL) WITH (fillfactor = 90, {_BUSY})
        """,
        "CREATE INDEX ids_by_time ON {s}.ids (until) WHERE until < 'infinity' AND until > '-infinity'",
        """
        CREATE TABLE {s}.marks (key text COLLATE "C" PRIMARY KEY, value bytea NOT NULL, expires_at float8)
        WITH (fillfactor = 80)
        """,
        "CREATE INDEX marks_by_time ON {s}.marks (expires_at) WHERE expires_at IS NOT NULL",
        """
        CREATE TABLE {s}.counts (queue text COLLATE "C" NOT NULL, part integer NOT NULL, accepted bigint NOT NULL,
        done bigint NOT NULL, dead bigint NOT NULL, dropped bigint NOT NULL, PRIMARY KEY (queue, part))
        WITH (fillfactor = 20, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0)
        """,
    ),
    (
        """
        ALTER TABLE {s}.entries DROP CONSTRAINT entries_pkey, ADD kind text NOT NULL DEFAULT '',
        ADD name text NOT NULL DEFAULT '', ADD state text, ADD purged boolean NOT NULL DEFAULT false,
        ADD attempts integer NOT NULL DEFAULT 0, ADD reason text NOT NULL DEFAULT '',
        ADD detail text NOT NULL DEFAULT '', ADD ended_at float8, ADD label text NOT NULL DEFAULT ''
        """,
        "DROP INDEX {s}.entries_by_lane",
        """
        INSERT INTO {s}.entries (place, id, queue, lane, schema, created_at, due_at, body, state, attempts, reason,
            detail, ended_at)
        SELECT d.place, d.id, d.queue, d.lane, d.schema, d.created_at, d.due_at, d.body, d.state, d.attempts, d.reason,
            d.detail, d.ended_at
        FROM {s}.ended AS d
        """,
        # Of these, version 1 knew only the id, the place, and until when the id is remembered.
        """
        INSERT INTO {s}.entries (place, id, queue, lane, schema, created_at, body, state, purged, ended_at)
        SELECT i.place, i.id, '', '', 0, 0, '', 'done', true, i.until - {dedupe_seconds}
        FROM {s}.ids AS i WHERE NOT i.kept
        """,
        "DROP TABLE {s}.ended, {s}.ids",
        "ALTER TABLE {s}.entries ADD PRIMARY KEY (id)",
        """
        CREATE TABLE {s}.day_counts (day integer NOT NULL, facts text COLLATE "C" NOT NULL,
        what text COLLATE "C" NOT NULL, part integer NOT NULL, count bigint NOT NULL, amount numeric NOT NULL,
        PRIMARY KEY (day, facts, what, part))
        WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0)
        """,
        "CREATE INDEX entries_by_lane ON {s}.entries (lane, queue, place)",
        "CREATE INDEX entries_waiting ON {s}.entries (queue, place) WHERE state IS NULL",
        "CREATE INDEX entries_settled ON {s}.entries (queue, state, place) WHERE state IS NOT NULL AND NOT purged",
        "CREATE INDEX entries_to_sweep ON {s}.entries (ended_at) WHERE state = 'done' OR purged",
        "CREATE INDEX entries_to_purge ON {s}.entries (ended_at) WHERE state IN ('dead', 'dropped') AND NOT purged",
    ),
    # No plan of theirs may read a table whole: it would be kept from when the tables were empty.
    (
        """
        CREATE FUNCTION {s}.hold(queues text[], lanes text[], places bigint[], tokens text[], following bigint[],
        keys text[], vals bytea[], moment float8) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan TO off
        SET enable_bitmapscan TO off SET enable_hashjoin TO off SET enable_mergejoin TO off SET lock_timeout TO 5000
        AS $function$ #variable_conflict use_column
        BEGIN
            PERFORM FROM unnest(queues, lanes) AS t (queue, lane) JOIN {s}.heads AS h USING (queue, lane)
            ORDER BY h.queue, h.lane FOR UPDATE OF h;
            PERFORM FROM {s}.marks AS m WHERE m.key = ANY (keys) ORDER BY m.key FOR UPDATE OF m;
            -- Each statement sees what was committed before it, and so all that came before the locks.
            RETURN {s}.expect(NOT EXISTS (
                SELECT FROM unnest(queues, lanes, places, tokens, following) AS t (queue, lane, place, token, following)
                LEFT JOIN {s}.heads AS h USING (queue, lane)
                WHERE h.place IS DISTINCT FROM t.place OR t.following IS NOT NULL AND (
                    h.token IS DISTINCT FROM t.token OR t.following >= 0 AND t.following <> coalesce((
                        SELECT e.place FROM {s}.entries AS e WHERE e.lane = t.lane AND e.queue = t.queue
                        AND e.place > t.place AND coalesce(e.state, '') = '' ORDER BY e.place LIMIT 1), 0))
            ) AND NOT EXISTS (
                SELECT FROM unnest(keys, vals) AS t (key, value) LEFT JOIN {s}.marks AS m USING (key)
                WHERE m.value IS DISTINCT FROM t.value OR m.expires_at <= moment));
        END $function$
        """,
        """
        CREATE FUNCTION {s}.expect(holds boolean) RETURNS boolean LANGUAGE plpgsql AS $function$
        BEGIN
            IF holds IS NOT TRUE THEN RAISE 'another transaction came first' USING ERRCODE = 'serialization_failure';
            END IF;
            RETURN true;
        END $function$
        """,
    ),
)
"""Step N turns version N into N + 1. A step that was released is never changed."""

MIGRATION_SECONDS = 86_400.0
"""Longest wait for one statement of a migration, which rewrites whole tables."""

_VERSION = "SELECT version FROM {s}.store_version"
_VERSION_OF_TABLES = """
SELECT CASE WHEN to_regproc('{s}.hold') IS NOT NULL THEN 3
    WHEN EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass('{s}.entries')
    AND attname = 'purged' AND NOT attisdropped) THEN 2 ELSE 1 END
"""
_HAS_VERSION = "SELECT to_regclass('{s}.store_version') IS NOT NULL"
_HAS_TABLES = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = to_regnamespace('{s}'))"
_ENCODING = "SELECT current_setting('server_encoding')"
_LOSSLESS = ("UTF8", "SQL_ASCII")
"""Encodings of a database that keep all characters; the second one keeps the bytes as they come."""
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('kochava-bot store init', 0))"


async def check(session: PostgresSession, *, shown: str, trusts_server: bool) -> None:
    """
    Check that the tables are there and are those of this release, and that what is committed is kept as it is.

    Raises:
        StoreUnusable: They are not; says what to do.
        SchemaTooNew: A newer release made them.
    """
    await _refuse_encoding(session, shown)
    version = await _version(session)
    if version is None:
        raise emptied(shown, session.schema)
    _refuse_newer(version, session.schema, shown)
    if version < len(MIGRATIONS):
        found = f"has schema version {version}" if version else "has no tables of this package"
        advice = f"run `kochava-bot store init` to bring {session.schema} to version {len(MIGRATIONS)}"
        message = f"the store {shown} {found} in {session.schema}; {advice}"
        raise StoreUnusable(message)
    if not trusts_server and await session.value("SELECT current_setting('synchronous_commit') = 'off'"):
        advice = "set it on (ALTER ROLE … SET synchronous_commit = on), or accept that with ?durability=server"
        message = f"the store {shown} could lose what it committed, since synchronous_commit is off; {advice}"
        raise StoreUnusable(message)


async def initialize(session: PostgresSession, *, shown: str) -> None:
    """
    Make the tables, or bring those of an older release up to date. Does nothing where they are as they should be.

    Raises:
        StoreUnusable: The schema holds the tables of another program, or the database cannot keep all characters.
        SchemaTooNew: A newer release made them.
    """
    await _refuse_encoding(session, shown)
    session = attrs.evolve(session, timeout_seconds=MIGRATION_SECONDS)
    await session.fetch(_LOCK)
    version = await _version(session)
    if version is None:
        version = await session.value(_VERSION_OF_TABLES)
        await session.fetch("INSERT INTO {s}.store_version VALUES ($1::integer)", version)
    _refuse_newer(version, session.schema, shown)
    if version == 0:
        if await session.value(_HAS_TABLES):
            message = f"the store {shown}: {session.schema} holds other tables; name another one with ?schema="
            raise StoreUnusable(message)
        # Not "IF NOT EXISTS", which wants the right to create schemas even where there is one.
        if await session.value("SELECT to_regnamespace('{s}') IS NULL"):
            await session.fetch("CREATE SCHEMA {s}")
        await session.fetch("CREATE TABLE {s}.store_version (version integer NOT NULL)")
        await session.fetch("INSERT INTO {s}.store_version VALUES (0)")
    for step in MIGRATIONS[version:]:
        for statement in step:
            await session.fetch(statement)
    await session.fetch("UPDATE {s}.store_version SET version = $1", len(MIGRATIONS))


async def _refuse_encoding(session: PostgresSession, shown: str) -> None:
    encoding = await session.value(_ENCODING)
    if encoding not in _LOSSLESS:
        advice = "create one with ENCODING 'UTF8' TEMPLATE template0, and name it in `store`"
        message = (
            f"the store {shown} cannot keep all characters, since its database has the encoding {encoding}; {advice}"
        )
        raise StoreUnusable(message)


def emptied(shown: str, schema: str) -> StoreUnusable:
    """The error for a missing row of `store_version`, which is always there, unless somebody emptied the tables."""
    advice = "see who did it, then run `kochava-bot store init`"
    return StoreUnusable(f"the store {shown} was emptied: store_version of {schema} has no row; {advice}")


async def _version(session: PostgresSession) -> int | None:
    """The version of the tables; 0 without tables, ``None`` where it is missing."""
    if not await session.value(_HAS_VERSION):
        return 0
    rows = await session.fetch(_VERSION)
    return int(rows[0][0]) if rows else None


def _refuse_newer(version: int, schema: str, shown: str) -> None:
    if version > len(MIGRATIONS):
        known = len(MIGRATIONS)
        message = (
            f"the store {shown} has schema version {version} in {schema}, and this release knows up to {known}; "
            f"upgrade the package"
        )
        raise SchemaTooNew(message)
