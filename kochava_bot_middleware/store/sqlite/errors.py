"""Which error of a store an error of SQLite is: one that passes, one of this unit alone, or one that needs repair."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from ...exceptions import NotStorable, StoreError, StoreUnavailable, StoreUnusable
from ..unforeseen import unforeseen

_PASSING = {
    "SQLITE_CANTOPEN": "cannot be opened; see that it is a file in a folder this user may write to",
    "SQLITE_BUSY": "is held by another process that is writing; see which one, or raise busy_timeout_seconds",
    "SQLITE_LOCKED": "is held by another process that is writing; see which one, or raise busy_timeout_seconds",
    "SQLITE_FULL": "cannot grow, since the disk is full; make room on it",
    "SQLITE_IOERR": "cannot be read or written; look at the disk",
    "SQLITE_PROTOCOL": "is opened and closed by many processes at this moment",
    "SQLITE_NOMEM": "cannot be used, since memory is short",
    "SQLITE_INTERRUPT": "was interrupted",
}

_WANTS_REPAIR = {
    "SQLITE_NOTADB": "is not an SQLite database; name another file",
    "SQLITE_CORRUPT": "is damaged; restore it from a backup, or move it away to begin anew",
    "SQLITE_READONLY": "cannot be written; give this user write access to the file and to its folder",
    "SQLITE_PERM": "cannot be written; give this user write access to the file and to its folder",
}

_OF_THE_UNIT = {
    "SQLITE_TOOBIG": "too large for the store",
    "SQLITE_CONSTRAINT": "refused by a constraint of the store",
}

_DAMAGED = ("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB")


class Emptied(Exception):
    """A row is missing that every file of ours has."""


def classify(exc: Exception, path: Path) -> StoreError:
    """
    The error to raise for *exc*: what was tried, and how to fix it.

    What SQLite says and is not known is taken for a fault of the unit: were it one of the store, not even a dead letter
    could be kept.
    """
    if isinstance(exc, StoreError):
        return exc
    error = _classified(exc, _name(exc), path)
    error.__cause__ = exc
    return error


def is_damaged(exc: Exception) -> bool:
    """Whether the connection must not be used again."""
    return _name(exc).startswith(_DAMAGED)


def is_busy(exc: BaseException | None) -> bool:
    """Whether another process was writing for too long."""
    return _name(exc).startswith("SQLITE_BUSY")


def _name(exc: BaseException | None) -> str:
    return getattr(exc, "sqlite_errorname", None) or ""


def _classified(exc: Exception, name: str, path: Path) -> StoreError:
    for known, kind in ((_PASSING, StoreUnavailable), (_WANTS_REPAIR, StoreUnusable)):
        for prefix, advice in known.items():
            if name.startswith(prefix):
                return kind(f"the store {path} {advice} (SQLite: {exc})")
    if isinstance(exc, sqlite3.Error) and str(exc).startswith("no such "):
        advice = "misses our tables; restore it from a backup, or move it away to begin anew"
        return StoreUnusable(f"the store {path} {advice} (SQLite: {exc})")
    if isinstance(exc, Emptied):
        advice = "was emptied; restore it from a backup, or move it away to begin anew"
        return StoreUnusable(f"the store {path} {advice}")
    if isinstance(exc, MemoryError | OSError) or (isinstance(exc, sqlite3.Error) and "closed database" in str(exc)):
        return StoreUnavailable(f"the store {path} cannot be used ({type(exc).__name__}: {exc})")
    # Not the text of the error, which may quote what could not be kept.
    message = f"the store {path} cannot keep this ({name or type(exc).__name__})"
    for prefix, reason in _OF_THE_UNIT.items():
        if name.startswith(prefix):
            return NotStorable(message, reason=reason)
    if isinstance(exc, UnicodeError | OverflowError):
        return NotStorable(message, reason="the store has no form for it")
    return NotStorable(message) if isinstance(exc, sqlite3.Error) else unforeseen(exc, str(path))
