"""A SQLite file of a previous release becomes one of this release when it is opened."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.records import DayCount, EntryState
from kochava_bot_middleware.store.settings import StoreSettings
from kochava_bot_middleware.store.sqlite.commit import next_place
from kochava_bot_middleware.store.sqlite.schema import SCHEMA_VERSION
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import append, claim_one, entry, settle
from tests.store.previous_release.adapter import FixedClock
from tests.store.previous_release.load import expected, load_sqlite

EXPECTED = expected()


@pytest.fixture(params=range(1, SCHEMA_VERSION))
def version(request: pytest.FixtureRequest) -> int:
    """The version of the file."""
    return int(request.param)


@pytest.fixture
def path(tmp_path: Path, version: int) -> Path:
    load_sqlite(tmp_path / "store.db", version)
    return tmp_path / "store.db"


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def tables_of(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    finally:
        connection.close()


def columns_of(path: Path) -> set[tuple[str, str]]:
    connection = sqlite3.connect(path)
    try:
        return {
            (table, column[1])
            for table in tables_of(path)
            for column in connection.execute(f"PRAGMA table_info({table})")
        }
    finally:
        connection.close()


def indexes_of(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    try:
        return {statement for (statement,) in connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'index'")}
    finally:
        connection.close()


def place_of(entry_id: str) -> Callable[[sqlite3.Connection, float], int]:
    def query(connection: sqlite3.Connection, _now: float) -> int:
        return int(connection.execute("SELECT place FROM entries WHERE id = ?", (entry_id,)).fetchone()[0])

    return query


def next_place_of_store(connection: sqlite3.Connection, _now: float) -> int:
    return next_place(connection)


def _open_and_count(path: Path, counted: multiprocessing.Queue[object]) -> None:
    async def count() -> object:
        store = SqliteStore(path, clock=FixedClock(EXPECTED["read_at"]))
        try:
            return {queue: attrs.asdict(stats) for queue, stats in (await store.stats()).items()}
        finally:
            await store.close()

    counted.put(asyncio.run(count()))


def test_two_processes_open_the_file_at_once(path: Path) -> None:
    """One of them migrates it, the other waits; both read the same."""
    context = multiprocessing.get_context("spawn")
    counted: multiprocessing.Queue[object] = context.Queue()
    processes = [context.Process(target=_open_and_count, args=(path, counted)) for _ in range(2)]
    for process in processes:
        process.start()
    stats = {queue: about["stats"] for queue, about in EXPECTED["queues"].items()}
    assert [stats, stats] == [counted.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    counted.close()
    assert SCHEMA_VERSION == version_of(path)


async def test_file_that_is_locked_stays_as_it_was_and_is_migrated_later(path: Path, version: int) -> None:
    """The migration is one transaction, which cannot begin while another process is writing."""
    before = tables_of(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = SqliteStore(path, settings=StoreSettings(busy_timeout_seconds=0.05))
    with pytest.raises(StoreUnavailable, match="another process"):
        await store.open()
    other.execute("ROLLBACK")
    other.close()
    assert (version, before) == (version_of(path), tables_of(path))
    await store.open()
    await store.close()
    assert SCHEMA_VERSION == version_of(path)


async def test_migrated_file_has_the_tables_of_a_new_one(path: Path, tmp_path: Path) -> None:
    """Nothing of the former tables is left."""
    for each in (path, tmp_path / "new.db"):
        store = SqliteStore(each)
        await store.open()
        await store.close()
    assert tables_of(tmp_path / "new.db") == tables_of(path)
    assert columns_of(tmp_path / "new.db") == columns_of(path)
    assert indexes_of(tmp_path / "new.db") == indexes_of(path)


async def test_places_go_on_where_they_were(path: Path) -> None:
    """A place that was given is not given again, also after a dead entry was retried."""
    connection = sqlite3.connect(path)
    (before,) = connection.execute("SELECT next FROM places").fetchone()
    connection.close()
    store = SqliteStore(path, clock=FixedClock(EXPECTED["read_at"]))
    await append(store, entry("new"))
    assert [before, before + 1] == [await store.read(place_of("new")), await store.read(next_place_of_store)]
    (dead, *_) = await store.browse("track", state=EntryState.DEAD)
    assert 1 == await store.retry_dead([dead.entry.id])
    assert [before + 1, before + 2] == [
        await store.read(place_of(dead.entry.id)),
        await store.read(next_place_of_store),
    ]
    await store.close()


@pytest.mark.parametrize("version", range(2, SCHEMA_VERSION))
async def test_counters_by_day_are_kept(path: Path) -> None:
    """Version 1 had none."""
    store = SqliteStore(path, clock=FixedClock(EXPECTED["read_at"]))
    assert [DayCount(20_000, "facts", "recorded", 3, 1_500_000)] == await store.counts()
    await store.close()


async def test_new_entries_follow_the_migrated_ones(path: Path) -> None:
    """They are listed behind all that was appended before, and what is done is listed as done."""
    store = SqliteStore(path, clock=FixedClock(EXPECTED["read_at"]))
    await append(store, entry("new", queue="quite new"), entry("last", queue="track"))
    assert "last" == (await store.browse("track", limit=1_000))[-1].entry.id
    await settle(store, await claim_one(store, "quite new"))
    assert ["new"] == [row.entry.id for row in await store.browse("quite new", state=EntryState.DONE)]
    assert [] == await store.browse("", state=EntryState.DONE)
    await store.close()
