"""A disk that is full for one store alone, whatever the user: SQLite itself lets its file grow no further."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from pathlib import Path

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.records import Mark, Unit
from kochava_bot_middleware.store.sqlite.reserve import Reserve
from kochava_bot_middleware.store.sqlite.store import SqliteStore

PAGE_BYTES = 4096
RESERVE_BYTES = 1 << 20
NO_LIMIT = 1 << 30


class LimitedReserve(Reserve):
    """
    The real reserve, on a disk where nothing but it can be given up.

    Attributes:
        disk_is_full: Whether there is no other room.
    """

    def __init__(self, store: Path) -> None:
        super().__init__(store, RESERVE_BYTES)
        self._connection: sqlite3.Connection | None = None
        self.disk_is_full = False

    def attach(self, connection: sqlite3.Connection, _now: float) -> None:
        """Limit the file of this connection."""
        self._connection = connection

    def restore(self) -> bool:
        if self.disk_is_full:
            return False
        self.limit(NO_LIMIT)
        return super().restore()

    def release(self) -> None:
        super().release()
        if self.disk_is_full and self._connection is not None:
            (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
            self.limit(pages + RESERVE_BYTES // PAGE_BYTES)

    def limit(self, pages: int) -> None:
        """Fewer than there are stand for as many as there are."""
        if self._connection is not None:
            self._connection.execute(f"PRAGMA max_page_count = {pages}")


async def open_on_small_disk(path: Path) -> tuple[SqliteStore, LimitedReserve]:
    """A store whose disk can be filled."""
    reserve = LimitedReserve(path)
    store = SqliteStore(path, reserve=reserve)
    await store.read(reserve.attach)
    return store, reserve


async def fill(store: SqliteStore, reserve: LimitedReserve) -> None:
    """Let the file grow no further, and use up what is free within it. What is deleted later can be used again."""

    def stop(_connection: sqlite3.Connection, _now: float) -> None:
        reserve.disk_is_full = True
        reserve.limit(1)

    await store.read(stop)
    for size in (10 * PAGE_BYTES, PAGE_BYTES, 64):
        with contextlib.suppress(StoreUnavailable):
            for number in itertools.count():
                await store.commit(Unit(marks=[Mark(lane="", key=f"ballast {size} {number}", value=bytes(size))]))


async def make_room(store: SqliteStore, reserve: LimitedReserve) -> None:
    """As if something else on the disk had been deleted."""

    def begin(_connection: sqlite3.Connection, _now: float) -> None:
        reserve.disk_is_full = False
        if reserve.is_held:
            reserve.limit(NO_LIMIT)

    await store.read(begin)
