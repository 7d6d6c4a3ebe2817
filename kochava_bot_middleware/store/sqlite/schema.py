"""
The SQLite file: its tables, its versions, and how a connection to it is opened.

::

    entries     everything that waits or is in flight, in order of `place`
    heads       the first entry of each lane, and who leases it; the only table a claim searches
    ended       dead and dropped entries
    remembered  ids of settled entries, for as long as a repetition may come
    marks       keyed state
    counts      by queue, changed in the transaction that changes what they count
    places      one row: the next `place`
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from ...exceptions import SchemaTooNew, StoreUnavailable
from ..settings import StoreSettings

APPLICATION_ID = 0x4B426F74
"""Marks the file as ours (``KBot``), so that another program's database is never touched."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE entries (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, queue TEXT NOT NULL,
        lane TEXT NOT NULL, schema INTEGER NOT NULL, created_at REAL NOT NULL, due_at REAL, body BLOB NOT NULL)
        """,
        "CREATE INDEX entries_by_lane ON entries (lane, queue)",
        # Leased or not comes before due_at, so that what is in flight is counted without passing what is in backoff.
        """
        CREATE TABLE heads (queue TEXT NOT NULL, place INTEGER NOT NULL, created_at REAL NOT NULL,
        leased INTEGER NOT NULL, due_at REAL NOT NULL, token TEXT, attempts INTEGER NOT NULL,
        reason TEXT NOT NULL, detail TEXT NOT NULL, PRIMARY KEY (queue, place)) WITHOUT ROWID
        """,
        "CREATE INDEX heads_by_due ON heads (queue, leased, due_at)",
        """
        CREATE TABLE ended (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, queue TEXT NOT NULL,
        lane TEXT NOT NULL, schema INTEGER NOT NULL, created_at REAL NOT NULL, due_at REAL, body BLOB NOT NULL,
        state TEXT NOT NULL, attempts INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
        ended_at REAL NOT NULL)
        """,
        "CREATE INDEX ended_by_lane ON ended (lane)",
        "CREATE INDEX ended_by_state ON ended (queue, state)",
        "CREATE INDEX ended_by_time ON ended (ended_at)",
        "CREATE TABLE remembered (id TEXT PRIMARY KEY, until REAL NOT NULL, place INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE INDEX remembered_by_time ON remembered (until)",
        "CREATE TABLE marks (key TEXT PRIMARY KEY, value BLOB NOT NULL, expires_at REAL) WITHOUT ROWID",
        "CREATE INDEX marks_by_time ON marks (expires_at) WHERE expires_at IS NOT NULL",
        """
        CREATE TABLE counts (queue TEXT PRIMARY KEY, accepted INTEGER NOT NULL, done INTEGER NOT NULL,
        dead INTEGER NOT NULL, dropped INTEGER NOT NULL) WITHOUT ROWID
        """,
        "CREATE TABLE places (next INTEGER NOT NULL)",
        "INSERT INTO places VALUES (1)",
    ),
)
"""Step N turns version N into N + 1. A step that was released is never changed."""


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
        connection = sqlite3.connect(path, timeout=settings.busy_timeout_seconds, isolation_level=None)
        # Nothing may be written before this, so that a file that is not ours stays as it is.
        _check_origin(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {settings.synchronous}")
        # A handled message must not stay readable in the file. FAST would leave it on the pages that become free.
        connection.execute("PRAGMA secure_delete = ON")
        # The writer folds the log in pauses. Where there are none, this keeps the log below what `Reserve` can take.
        connection.execute("PRAGMA wal_autocheckpoint = 2000")
        connection.execute("PRAGMA cache_size = -16000")
        _migrate(connection)
        return connection
    except BaseException as exc:
        if connection is not None:
            connection.close()
        if isinstance(exc, sqlite3.Error):
            raise unavailable(exc, path) from exc
        raise


def connect_for_reading(path: Path, settings: StoreSettings) -> sqlite3.Connection:
    """
    Open a file that a `connect` has prepared, for one look at it.

    Raises:
        StoreUnavailable: It cannot be opened.
    """
    try:
        connection = sqlite3.connect(path, timeout=settings.busy_timeout_seconds, isolation_level=None)
    except sqlite3.Error as exc:
        raise unavailable(exc, path) from exc
    connection.execute("PRAGMA query_only = ON")
    return connection


def unavailable(exc: sqlite3.Error, path: Path) -> StoreUnavailable:
    """The error to raise for what SQLite says: what was tried, and how to mend it."""
    name = getattr(exc, "sqlite_errorname", None) or ""
    for prefix, advice in _ADVICE.items():
        if name.startswith(prefix):
            return StoreUnavailable(f"the store {path} {advice} (SQLite: {exc})")
    return StoreUnavailable(f"the store {path} cannot be used (SQLite: {exc})")


def is_full(exc: sqlite3.Error) -> bool:
    """Whether there was no room left."""
    return getattr(exc, "sqlite_errorname", None) == "SQLITE_FULL"


_ADVICE = {
    "SQLITE_NOTADB": "is not an SQLite database; name another file",
    "SQLITE_CORRUPT": "is damaged; restore it from a backup, or move it away to begin anew",
    "SQLITE_CANTOPEN": "cannot be opened; see that it is a file in a folder this user may write to",
    "SQLITE_READONLY": "cannot be written; give this user write access to the file and to its folder",
    "SQLITE_PERM": "cannot be written; give this user write access to the file and to its folder",
    "SQLITE_BUSY": "is held by another process that is writing; see which one, or raise busy_timeout_seconds",
    "SQLITE_LOCKED": "is held by another process that is writing; see which one, or raise busy_timeout_seconds",
    "SQLITE_FULL": "cannot grow, since the disk is full; make room on it",
    "SQLITE_IOERR": "cannot be read or written; look at the disk",
}


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
    version = _pragma(connection, "user_version")
    has_tables = connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_schema)").fetchone()[0]
    if has_tables and _pragma(connection, "application_id") != APPLICATION_ID:
        message = f"the store {path} is the database of another program; name another file"
        raise StoreUnavailable(message)
    if version > len(MIGRATIONS):
        known = len(MIGRATIONS)
        message = f"the store {path} has schema {version}, and this release knows up to {known}; upgrade the package"
        raise SchemaTooNew(message)


def _migrate(connection: sqlite3.Connection) -> None:
    if _pragma(connection, "user_version") == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have done it while this one waited for the lock.
    for step in MIGRATIONS[_pragma(connection, "user_version") :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
