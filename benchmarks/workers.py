"""
What one, two and four processes of ``kochava-bot worker`` deliver together, each record once and each lane in order.

Run ``python -m benchmarks.workers``. The floor is a bare aiohttp POST loop in as many processes, with the same requests
and the same concurrency. The sink is a process of its own and answers after ``--latency-ms``; it holds all answers
until every process has filled its places, so that no start is measured. Then time runs until the store has settled the
last.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import attrs
from rich.console import Console

from kochava_bot_middleware.cli.worker import READY
from kochava_bot_middleware.sandbox.processes import ChildProcess
from kochava_bot_middleware.store.contract import Store

from . import bare_posts
from .backlog import APP_ID, NotDelivered, check_once, check_order, fill
from .row import Row, table_of
from .servers import ENGINES, Engine, engine, opened, processor_seconds
from .sink import Sink, sink

PROCESSES = {"sqlite": (1, 2), "valkey": (1, 2, 4), "postgres": (1, 2, 4)}
"""How many workers share each store."""

PATIENCE_SECONDS = 120.0


@attrs.frozen(kw_only=True)
class Load:
    """
    What is to be done.

    Attributes:
        records: How many wait for each process when the first one starts.
        lanes: How many people they are of.
        concurrency: Requests at once of each process.
        latency_seconds: How long the sink takes to answer.
    """

    records: int = 3_000
    lanes: int = 2_000
    concurrency: int = 64
    latency_seconds: float = 0.05


@attrs.frozen(kw_only=True)
class Pass:
    """
    One delivery of all.

    Attributes:
        rate: Records a second.
        sender: Processor time of the sending processes, microseconds a record; ``None`` where it cannot be told.
        store: The same of the store's server; ``None`` also when there is none.
    """

    rate: float
    sender: float | None
    store: float | None = None


async def bare_pass(load: Load, target: Sink, processes: int) -> Pass:
    """By the floor."""
    records = processes * load.records
    sizes = [str(number) for number in (processes, records, load.lanes, load.concurrency)]
    commands = [["-m", bare_posts.__name__, target.url, str(first + 1), *sizes] for first in range(processes)]

    async def ended() -> bool:
        return await target.answered() >= records

    measured, _ = await _passed(load, target, commands, bare_posts.READY, ended)
    check_once(await target.moves(), records)
    return measured


async def worker_pass(load: Load, target: Sink, place: Engine, processes: int) -> Pass:
    """By workers that share a store of their own."""
    records = processes * load.records
    url = place.fresh_url()
    store = await opened(url)
    try:
        await fill(store, records, load.lanes)
        with tempfile.TemporaryDirectory() as folder:
            settings = Path(folder) / "bot.toml"
            settings.write_text(_SETTINGS.format(app_id=APP_ID, store=url, url=target.url))
            command = ["-m", "kochava_bot_middleware", "worker", "--settings", str(settings)]
            commands = [[*command, "--concurrency", str(load.concurrency)]] * processes

            async def ended() -> bool:
                return await target.answered() >= records and await _done(store) >= records

            measured, said = await _passed(load, target, commands, READY, ended, store_process_id=place.process_id)
    finally:
        await store.close()
    moves = await target.moves()
    check_once(moves, records)
    check_order(moves, load.lanes)
    counted = sum(int(number) for each in said for number in re.findall(r"(\d+) delivered", each))
    if counted != records:
        msg = f"the workers counted {counted} records as delivered, of {records}; they said {said}"
        raise NotDelivered(msg)
    return measured


_SETTINGS = """
[kochava]
kochava_app_id = "{app_id}"
store = "{store}"
worker = "separate"
wire.event_url = "{url}"
"""


async def _passed(
    load: Load,
    target: Sink,
    commands: Sequence[Sequence[str]],
    ready: str,
    ended: Callable[[], Awaitable[bool]],
    *,
    store_process_id: int | None = None,
) -> tuple[Pass, list[str]]:
    """Start the processes, let the sink begin when all their places are taken, and wait until it is done."""
    servers = [] if store_process_id is None else [store_process_id]
    records = len(commands) * load.records
    await target.hold()
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            children = [
                await stack.enter_async_context(ChildProcess(command, ready=ready, log=Path(folder) / f"{number}.log"))
                for number, command in enumerate(commands)
            ]
            async with asyncio.TaskGroup() as group:
                for child in children:
                    group.create_task(child.start())
            senders = [child.process_id for child in children if child.process_id is not None]
            places = len(commands) * load.concurrency

            async def taken() -> bool:
                return await target.held() >= places

            await _until(taken, f"{places} requests under way")
            before = processor_seconds(senders), processor_seconds(servers)
            began = time.perf_counter()
            await target.begin()
            await _until(ended, f"{records} records delivered")
            seconds = time.perf_counter() - began
            after = processor_seconds(senders), processor_seconds(servers)
            said = [await child.stop() for child in children]
    sender, store = (
        None if then is None or now is None else (now - then) * 1e6 / records
        for then, now in zip(before, after, strict=True)
    )
    return Pass(rate=records / seconds, sender=sender, store=store if servers else None), said


async def _until(happened: Callable[[], Awaitable[bool]], what: str) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await happened():
                await asyncio.sleep(0.02)
    except TimeoutError:
        msg = f"waited {PATIENCE_SECONDS:g} s in vain for {what}"
        raise NotDelivered(msg) from None


async def _done(store: Store) -> int:
    return sum(each.done for each in (await store.stats()).values())


async def rows(load: Load, engines: Sequence[str] = ENGINES, rounds: int = 3) -> list[Row]:
    """Deliveries a second of each store and number of processes, and the processor time of both sides."""
    measured: list[Row] = []
    async with sink(load.latency_seconds) as target:
        for name in engines:
            with engine(name) as place:
                for processes in PROCESSES[name]:
                    passes = [
                        (await worker_pass(load, target, place, processes), await bare_pass(load, target, processes))
                        for _ in range(rounds)
                    ]
                    measured += _rows_of(passes, load, name, processes)
    return measured


def _rows_of(passes: Sequence[tuple[Pass, Pass]], load: Load, name: str, processes: int) -> list[Row]:
    workers = f"{processes} worker{'s' if processes > 1 else ''}"
    made = [
        Row.of_rounds(
            [(ours.rate, bare.rate) for ours, bare in passes],
            what=f"deliver from {name}, {workers}, {load.concurrency} at a time each",
            floor="as many bare aiohttp POST loops",
            unit="/s",
        )
    ]
    for whose in ("sender", "store"):
        ours = [getattr(each, whose) for each, _ in passes]
        bare = [each.sender for _, each in passes]
        pairs = [(one, other) for one, other in zip(ours, bare, strict=True) if one is not None and other]
        if pairs:
            made.append(
                Row.of_rounds(
                    pairs,
                    what=f"processor time a record: {workers if whose == 'sender' else 'the server'} of {name}",
                    floor="the POST loops'",
                    unit="µs",
                )
            )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.workers", description=__doc__)
    parser.add_argument("--store", choices=ENGINES, action="append", help="may be given again; all if left out")
    parser.add_argument("--records", type=int, default=Load().records, help="for each process")
    parser.add_argument("--lanes", type=int, default=Load().lanes)
    parser.add_argument("--concurrency", type=int, default=Load().concurrency)
    parser.add_argument("--latency-ms", type=float, default=Load().latency_seconds * 1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    load = Load(
        records=arguments.records,
        lanes=arguments.lanes,
        concurrency=arguments.concurrency,
        latency_seconds=arguments.latency_ms / 1000,
    )
    Console(width=160).print(table_of(asyncio.run(rows(load, arguments.store or ENGINES, arguments.rounds))))


if __name__ == "__main__":
    main()
