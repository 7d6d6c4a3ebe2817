"""
What stands in for Kochava: a process of its own that answers every request as cheaply as possible.

It notes which record came when and which was answered when, and it can hold all answers until it is told to begin, so
that the time processes take to start is not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"success":"1"}'

_MOST_BYTES_OF_A_LINE = 2**26


class Book:
    """
    What came and what was answered.

    Args:
        latency_seconds: From a request to its answer.
    """

    def __init__(self, latency_seconds: float) -> None:
        self._latency_seconds = latency_seconds
        self._bodies: list[bytes] = []
        self._moves: list[int] = []
        self._held: list[Callable[[], None]] | None = None

    def came(self, body: bytes, answer: Callable[[], None]) -> None:
        """Note a request, and call *answer* when it is time."""
        self._bodies.append(body)
        place = len(self._bodies)
        self._moves.append(place)

        def answered() -> None:
            self._moves.append(-place)
            answer()

        if self._held is not None:
            self._held.append(answered)
        elif self._latency_seconds:
            asyncio.get_running_loop().call_later(self._latency_seconds, answered)
        else:
            answered()

    def told(self, command: str) -> Any:
        """Do what the benchmark asks for."""
        match command:
            case "hold":
                self._bodies, self._moves, self._held = [], [], []
            case "begin":
                held, self._held = self._held or [], None
                for answered in held:
                    asyncio.get_running_loop().call_later(self._latency_seconds, answered)
            case "held":
                return len(self._held or ())
            case "answered":
                return len(self._moves) - len(self._bodies)
            case "moves":
                numbers = [orjson.loads(body)["data"]["event_data"]["number"] for body in self._bodies]
                return [numbers[move - 1] if move > 0 else -numbers[-move - 1] for move in self._moves]
        return None


class Connection(asyncio.Protocol):
    """Just enough of HTTP."""

    def __init__(self, book: Book) -> None:
        self._book = book
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
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            self._book.came(body, self._answer)

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ANSWER)


class Sink:
    """The process, as the benchmark sees it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.url = f"http://127.0.0.1:{port}/track/json"

    @property
    def process_id(self) -> int:
        return self._process.pid

    async def hold(self) -> None:
        """Forget all that came, and answer nothing until `begin`."""
        await self._ask("hold")

    async def begin(self) -> None:
        """Answer what is held, and from now on each request in its time."""
        await self._ask("begin")

    async def held(self) -> int:
        """How many requests wait for `begin`."""
        return int(await self._ask("held"))

    async def answered(self) -> int:
        """How many were answered since `hold`."""
        return int(await self._ask("answered"))

    async def moves(self) -> list[int]:
        """The numbers of the records since `hold`, in order: positive when one came, negative when it was answered."""
        return list(await self._ask("moves"))

    async def _ask(self, command: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        return orjson.loads(await self._process.stdout.readline())


@asynccontextmanager
async def sink(latency_seconds: float) -> AsyncIterator[Sink]:
    """One in its own process, which answers at once until it is told to `Sink.hold`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.sink", str(latency_seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_MOST_BYTES_OF_A_LINE,
    )
    assert process.stdout is not None
    try:
        yield Sink(process, int(await process.stdout.readline()))
    finally:
        process.kill()
        await process.wait()


async def serve(latency_seconds: float) -> None:
    """The other process: commands come by standard input, answers go to standard output. It ends with its input."""
    book = Book(latency_seconds)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(book), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        print(orjson.dumps(book.told(line.decode().strip())).decode(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("latency_seconds", type=float)
    asyncio.run(serve(parser.parse_args().latency_seconds))


if __name__ == "__main__":
    main()
