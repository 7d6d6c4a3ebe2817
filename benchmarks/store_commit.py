"""
What a durable commit costs, as a part of what a bare group commit manages in the same run.

Run ``python -m benchmarks.store_commit``. The floors are a thread, a queue and ``executemany`` inserts, one transaction
for all that wait: once into one plain table, and once into the tables and indexes our entries need.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import queue
import secrets
import sqlite3
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from kochava_bot_middleware.store.day_counts import label_of
from kochava_bot_middleware.store.records import Entry, Lease, Outcome, Settlement, Unit
from kochava_bot_middleware.tracking.counting import Facts

from .row import Row, table_of
from .servers import ENGINES, Engine, engine, opened, processor_seconds

BODY = b"x" * 400

PLAIN = ("CREATE TABLE t (place INTEGER PRIMARY KEY, id TEXT, queue TEXT, lane TEXT, created_at REAL, body BLOB)",)
UNIQUE = (PLAIN[0].replace("id TEXT", "id TEXT UNIQUE"),)
INDEXED = (
    *UNIQUE,
    "CREATE INDEX t_by_lane ON t (lane, queue)",
    """
    CREATE TABLE h (queue TEXT, place INTEGER, created_at REAL, leased INTEGER, due_at REAL, token TEXT,
    attempts INTEGER, PRIMARY KEY (queue, place)) WITHOUT ROWID
    """,
    "CREATE INDEX h_by_due ON h (queue, leased, due_at)",
)


class BareLoop:
    """Group commit with nothing around it."""

    def __init__(self, path: Path, schema: tuple[str, ...]) -> None:
        self._path = path
        self._schema = schema
        self._rows: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    async def commit(self, entry_id: str, lane: str) -> None:
        future = self._loop.create_future()
        self._rows.put((future, entry_id, lane))
        await future

    def stop(self) -> None:
        self._rows.put(None)
        self._thread.join()

    def _live(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        for statement in self._schema:
            connection.execute(statement)
        places = itertools.count(1)
        while (row := self._rows.get()) is not None:
            batch = [row, *(self._rows.get_nowait() for _ in range(self._rows.qsize()))]
            rows = [(next(places), entry_id, "track", lane, 1.0, BODY) for _, entry_id, lane in batch]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", rows)
            if self._schema is INDEXED:
                heads = [("track", place, 1.0, 0, 1.0, None, 0) for place, *_ in rows]
                connection.executemany("INSERT INTO h VALUES (?, ?, ?, ?, ?, ?, ?)", heads)
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(_finish, [future for future, *_ in batch])
        connection.close()


def _finish(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


async def rate(commit: Callable[[], Awaitable[object]], callers: int, commits: int) -> float:
    """Commits a second with that many callers, each waiting for its own before the next."""
    left = itertools.count(commits, -1)

    async def caller() -> None:
        while next(left) > 0:
            await commit()

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return commits / (time.perf_counter() - began)


async def bare_rate(folder: Path, schema: tuple[str, ...], callers: int, commits: int) -> float:
    loop = BareLoop(folder / f"{secrets.token_hex(4)}.db", schema)
    try:
        return await rate(lambda: loop.commit(secrets.token_hex(16), secrets.token_hex(8)), callers, commits)
    finally:
        loop.stop()


LABELS = tuple(
    label_of(20_000, Facts("1001", "messenger", "engagement", name, "USD").to_text(), 1_990_000)
    for name in ("Purchase", "View", "Search", "Rating")
)
"""Of entries that are counted by day."""


def entry(entry_id: str, lane: str, label: str = "") -> Entry:
    return Entry(id=entry_id, queue="track", lane=lane, created_at=time.time(), body=BODY, label=label)


async def store_rate(
    url: str, callers: int, commits: int, *, cycle: bool = False, labels: tuple[str, ...] = ("",)
) -> float:
    """Commits of one entry each; with *cycle* each is leased with its commit and settled by a second one."""
    next_label = itertools.cycle(labels).__next__
    store = await opened(url)
    lease = Lease(queue="track", seconds=60.0) if cycle else None

    async def commit() -> None:
        answer = await store.commit(
            Unit(appends=[entry(secrets.token_hex(16), secrets.token_hex(8), next_label())], lease=lease)
        )
        for claim in answer.leased:
            await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE)]))

    try:
        return await rate(commit, callers, commits) * (2 if cycle else 1)
    finally:
        await store.close()


async def rows(rounds: int = 3, commits: int = 20_000, callers: int = 256) -> list[Row]:
    """Appends alone, and appends that are settled, over each floor."""
    floors = {"one plain table": PLAIN, "our tables and indexes": INDEXED}
    bare: dict[str, list[float]] = {label: [] for label in floors}
    ours: dict[str, list[float]] = {"append": [], "append and settle": []}
    with tempfile.TemporaryDirectory() as name, engine("sqlite") as place:
        folder = Path(name)
        for _ in range(rounds):
            for label, schema in floors.items():
                bare[label].append(await bare_rate(folder, schema, callers, commits))
            for label, rates in ours.items():
                rates.append(await store_rate(place.fresh_url(), callers, commits, cycle=label != "append"))
    return [
        Row.of_rounds(
            zip(rates, bare[floor], strict=True),
            what=f"durable commits, {callers} callers: {label}",
            floor=f"bare group commit, {floor}",
            unit="/s",
            budget=0.5,
            at_most=False,
        )
        for label, rates in ours.items()
        for floor in floors
    ]


async def counted_rows(rounds: int = 7, commits: int = 10_000, callers: int = 256) -> list[Row]:
    """
    What it costs to count by day in each store: processor time of commits, the server's included, as a part of those
    that count nothing.
    """

    async def microseconds(place: Engine, labels: tuple[str, ...]) -> float:
        servers = [place.process_id] if place.process_id else []
        url = place.fresh_url()
        began, server_began = time.process_time(), processor_seconds(servers) or 0.0
        await store_rate(url, callers, commits, cycle=True, labels=labels)
        seconds = time.process_time() - began + (processor_seconds(servers) or 0.0) - server_began
        return seconds * 1e6 / (2 * commits)

    rows = []
    for name in ENGINES:
        with engine(name) as place:
            pairs = [(await microseconds(place, LABELS), await microseconds(place, ("",))) for _ in range(rounds)]
        what = f"processor time of a commit, {callers} callers: counted by day in {name}"
        rows.append(Row.of_rounds(pairs, what=what, floor="the same, not counted", unit="µs", budget=1.1))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=256)
    parser.add_argument("--commits", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    measured = asyncio.run(rows(arguments.rounds, arguments.commits, arguments.callers))
    Console().print(table_of([*measured, *asyncio.run(counted_rows(callers=arguments.callers))]))


if __name__ == "__main__":
    main()
