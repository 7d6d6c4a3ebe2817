"""
How fast the outbox is delivered, and at what processor time, beside a bare aiohttp POST loop at the same concurrency.

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
from collections.abc import Mapping, Sequence
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
from .workers import Pass


class _Stopwatch:
    """Measures a pass from now on."""

    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def passed(self, count: int) -> Pass:
        """The pass of *count* records that ends now."""
        began, processor_began = self._began
        rate = count / (time.perf_counter() - began)
        return Pass(rate=rate, sender=(time.process_time() - processor_began) * 1e6 / count)


async def bare_pass(target: Sink, count: int, concurrency: int) -> Pass:
    """By a loop with nothing around it."""
    requests = built((record(number, count) for number in range(1, count + 1)), target.url)
    stopwatch = _Stopwatch()
    await post(requests, concurrency)
    return stopwatch.passed(count)


async def worker_pass(store: Store, target: Sink, count: int, concurrency: int, *, users: int) -> Pass:
    """By a worker, from a full outbox to the last settlement."""
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
    stopwatch = _Stopwatch()
    running = asyncio.create_task(worker.run())
    await ended.wait()
    measured = stopwatch.passed(count)
    assert worker.counts.delivered == count
    await worker.stop()
    await running
    await client.close()
    moves = await target.moves()
    check_once(moves, count)
    check_order(moves, users)
    return measured


async def measure(arguments: argparse.Namespace) -> None:
    cases = {"worker, one event a user": arguments.count, "worker, ten events a user": arguments.count // 10}
    passes: dict[str, list[Pass]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with sink(arguments.latency_ms / 1000) as target:
            await bare_pass(target, 500, arguments.concurrency)
            for number in range(arguments.rounds):
                bare = await bare_pass(target, arguments.count, arguments.concurrency)
                passes.setdefault("bare aiohttp loop", []).append(bare)
                for index, (label, users) in enumerate(cases.items()):
                    store = SqliteStore(Path(folder) / f"{number}-{index}.db")
                    ours = await worker_pass(store, target, arguments.count, arguments.concurrency, users=users)
                    await store.close()
                    passes.setdefault(label, []).append(ours)
    Console().print(_table(passes, f"concurrency {arguments.concurrency}, {arguments.latency_ms:g} ms"))


def _table(passes: Mapping[str, Sequence[Pass]], heading: str) -> Table:
    table = Table(heading, "per second", "of the bare loop", "CPU a record", "of the bare loop")
    floors = passes["bare aiohttp loop"]
    for label, made in passes.items():
        pairs = list(zip(made, floors, strict=True))
        rate = statistics.median(one.rate for one in made)
        sender = statistics.median(one.sender for one in made if one.sender)
        of_rate = statistics.median(one.rate / floor.rate for one, floor in pairs)
        of_sender = statistics.median(one.sender / floor.sender for one, floor in pairs if one.sender and floor.sender)
        table.add_row(label, f"{rate:,.0f}", f"{of_rate:.2f}", f"{sender:.0f} µs", f"{of_sender:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency-ms", type=float, default=10.0, help="0: the CPU is the only limit")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
