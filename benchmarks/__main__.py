"""
Measures all that has a budget, each against a bare floor in the same run, and prints one table; then the structure.

Run ``python -m benchmarks``. It takes some ten minutes; on a machine that does something else meanwhile, only the
ratios mean anything. The modules beside this one measure one thing each, for longer.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from kochava_bot_middleware.store.sqlite.store import SqliteStore

from . import (
    bot_commits,
    delivery,
    hosts,
    memory,
    parsing,
    processor_time,
    rewriting,
    store_alone,
    store_commit,
    structure,
    tracking,
    waiting,
    webhook,
    workers,
)
from .row import Row, table_of
from .servers import ENGINES
from .sink import sink


def rewriting_rows(rounds: int = 7, calls: int = 100) -> list[Row]:
    """A full carousel, its addresses new or seen before, and a text message."""
    carousel, floor = "rewrite 10 elements of 3 buttons", "split, quote and join 30 addresses"
    return [
        *(
            Row.of_rounds(
                [rewriting.template_row(rewriting.LONG, calls, seen=seen) for _ in range(rounds)],
                what=f"{carousel}, {'seen before' if seen else 'new addresses'}",
                floor=floor,
                unit="µs",
                budget=0.5 if seen else 2,
            )
            for seen in (False, True)
        ),
        Row.of_rounds(
            [rewriting.text_row(calls) for _ in range(rounds)],
            what="rewrite a text message",
            floor="a copy of it",
            unit="µs",
            budget=5,
        ),
    ]


async def delivery_rows(rounds: int = 3, count: int = 2_000, concurrency: int = 16) -> list[Row]:
    """The outbox, of as many people as events, over a sink that takes 10 ms to answer."""
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        async with sink(0.01) as target:
            await delivery.bare_pass(target, 500, concurrency)
            for number in range(rounds):
                bare = await delivery.bare_pass(target, count, concurrency)
                store = SqliteStore(Path(folder) / f"{number}.db")
                pairs.append((await delivery.worker_pass(store, target, count, concurrency, users=count), bare))
                await store.close()
    return [
        Row.of_rounds(
            [(ours.sender or 0.0, bare.sender or 1.0) for ours, bare in pairs],
            what=f"deliver, {concurrency} at a time: processor time a record",
            floor="bare aiohttp POST loop",
            unit="µs",
            budget=1.5,
        ),
        Row.of_rounds(
            [(ours.rate, bare.rate) for ours, bare in pairs],
            what=f"deliver, {concurrency} at a time",
            floor="bare aiohttp POST loop",
            unit="/s",
            budget=0.85,
            at_most=False,
        ),
    ]


async def waiting_rows(most: int, most_in_servers: int) -> list[Row]:
    """Each store at its greatest length."""
    sizes = {name: most if name == "sqlite" else most_in_servers for name in ENGINES}
    return [row for name, size in sizes.items() for row in await waiting.rows(name, (waiting.FEW, size))]


async def measured(most_waiting: int, most_in_servers: int) -> list[Row]:
    """All rows, announcing each room before it is measured."""
    rooms: dict[str, Callable[[], Awaitable[list[Row]]]] = {
        "parsing": lambda: asyncio.to_thread(parsing.rows),
        "rewriting": lambda: asyncio.to_thread(rewriting_rows),
        "tracking": tracking.rows,
        "webhook": webhook.rows,
        "processor_time": processor_time.rows,
        "hosts": hosts.rows,
        "store_commit": store_commit.rows,
        "day_counts": store_commit.counted_rows,
        "store_alone": store_alone.rows,
        "bot_commits": bot_commits.rows,
        "delivery": delivery_rows,
        "workers": lambda: workers.rows(workers.Load()),
        "waiting": lambda: waiting_rows(most_waiting, most_in_servers),
        "memory": lambda: memory.rows(most_waiting),
    }
    rows: list[Row] = []
    progress = Console(stderr=True)
    for name, measure in rooms.items():
        progress.print(f"measuring {name} …", style="dim")
        rows += await measure()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--waiting", type=int, default=1_000_000, help="entries of the long outbox of SQLite")
    parser.add_argument("--waiting-in-servers", type=int, default=100_000, help="of Valkey's and PostgreSQL's")
    arguments = parser.parse_args()
    rows = asyncio.run(measured(arguments.waiting, arguments.waiting_in_servers))
    Console(width=160).print(table_of(rows), *asyncio.run(structure.tables()))


if __name__ == "__main__":
    main()
