"""
What a webhook costs, as a part of what a bare handler manages: signed, parsed, durable, dispatched, unit committed.

Run ``python -m benchmarks.webhook``. Both servers run in processes of their own and are asked in turn, so that what
else the machine does hits both.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import itertools
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from rich.console import Console

from .row import Row, table_of
from .webhook_server import SECRET

SERVERS = {"floor": "", "ours": "", "tuned": ", tune_gc"}
"""And what the rows say of each."""

_numbers = itertools.count(1)


def request() -> bytes:
    """One signed webhook of a person of their own, as bytes on the wire."""
    number = next(_numbers)
    item = {
        "sender": {"id": str(10**15 + number % 5000)},
        "recipient": {"id": "1001"},
        "timestamp": 1_767_225_600_000 + number,
        "message": {"mid": f"m_{number}", "text": "What is the price of these shoes, and do you have them in red?"},
    }
    body = json.dumps({"object": "page", "entry": [{"id": "1001", "time": 1, "messaging": [item]}]}).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = (
        "POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: sha256={digest}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def ask(port: int, requests: list[bytes], callers: int) -> tuple[float, float]:
    """Requests a second, and the 99th percentile of the answer's latency in seconds."""
    latencies: list[float] = []
    left = iter(requests)

    async def call() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for each in left:
            began = time.perf_counter()
            writer.write(each)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            latencies.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(call() for _ in range(callers)))
    took = time.perf_counter() - began
    return len(requests) / took, statistics.quantiles(latencies, n=100)[98]


@asynccontextmanager
async def started(*command: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """The process of *command*, to which the port where it shall listen is added, and that port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(*command, str(port))
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        yield process, port
    finally:
        process.kill()
        await process.wait()


async def rows(rounds: int = 5, size: int = 2_000, callers: int = 64) -> list[Row]:
    """Requests a second and the tail of their answers."""
    rates: dict[str, list[float]] = {which: [] for which in SERVERS}
    tails: dict[str, list[float]] = {which: [] for which in SERVERS}
    async with AsyncExitStack() as stack:
        ports = {}
        for which in SERVERS:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            command = (sys.executable, "-m", "benchmarks.webhook_server", which, folder)
            _, ports[which] = await stack.enter_async_context(started(*command))
        for number in range(rounds + 1):
            for which, port in ports.items():
                rate, tail = await ask(port, [request() for _ in range(size)], callers)
                if number:  # the first round warms up
                    rates[which].append(rate)
                    tails[which].append(tail * 1000)
    bare = "bare handler: verify, load, two bare commits"
    found: list[Row] = []
    for which, note in SERVERS.items():
        if which == "floor":
            continue
        found += [
            Row.of_rounds(
                zip(rates[which], rates["floor"], strict=True),
                what=f"webhooks, {callers} callers{note}",
                floor=bare,
                unit="/s",
                budget=0.5,
                at_most=False,
            ),
            Row.of_rounds(
                zip(tails[which], tails["floor"], strict=True),
                what=f"p99 of a webhook's answer{note}",
                floor=bare,
                unit="ms",
                budget=1.5,
            ),
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--callers", type=int, default=64)
    arguments = parser.parse_args()
    Console().print(table_of(asyncio.run(rows(arguments.rounds, arguments.size, arguments.callers))))


if __name__ == "__main__":
    main()
