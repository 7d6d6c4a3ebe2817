"""A store whose data is taken away while it is open: loud, not ready, and what can be brought to an end is."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable, StoreUnusable
from kochava_bot_middleware.store.postgres.store import PostgresStore
from kochava_bot_middleware.store.records import Outcome, Settlement, Unit
from kochava_bot_middleware.store.redis.store import RedisStore
from kochava_bot_middleware.store.settings import StoreSettings
from kochava_bot_middleware.store.sqlite.schema import connect_for_reading
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import append, claim_one, claimed_ids, entry, mark, put, recalled, settle
from tests.store.postgres_server import PostgresServer, postgres_store
from tests.store.valkey import LocalValkey

Loses = Callable[[Path], None]


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def replace(path: Path) -> None:
    other = path.with_name("other.db")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def rename_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def delete_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


LOST = (delete, delete_all, replace, rename_folder, delete_log, replace_by_folder)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "bot.db"


@pytest.fixture
async def sqlite(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    await store.open()
    yield store
    await store.close()


@pytest.mark.parametrize("lose", LOST)
async def test_lost_file_takes_nothing_new(sqlite: SqliteStore, path: Path, lose: Loses) -> None:
    """It is noticed by the next call of any kind, and the error names the file."""
    await append(sqlite, entry("a"))
    lose(path)
    for call in (append(sqlite, entry("b")), sqlite.stats(), sqlite.browse("track"), sqlite.next_due_in("track")):
        with pytest.raises(StoreUnusable, match=str(path)):
            await call


@pytest.mark.parametrize("lose", LOST)
async def test_lost_file_deletes_nothing_that_somebody_relies_on(sqlite: SqliteStore, path: Path, lose: Loses) -> None:
    """What only the lost file would know, such as that a person opted in again or is forgotten, is refused."""
    await put(sqlite, mark("opted_out", b"1"))
    lose(path)
    for call in (
        put(sqlite, mark("opted_out", None)),
        sqlite.forget(["ann"], reason="forgotten", tombstone=mark("forgotten", b"1")),
        sqlite.purge(ended_for_seconds=0.0),
        sqlite.retry_dead(["a"]),
    ):
        with pytest.raises(StoreUnusable, match=str(path)):
            await call


@pytest.mark.parametrize("lose", LOST)
async def test_lost_file_is_brought_to_an_end(sqlite: SqliteStore, path: Path, lose: Loses) -> None:
    """What waits in it can be claimed and settled, with what follows from that, as long as the process lives."""
    await append(sqlite, entry("a"), entry("b"))
    lose(path)
    claim = await claim_one(sqlite)
    end = Settlement(claim=claim, outcome=Outcome.DONE)
    await sqlite.commit(Unit(settlements=[end], appends=[entry("follows", lane="other")]))
    assert {} == await recalled(sqlite, "k")
    assert {"b", "follows"} == set(await claimed_ids(sqlite))


async def test_file_that_is_brought_back_is_used_again(sqlite: SqliteStore, path: Path) -> None:
    """Nothing is lost by renaming a folder and back."""
    await append(sqlite, entry("a"))
    rename_folder(path)
    with pytest.raises(StoreUnusable):
        await append(sqlite, entry("b"))
    path.parent.with_name("moved").rename(path.parent)
    assert ("b",) == (await append(sqlite, entry("b"))).appended
    assert 2 == (await sqlite.stats())["track"].waiting


async def test_file_that_was_read_while_a_copy_stood_there_is_used_again(sqlite: SqliteStore, path: Path) -> None:
    """A read that began right before looks into the copy, and leaves the log of the first file alone."""
    await append(sqlite, entry("a"))
    original = path.rename(path.with_name("original.db"))
    path.write_bytes(original.read_bytes())
    with closing(connect_for_reading(path, StoreSettings())) as connection:
        connection.execute("SELECT * FROM entries").fetchall()
    original.replace(path)
    assert ("b",) == (await append(sqlite, entry("b"))).appended


async def test_no_second_store_is_begun_where_the_first_was(sqlite: SqliteStore, path: Path) -> None:
    """Neither by opening it again in the same process."""
    await append(sqlite, entry("a"))
    delete_all(path)
    with pytest.raises(StoreUnusable):
        await sqlite.open()
    assert not path.exists()


async def test_what_was_in_a_lost_log_is_in_the_file(sqlite: SqliteStore, path: Path) -> None:
    """So it is there after a restart, even if the process is killed."""
    await append(sqlite, entry("a"))
    delete_log(path)
    with pytest.raises(StoreUnusable):
        await sqlite.stats()
    copy = path.with_name("copy.db")
    copy.write_bytes(path.read_bytes())
    restarted = SqliteStore(copy)
    assert ["a"] == await claimed_ids(restarted)
    await restarted.close()


async def test_file_that_was_cut_off_is_not_trusted(sqlite: SqliteStore, path: Path) -> None:
    """Its pages may be in the memory of the process, but not all of them, so that nothing is written any more."""
    await append(sqlite, entry("a", body=b"x" * 100_000))
    sqlite3.connect(path).execute("PRAGMA wal_checkpoint").fetchall()
    await sqlite.stats()
    os.truncate(path, 0)
    for call in (append(sqlite, entry("b")), sqlite.stats(), sqlite.claim("track", 1, 60.0)):
        with pytest.raises(StoreUnusable):
            await call


async def test_file_made_smaller_by_vacuum_is_used_on(sqlite: SqliteStore, path: Path) -> None:
    """It is whole."""
    await append(sqlite, *(entry(str(number), lane=str(number), body=b"x" * 50_000) for number in range(20)))
    for claim in await sqlite.claim("track", 20, 60.0):
        await settle(sqlite, claim)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before = path.stat().st_size
    await sqlite.stats()
    other.execute("VACUUM")
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    other.close()
    assert path.stat().st_size < before
    assert ("new",) == (await append(sqlite, entry("new"))).appended


async def test_tables_that_are_missing_want_repair(sqlite: SqliteStore, path: Path) -> None:
    """No unit is at fault."""
    await append(sqlite, entry("a"))
    sqlite3.connect(path, isolation_level=None).execute("DROP TABLE heads")
    with pytest.raises(StoreUnusable, match="misses our tables"):
        await append(sqlite, entry("b"))


async def test_emptied_file_wants_repair(sqlite: SqliteStore, path: Path) -> None:
    """No unit is at fault. A process that has nothing to do notices it when it claims, and one that starts does not."""
    await append(sqlite, entry("a"))
    other = sqlite3.connect(path, isolation_level=None)
    for (table,) in other.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        other.execute(f"DELETE FROM {table}")
    other.close()
    calls = (
        append(sqlite, entry("b")),
        put(sqlite, mark("k", b"1")),
        sqlite.claim("track", 1, 60.0),
        sqlite.retry_dead(["a"]),
        sqlite.forget(["lane"], reason="forgotten", tombstone=mark("t", b"1")),
        sqlite.open(),
    )
    for call in calls:
        with pytest.raises(StoreUnusable, match="was emptied"):
            await call


async def test_file_closed_and_opened_again_is_the_same(path: Path) -> None:
    """SQLite removes and makes the files beside it."""
    store = SqliteStore(path)
    for name in "abc":
        await append(store, entry(name))
        await store.close()
        await store.open()
    assert 3 == (await store.stats())["track"].waiting
    await store.close()


@pytest.fixture
async def postgres(own_server: PostgresServer) -> AsyncIterator[tuple[PostgresStore, str]]:
    url = own_server.url()
    store = await postgres_store(url)
    await append(store, entry("a"))
    yield store, url
    await store.close()


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.partition("?")[0])
    await connection.execute(statement)
    await connection.close()


async def test_dropped_tables_want_repair_and_can_be_made_anew(postgres: tuple[PostgresStore, str]) -> None:
    """The error names the command; after it all works, without a restart."""
    store, url = postgres
    schema = url.partition("schema=")[2]
    await execute(url, f"DROP SCHEMA {schema} CASCADE")
    for call in (append(store, entry("b")), store.open(), store.stats()):
        with pytest.raises(StoreUnusable, match="store init"):
            await call
    await store.init()
    assert ("b",) == (await append(store, entry("b"))).appended


async def test_emptied_tables_want_repair_and_can_be_made_anew(postgres: tuple[PostgresStore, str]) -> None:
    """Every call notices it, so that of an idle process does, and so does a process that starts."""
    store, url = postgres
    schema = url.partition("schema=")[2]
    tables = ", ".join(f"{schema}.{name}" for name in ("entries", "heads", "marks", "counts", "store_version"))
    await execute(url, f"TRUNCATE {tables}")
    started = PostgresStore(url)
    calls = (append(store, entry("b")), store.claim("track", 1, 60.0), store.open(), store.stats(), started.open())
    for call in calls:
        with pytest.raises(StoreUnusable, match=r"was emptied.*store init"):
            await call
    await started.init()
    await started.open()
    await started.close()
    assert ("b",) == (await append(store, entry("b"))).appended
    assert ["b"] == await claimed_ids(store)


async def test_dropped_database_wants_repair(own_server: PostgresServer) -> None:
    """Its connections end, and new ones are refused."""
    url = own_server.url()
    await execute(url, "CREATE DATABASE bots")
    store = await postgres_store(url.replace("/postgres?", "/bots?"))
    await append(store, entry("a"))
    await execute(url, "DROP DATABASE bots WITH (FORCE)")
    with pytest.raises(StoreUnavailable):
        await append(store, entry("b"))
    with pytest.raises(StoreUnusable, match="has no such database"):
        await append(store, entry("b"))
    await store.close()


async def test_rights_taken_away_want_repair(postgres: tuple[PostgresStore, str]) -> None:
    """Also of a connection that is open."""
    store, url = postgres
    await execute(url, "ALTER SYSTEM SET default_transaction_read_only = on")
    await execute(url, "SELECT pg_reload_conf()")
    error: Exception | None = None
    async with asyncio.timeout(20):
        # The server reads its settings some time later.
        while error is None:
            (answer,) = await asyncio.gather(append(store, entry(os.urandom(8).hex())), return_exceptions=True)
            error = answer if isinstance(answer, Exception) else None
    assert isinstance(error, StoreUnusable)
    with pytest.raises(StoreUnusable, match="is read-only"):
        await store.open()


@pytest.fixture
async def valkey() -> AsyncIterator[tuple[RedisStore, LocalValkey]]:
    with LocalValkey() as server:
        store = RedisStore(server.url())
        await append(store, entry("a"))
        yield store, server
        await store.close()


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
async def test_emptied_server_wants_repair(valkey: tuple[RedisStore, LocalValkey], command: str) -> None:
    """It does not begin anew in silence, until somebody opens it: another process, or `kochava-bot store init`."""
    store, server = valkey
    server.run(command)
    calls = (
        append(store, entry("b")),
        store.open(),
        store.stats(),
        store.claim("track", 1, 60.0),
        recalled(store, "k"),
    )
    for call in calls:
        with pytest.raises(StoreUnusable, match="was emptied"):
            await call
    other = RedisStore(server.url())
    await other.open()
    await other.close()
    assert ("b",) == (await append(store, entry("b"))).appended


async def test_server_that_became_a_replica_wants_repair(valkey: tuple[RedisStore, LocalValkey]) -> None:
    """What is read still works, so only a write shows it."""
    store, server = valkey
    server.run("REPLICAOF", "127.0.0.1", "1")
    for call in (append(store, entry("b")), store.open()):
        with pytest.raises(StoreUnusable, match="is a replica now"):
            await call
    server.run("REPLICAOF", "NO", "ONE")
    assert ("b",) == (await append(store, entry("b"))).appended


async def test_full_memory_passes_and_lets_start(valkey: tuple[RedisStore, LocalValkey]) -> None:
    """What is there can be claimed and settled, also by a process that starts now."""
    store, server = valkey
    server.run("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="its memory is full") as raised:
        await append(store, entry("b"))
    assert not isinstance(raised.value, StoreUnusable)
    other = RedisStore(server.url())
    await other.open()
    await settle(other, await claim_one(other))
    await other.close()
    server.run("CONFIG", "SET", "maxmemory", "0")
    assert ("b",) == (await append(store, entry("b"))).appended
