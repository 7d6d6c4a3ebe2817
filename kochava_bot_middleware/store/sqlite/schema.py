"""
The SQLite file: its tables, its versions, and how a connection to it is opened.

::

    entries     everything appended, in order of `place`; a settled entry keeps its row, without its body
    heads       the first living entry of each lane, and its lease; the only table a claim searches
    marks       state entries
    counts      by queue, changed in the transaction that changes what they count; they say the next `place`, too
    day_counts  by day, likewise; they outlive it
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from ...exceptions import SchemaTooNew, StoreUnavailable, StoreUnusable
from ..settings import StoreSettings
from .errors import classify, is_busy

APPLICATION_ID = 0x4B426F74
"""Marks the file as ours (``KBot``), so that another program's database is never touched."""

SCHEMA_VERSION = 3

_ENTRIES = (
    # `state` is NULL while the entry lives. Of a purged row only the id is kept, until it need not be remembered.
    """
    CREATE TABLE entries (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, queue TEXT NOT NULL,
    lane TEXT NOT NULL, schema INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
    label TEXT NOT NULL DEFAULT '', created_at REAL NOT NULL, due_at REAL NOT NULL, state TEXT,
    attempts INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '',
    ended_at REAL, purged INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL)
    """,
    # Partial, so that it stays small: an index over all rows would cost each append a page of its own.
    "CREATE INDEX entries_by_lane ON entries (lane, queue) WHERE state IS NULL",
    "CREATE INDEX entries_kept ON entries (queue, state) WHERE state IN ('dead', 'dropped') AND purged = 0",
    "CREATE INDEX entries_kept_by_time ON entries (ended_at) WHERE state IN ('dead', 'dropped') AND purged = 0",
    "CREATE INDEX entries_ids_by_time ON entries (ended_at) WHERE (state = 'done' OR purged = 1)",
)

_DAY_COUNTS = """
    CREATE TABLE day_counts (day INTEGER NOT NULL, facts TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL,
    amount INTEGER NOT NULL, PRIMARY KEY (day, facts, what)) WITHOUT ROWID
    """

_NEW_FILE = (
    *_ENTRIES,
    _DAY_COUNTS,
    """
    CREATE TABLE heads (queue TEXT NOT NULL, place INTEGER NOT NULL, created_at REAL NOT NULL,
    leased INTEGER NOT NULL, due_at REAL NOT NULL, token TEXT, attempts INTEGER NOT NULL,
    reason TEXT NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (queue, place)) WITHOUT ROWID
    """,
    # Leased or not comes before due_at, so that what is in flight is counted without passing what is in backoff.
    "CREATE INDEX heads_by_due ON heads (queue, leased, due_at)",
    "CREATE TABLE marks (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires_at REAL) WITHOUT ROWID",
    "CREATE INDEX marks_by_time ON marks (expires_at) WHERE expires_at IS NOT NULL",
    # What is accepted or retried gets a place, so the last place is the sum of these.
    """
    CREATE TABLE counts (queue TEXT PRIMARY KEY, accepted INTEGER NOT NULL, done INTEGER NOT NULL,
    dead INTEGER NOT NULL, dropped INTEGER NOT NULL, retried INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID
    """,
    # A row that every file has, so that one which was emptied is noticed.
    "INSERT INTO counts VALUES ('', 0, 0, 0, 0, 0)",
)

_FROM_VERSION_2 = (
    # Version 2 had the next place in a table of its own.
    "ALTER TABLE counts ADD COLUMN retried INTEGER NOT NULL DEFAULT 0",
    "INSERT OR IGNORE INTO counts VALUES ('', 0, 0, 0, 0, 0)",
    """
    UPDATE counts SET retried = (SELECT next FROM places) - 1 - (SELECT SUM(accepted) FROM counts) WHERE queue = ''
    """,
    "DROP TABLE places",
)

_FROM_VERSION_1 = (
    # Version 1 had dead and dropped entries in the table `ended`, and ids of settled ones in `remembered`.
    "ALTER TABLE entries RENAME TO old_entries",
    "DROP INDEX entries_by_lane",
    *_ENTRIES,
    _DAY_COUNTS,
    """
    INSERT INTO entries (place, id, queue, lane, schema, kind, name, created_at, due_at, body)
    SELECT place, id, queue, lane, schema, '', '', created_at, ifnull(due_at, created_at), body
    FROM old_entries ORDER BY place
    """,
    """
    INSERT INTO entries (place, id, queue, lane, schema, kind, name, created_at, due_at, state, attempts, reason,
        detail, ended_at, body)
    SELECT place, id, queue, lane, schema, '', '', created_at, created_at, state, attempts, reason, detail, ended_at,
        body
    FROM ended ORDER BY place
    """,
    """
    INSERT INTO entries (place, id, queue, lane, schema, kind, name, created_at, due_at, state, ended_at, purged, body)
    SELECT place, id, '', '', 1, '', '', 0, 0, 'done', until - :dedupe_seconds, 1, x''
    FROM remembered WHERE id NOT IN (SELECT id FROM entries) ORDER BY place
    """,
    "DROP TABLE old_entries",
    "DROP TABLE ended",
    "DROP TABLE remembered",
    *_FROM_VERSION_2,
)

_MIGRATIONS = {0: _NEW_FILE, 1: _FROM_VERSION_1, 2: _FROM_VERSION_2}
"""What brings a file of each version to the present one."""


def connect(path: Path, settings: StoreSettings) -> sqlite3.Connection:
    """
    Open the file for reading and writing, making it or bringing it up to date first.

    Raises:
        StoreUnavailable: It cannot be opened or written, or is not ours.
        SchemaTooNew: A newer release wrote it.
    """
    _make_private(path)
    connection: sqlite3.Connection | None = None
    try:
        # The thread that forks closes it.
        connection = sqlite3.connect(
            path, timeout=settings.busy_timeout_seconds, isolation_level=None, check_same_thread=False
        )
        # Nothing may be written before this, so that a file that is not ours stays as it is.
        _check_origin(connection, path)
        _use_log(connection, settings.busy_timeout_seconds)
        connection.execute(f"PRAGMA synchronous = {settings.synchronous}")
        # A handled message must not stay readable in the file. FAST would leave it on the pages that become free.
        connection.execute("PRAGMA secure_delete = ON")
        # The writer makes checkpoints in pauses. Where there are none, this keeps the log smaller than `Reserve`.
        connection.execute("PRAGMA wal_autocheckpoint = 2000")
        connection.execute("PRAGMA cache_size = -16000")
        _migrate(connection, path, settings)
        return connection
    except BaseException as exc:
        if connection is not None:
            connection.close()
        if isinstance(exc, sqlite3.Error):
            raise classify(exc, path) from exc
        raise


def _use_log(connection: sqlite3.Connection, timeout_seconds: float) -> None:
    """Switch to the write-ahead log. For this alone, SQLite does not wait while another process opens or closes."""
    ends_at = time.monotonic() + timeout_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as exc:
            if not is_busy(exc) or time.monotonic() > ends_at:
                raise
        time.sleep(0.01)


def connect_for_reading(path: Path, settings: StoreSettings) -> sqlite3.Connection:
    """
    Open a file that `connect` has prepared, for one read.

    Raises:
        StoreUnavailable: It cannot be opened.
    """
    try:
        # At its end, a connection that may write would delete the log if the file has just been replaced by another.
        uri = f"{path.as_uri()}?mode=ro"
        return sqlite3.connect(uri, uri=True, timeout=settings.busy_timeout_seconds, isolation_level=None)
    except sqlite3.Error as exc:
        raise classify(exc, path) from exc


def _make_private(path: Path) -> None:
    """
    Make the file readable for its owner alone, since it holds user ids. SQLite gives its other files the same mode.
    """
    try:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileNotFoundError:
        message = f"the store {path} cannot be made: there is no folder {path.parent}; make it first"
        raise StoreUnavailable(message) from None
    except OSError as exc:
        message = f"the store {path} cannot be made: {exc.strerror}; see that this user may write to {path.parent}"
        raise StoreUnavailable(message) from exc
    if path.is_dir():
        message = f"the store {path} is a folder; name a file in it"
        raise StoreUnavailable(message)


def _check_origin(connection: sqlite3.Connection, path: Path) -> None:
    has_tables = connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_schema)").fetchone()[0]
    if has_tables and _pragma(connection, "application_id") != APPLICATION_ID:
        message = f"the store {path} is the database of another program; name another file"
        raise StoreUnusable(message)
    _check_version(_pragma(connection, "user_version"), path)


def _check_version(version: int, path: Path) -> None:
    if version > SCHEMA_VERSION:
        message = (
            f"the store {path} has schema {version}, and this release knows up to {SCHEMA_VERSION}; upgrade the package"
        )
        raise SchemaTooNew(message)


def _migrate(connection: sqlite3.Connection, path: Path, settings: StoreSettings) -> None:
    if _pragma(connection, "user_version") == SCHEMA_VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have done it while this one waited for the lock.
    version = _pragma(connection, "user_version")
    _check_version(version, path)
    for statement in _MIGRATIONS.get(version, ()):
        connection.execute(statement, {"dedupe_seconds": settings.dedupe_seconds})
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
