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
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table

from kochava_bot_middleware.delivery.settings import DeliverySettings
from kochava_bot_middleware.delivery.worker import Worker
from kochava_bot_middleware.kochava.client import KochavaClient
from kochava_bot_middleware.kochava.destination import Destination, Destinations, WireSettings
from kochava_bot_middleware.kochava.records import SCHEMA, Engagement, encode
from kochava_bot_middleware.kochava.wire import build_request
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from kochava_bot_middleware.store.unit import Entry, Unit

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"success":"1"}'


class Sink(asyncio.Protocol):
    """
    Answers every request, as cheaply as possible.
    """

    def __init__(self, latency_seconds: float) -> None:
        self._latency_seconds = latency_seconds
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            start = self._buffer.lower().find(b"content-length:", 0, end)
            length = int(self._buffer[start + 15 : self._buffer.find(b"\r\n", start)]) if start >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            if self._latency_seconds:
                asyncio.get_running_loop().call_later(self._latency_seconds, self._answer)
            else:
                self._answer()

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ANSWER)


async def serve(latency_seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Sink(latency_seconds), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@asynccontextmanager
async def sink(latency_seconds: float) -> AsyncIterator[str]:
    """
    The address of a sink in its own process.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.delivery", "--serve", str(latency_seconds), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}/track/json"
    finally:
        process.kill()
        await process.wait()


def record(number: int) -> Engagement:
    return Engagement(
        id=f"event-{number}",
        app_id="kobotdemo1234",
        user_id=str(10**15 + number),
        usertime=1_767_225_600,
        event_name="Message",
        event_data={"kind": "message", "channel": "messenger", "handler": "shoes", "handled": True},
        device_ids={"fb_user_id": str(10**15 + number)},
    )


def destination(url: str) -> Destination:
    return Destination(app_id="kobotdemo1234", wire=WireSettings(event_url=url))


async def bare_rate(url: str, count: int, concurrency: int) -> float:
    """
    Requests a second of a loop with nothing around it.
    """
    requests = [build_request(record(number), destination(url)) for number in range(count)]
    left = iter(requests)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

        async def hand() -> None:
            for request in left:
                async with session.post(url, data=request.body, headers=request.headers) as response:
                    assert response.status == 200
                    await response.read()

        began = time.perf_counter()
        await asyncio.gather(*(hand() for _ in range(concurrency)))
        return count / (time.perf_counter() - began)


async def worker_rate(store: Store, url: str, count: int, concurrency: int, *, users: int) -> float:
    """
    Records a second from a full outbox to the last settlement.
    """
    for start in range(0, count, 1000):
        records = [record(number) for number in range(start, min(start + 1000, count))]
        entries = [
            Entry(
                id=each.id,
                queue="track",
                lane=f"lane-{number % users}",
                schema=SCHEMA,
                created_at=time.time(),
                body=encode(each),
            )
            for number, each in enumerate(records, start)
        ]
        await store.commit(Unit(appends=entries))
    client = KochavaClient(connection_limit=concurrency)
    ended = asyncio.Event()
    numbers = itertools.count(1)
    worker = Worker(
        store,
        client,
        Destinations([destination(url)]),
        DeliverySettings(concurrency=concurrency),
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
    return rate


async def measure(arguments: argparse.Namespace) -> None:
    cases = {"worker, one event a user": arguments.count, "worker, ten events a user": arguments.count // 10}
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with sink(arguments.latency_ms / 1000) as url:
            await bare_rate(url, 500, arguments.concurrency)
            for number in range(arguments.rounds):
                bare = await bare_rate(url, arguments.count, arguments.concurrency)
                rates.setdefault("bare aiohttp loop", []).append(bare)
                for index, (label, users) in enumerate(cases.items()):
                    store = SqliteStore(Path(folder) / f"{number}-{index}.db")
                    rate = await worker_rate(store, url, arguments.count, arguments.concurrency, users=users)
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
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments) if arguments.serve is None else serve(arguments.serve))


if __name__ == "__main__":
    main()
