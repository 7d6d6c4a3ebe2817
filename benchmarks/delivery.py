"""
How fast the outbox is delivered, as a part of what a bare aiohttp POST loop manages at the same concurrency.

Run ``python -m benchmarks.delivery``. The sink is a process of its own and answers after ``--latency-ms``. Both sides
send the same bodies, in turn, so that what else the machine does hits both.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kochava_bot_middleware.delivery.attempt import Deliverer
from kochava_bot_middleware.delivery.settings import DeliverySettings
from kochava_bot_middleware.delivery.worker import Worker
from kochava_bot_middleware.kochava.client import KochavaClient
from kochava_bot_middleware.kochava.destination import Destinations
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.sqlite.store import SqliteStore

from .backlog import check_once, check_order, fill, record
from .bare_posts import built, destination, post
from .sink import Sink, sink


async def bare_rate(target: Sink, count: int, concurrency: int) -> float:
    """Requests a second of a loop with nothing around it."""
    requests = built((record(number, count) for number in range(1, count + 1)), target.url)
    began = time.perf_counter()
    await post(requests, concurrency)
    return count / (time.perf_counter() - began)


async def worker_rate(store: Store, target: Sink, count: int, concurrency: int, *, users: int) -> float:
    """Records a second from a full outbox to the last settlement."""
    await fill(store, count, users)
    await target.hold()
    await target.begin()
    client = KochavaClient()
    ended = asyncio.Event()
    numbers = itertools.count(1)
    worker = Worker(
        store,
        Deliverer(client, Destinations([destination(target.url)]), DeliverySettings(concurrency=concurrency)),
        on_settled=lambda _settled: ended.set() if next(numbers) == count else None,
    )
    began = time.perf_counter()
    running = asyncio.create_task(worker.run())
    await ended.wait()
    rate = count / (time.perf_counter() - began)
    assert worker.counts.delivered == count
    await worker.stop()
    await running
    await client.close()
    moves = await target.moves()
    check_once(moves, count)
    check_order(moves, users)
    return rate


async def measure(arguments: argparse.Namespace) -> None:
    cases = {"worker, one event a user": arguments.count, "worker, ten events a user": arguments.count // 10}
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with sink(arguments.latency_ms / 1000) as target:
            await bare_rate(target, 500, arguments.concurrency)
            for number in range(arguments.rounds):
                bare = await bare_rate(target, arguments.count, arguments.concurrency)
                rates.setdefault("bare aiohttp loop", []).append(bare)
                for index, (label, users) in enumerate(cases.items()):
                    store = SqliteStore(Path(folder) / f"{number}-{index}.db")
                    rate = await worker_rate(store, target, arguments.count, arguments.concurrency, users=users)
                    await store.close()
                    rates.setdefault(label, []).append(rate)
    table = Table(f"concurrency {arguments.concurrency}, {arguments.latency_ms:g} ms", "per second", "of the bare loop")
    floors = rates["bare aiohttp loop"]
    for label, values in rates.items():
        ratio = statistics.median(value / floor for value, floor in zip(values, floors, strict=True))
        table.add_row(label, f"{statistics.median(values):,.0f}", f"{ratio:.2f}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency-ms", type=float, default=10.0, help="0: the CPU is the only limit")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
