"""
Measures all that has a budget, each against a bare floor in the same run, and prints one table.

Run ``python -m benchmarks``. It takes some minutes; on a machine that does something else meanwhile, only the ratios
mean anything. The modules beside this one measure one thing each, for longer.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from kochava_bot_middleware.store.sqlite.store import SqliteStore

from . import delivery, parsing, rewriting, store_commit, tracking, waiting, webhook
from .row import Row, table_of


def rewriting_rows(rounds: int = 7, calls: int = 100) -> list[Row]:
    """
    A full carousel, its addresses new or seen before, and a text message.
    """
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
    """
    The outbox, of as many people as events, over a sink that takes 10 ms to answer.
    """
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        async with delivery.sink(0.01) as url:
            await delivery.bare_rate(url, 500, concurrency)
            for number in range(rounds):
                bare = await delivery.bare_rate(url, count, concurrency)
                store = SqliteStore(Path(folder) / f"{number}.db")
                pairs.append((await delivery.worker_rate(store, url, count, concurrency, users=count), bare))
                await store.close()
    return [
        Row.of_rounds(
            pairs,
            what=f"deliver, {concurrency} at a time",
            floor="bare aiohttp POST loop",
            unit="/s",
            budget=0.85,
            at_most=False,
        )
    ]


async def measured(waiting_entries: int) -> list[Row]:
    """
    All rows, announcing each room before it is measured.
    """
    rooms: dict[str, Callable[[], Awaitable[list[Row]]]] = {
        "parsing": lambda: asyncio.to_thread(parsing.rows),
        "rewriting": lambda: asyncio.to_thread(rewriting_rows),
        "tracking": tracking.rows,
        "webhook": webhook.rows,
        "store_commit": store_commit.rows,
        "delivery": delivery_rows,
        "waiting": lambda: waiting.rows(waiting_entries),
    }
    rows: list[Row] = []
    progress = Console(stderr=True)
    for name, measure in rooms.items():
        progress.print(f"measuring {name} …", style="dim")
        rows += await measure()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--waiting", type=int, default=1_000_000, help="entries of the long outbox")
    arguments = parser.parse_args()
    Console(width=160).print(table_of(asyncio.run(measured(arguments.waiting))))


if __name__ == "__main__":
    main()
