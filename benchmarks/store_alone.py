"""
What a durable enqueue costs one caller: SQLite's over huey's in the same run, PostgreSQL's over a bare insert.

Run ``python -m benchmarks.store_alone``. Huey's SQLite storage is given ``fsync=True``, which is our ``FULL``; the bare
insert of PostgreSQL is one statement of asyncpg, which is a transaction of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import tempfile
import time
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
from huey.storage import SqliteStorage
from rich.console import Console

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.postgres.store import PostgresStore
from kochava_bot_middleware.store.records import Unit
from kochava_bot_middleware.store.sqlite.store import SqliteStore

from .row import Row, table_of
from .servers import engine
from .store_commit import BODY, entry


def huey_seconds(path: Path, count: int) -> float:
    """Seconds for one enqueue by huey."""
    storage = SqliteStorage(filename=str(path), fsync=True)
    began = time.perf_counter()
    for _ in range(count):
        storage.enqueue(BODY)
    seconds = (time.perf_counter() - began) / count
    storage.close()
    return seconds


async def store_seconds(store: Store, count: int) -> float:
    """Seconds for one commit of one entry by one caller."""
    for number in range(-50, count):
        if number == 0:
            began = time.perf_counter()
        await store.commit(Unit(appends=[entry(secrets.token_hex(16), secrets.token_hex(8))]))
    return (time.perf_counter() - began) / count


async def bare_postgres_seconds(dsn: str, count: int) -> float:
    """Seconds for one insert into one table with a unique id."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE IF NOT EXISTS bare (id text PRIMARY KEY, lane text, body bytea)")
    for number in range(-50, count):
        if number == 0:
            began = time.perf_counter()
        values = (secrets.token_hex(16), secrets.token_hex(8), BODY)
        await connection.fetch("INSERT INTO bare VALUES ($1, $2, $3)", *values)
    seconds = (time.perf_counter() - began) / count
    await connection.close()
    return seconds


async def sqlite_row(rounds: int, count: int) -> Row:
    """One caller of the SQLite store over one of huey's."""
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            bare = huey_seconds(Path(folder) / f"huey{number}.db", count)
            store = SqliteStore(Path(folder) / f"ours{number}.db")
            pairs.append((1e6 * await store_seconds(store, count), 1e6 * bare))
            await store.close()
    return Row.of_rounds(pairs, what="SQLite: enqueue, 1 caller", floor="huey's enqueue", unit="µs", budget=1.3)


async def postgres_row(rounds: int, count: int) -> Row:
    """One caller of the PostgreSQL store over a bare insert."""
    pairs = []
    with engine("postgres") as server:
        for _ in range(rounds):
            url = server.fresh_url()
            store = PostgresStore(f"{url}&listen=off")
            await store.init()
            bare = await bare_postgres_seconds(url.partition("?")[0], count)
            pairs.append((1e6 * await store_seconds(store, count), 1e6 * bare))
            await store.close()
    return Row.of_rounds(pairs, what="PostgreSQL: enqueue, 1 caller", floor="bare insert of asyncpg", unit="µs")


async def rows(rounds: int = 5, count: int = 1_000) -> list[Row]:
    """Both."""
    return [await sqlite_row(rounds, count), await postgres_row(rounds, count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1_000)
    arguments = parser.parse_args()
    Console(width=140).print(table_of(asyncio.run(rows(arguments.rounds, arguments.count))))


if __name__ == "__main__":
    main()
