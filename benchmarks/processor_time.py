"""
The processor time of a webhook, of its server and of the store's: of this package, of its floor, of a bot written by
hand, and of queues that are durable, too.

Run ``python -m benchmarks.processor_time``. Each is a process of its own; all are asked in turn, so that what else the
machine does hits all of them. The bot written by hand posts to Kochava in the background, so what is compared with it
delivers, too; the others only store.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import attrs
from aiohttp import web
from rich.console import Console
from rich.table import Table

from .row import Row
from .servers import Engine, engine, processor_seconds
from .sink import Sink, sink
from .webhook import ask, request, started
from .webhook_server import floor, ours, tuned

IN_ONE = "delivered"
"""The bot that delivers in its own process."""

STORES = {"arq": "valkey", "procrastinate": "postgres"}

ROWS = (
    ("tuned", "floor", "webhook stored, handled, recorded; tune_gc", 2.0),
    ("ours", "floor", "the same without tune_gc", None),
    (IN_ONE, "hand_written", "webhook to delivered, tune_gc", 1.5),
    ("tuned", "huey", "webhook stored, handled, recorded; tune_gc", None),
    ("tuned", "arq", "the same", None),
    ("tuned", "procrastinate", "the same", None),
)
"""What is compared with what, and the budget."""


@attrs.frozen(kw_only=True)
class Contestant:
    """
    A server that runs.

    Attributes:
        process_id: Of the server.
        store: Of its store's server; ``None`` without one.
        delivers: Whether a round ends only when the sink has all.
    """

    port: int
    process_id: int
    store: int | None
    delivers: bool

    async def round(self, size: int, callers: int, kochava: Sink) -> tuple[float, float]:
        """The processor time of server and store in microseconds a webhook."""
        processes = [[self.process_id], [] if self.store is None else [self.store]]
        before = [processor_seconds(each) or 0.0 for each in processes]
        answered = await kochava.answered()
        await ask(self.port, [request() for _ in range(size)], callers)
        while self.delivers and await kochava.answered() - answered < size:
            await asyncio.sleep(0.05)
        after = [processor_seconds(each) or 0.0 for each in processes]
        own, stores = ((late - early) / size * 1e6 for late, early in zip(after, before, strict=True))
        return own, stores


async def measured(rounds: int, size: int, callers: int) -> dict[str, list[tuple[float, float]]]:
    """By name, what each round took."""
    times: dict[str, list[tuple[float, float]]] = {}
    async with AsyncExitStack() as stack:
        kochava = await stack.enter_async_context(sink(0.0))
        contestants: dict[str, Contestant] = {}
        for name in ("floor", "ours", "tuned", IN_ONE, "hand_written", "huey", "arq", "procrastinate"):
            place: Engine | None = stack.enter_context(engine(STORES[name])) if name in STORES else None
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = kochava.url if place is None else place.fresh_url()
            command = (sys.executable, "-m", "benchmarks.processor_time", "--serve", name, str(folder), url)
            process, port = await stack.enter_async_context(started(*command))
            contestants[name] = Contestant(
                port=port,
                process_id=process.pid,
                store=None if place is None else place.process_id,
                delivers=name in (IN_ONE, "hand_written"),
            )
        for number in range(rounds + 1):
            for name, contestant in contestants.items():
                took = await contestant.round(size, callers, kochava)
                if number:  # the first round warms up
                    times.setdefault(name, []).append(took)
    return times


async def rows(rounds: int = 7, size: int = 2_000, callers: int = 64) -> list[Row]:
    """The server's own processor time."""
    return rows_of(await measured(rounds, size, callers))


def rows_of(times: dict[str, list[tuple[float, float]]]) -> list[Row]:
    """Each comparison."""
    return [
        Row.of_rounds(
            [(own, other) for (own, _), (other, _) in zip(times[name], times[peer], strict=True)],
            what=f"processor time: {what}",
            floor=peer.replace("_", "-"),
            unit="µs",
            budget=budget,
        )
        for name, peer, what, budget in ROWS
    ]


def table_of(times: dict[str, list[tuple[float, float]]]) -> Table:
    """Medians, for a person."""
    table = Table("server", "µs a webhook", "µs of its store's server", "of the floor", title="Processor time")
    floors = [own for own, _ in times["floor"]]
    for name, took in times.items():
        own, stores = statistics.median(each for each, _ in took), statistics.median(each for _, each in took)
        ratio = statistics.median(each / bare for (each, _), bare in zip(took, floors, strict=True))
        table.add_row(name, f"{own:.0f}", f"{stores:.0f}" if name in STORES else "", f"{ratio:.2f}")
    return table


def serve(name: str, folder: Path, url: str, port: int) -> None:
    """Be one of the servers."""
    from .webhook_peers import PEERS

    logging.disable(logging.WARNING)
    own: dict[str, Callable[[Path], web.Application]] = {
        "floor": floor,
        "ours": ours,
        "tuned": tuned,
        IN_ONE: lambda folder: ours(folder, tune_gc=True, worker="inside", wire={"event_url": url}),
    }
    app = own[name](folder) if name in own else PEERS[name](folder, url)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processor_time", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=2_000)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        name, folder, url, port = arguments.serve
        serve(name, Path(folder), url, int(port))
        return
    times = asyncio.run(measured(arguments.rounds, arguments.size, arguments.callers))
    Console(width=120).print(table_of(times))


if __name__ == "__main__":
    main()
