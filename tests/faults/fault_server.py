"""
An HTTP server on a local port that answers as Kochava does, or fails in the way a test chooses.

It is written on raw connections, since no web framework can cut off an answer in the middle of its header.
"""

from __future__ import annotations

import asyncio
import email.utils
import enum
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import attrs

from kochava_bot_middleware.clock import Clock, SystemClock

_LOOPBACK = "127.0.0.1"


class Mode(enum.Enum):
    """How a request is answered."""

    OK = "ok"
    REJECTED = "success: false"
    STATUS = "the status that was set"
    TOO_MANY_SECONDS = "429 with Retry-After as seconds"
    TOO_MANY_DATE = "429 with Retry-After as a date"
    REDIRECT = "302 to this very server"
    HANG = "never"
    SLOW = "after a while"
    RESET = "connection reset after the request was read"
    HALF_BODY = "200, and the body breaks off"
    HALF_HEADER = "the answer's header breaks off"
    HUGE = "200 with a megabyte"

    @property
    def is_counted(self) -> bool:
        """Whether the server counts the request. It does not where the sender cannot know, to find what is lost."""
        return self in (Mode.OK, Mode.SLOW, Mode.HUGE)


@attrs.frozen(kw_only=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = attrs.field(repr=False)


class FaultServer:
    """
    Answers by `mode`, or by `choose` when that is set.

    Attributes:
        mode: How requests are answered.
        choose: Decides for each request. Called when the request was read and is not answered yet.
        status: Of `Mode.STATUS`.
        retry_after: Of the answers 429, in seconds.
        slow_seconds: How long `Mode.SLOW` waits.
        now: The time from which the date of a ``Retry-After`` is counted; ``None`` for the clock's.
        received: All requests, in order of arrival.
        connections: How many were made.

    Args:
        clock: Makes the waits.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.mode = Mode.OK
        self.choose: Callable[[Received], Mode] | None = None
        self.status = 503
        self.retry_after = 30
        self.now: float | None = None
        self.slow_seconds = 0.05
        self.received: list[Received] = []
        self.connections = 0
        self._clock = clock or SystemClock()
        self._port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        """Address without a slash at the end. Known from the first `up` on, also when down."""
        return f"http://{_LOOPBACK}:{self._port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultServer]:
        """Run until the end of the block."""
        await self.up()
        try:
            yield self
        finally:
            await self.down()

    async def up(self) -> None:
        """Listen, on the same port as before. Does nothing while up."""
        if self._server is None:
            self._released = asyncio.Event()
            self._server = await asyncio.start_server(self._serve, _LOOPBACK, self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        """Abort every connection and refuse new ones. Does nothing while down."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self._released.set()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while (received := await _read(reader)) is not None:
                self.received.append(received)
                mode = self.choose(received) if self.choose is not None else self.mode
                if not await self._answer(mode, writer):
                    return
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, mode: Mode, writer: asyncio.StreamWriter) -> bool:
        """Answer, and return whether the connection stays open."""
        body = b'{"success":"1"}'
        status, header = 200, ""
        match mode:
            case Mode.HANG:
                await self._released.wait()
                return False
            case Mode.RESET:
                _reset(writer)
                return False
            case Mode.HALF_HEADER:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
                await writer.drain()
                return False
            case Mode.HALF_BODY:
                writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"succ')
                await writer.drain()
                return False
            case Mode.SLOW:
                await self._clock.sleep(self.slow_seconds)
            case Mode.REJECTED:
                body = b'{"success":"0","error":"nope"}'
            case Mode.STATUS:
                status, body = self.status, b"broken"
            case Mode.TOO_MANY_SECONDS:
                status, header = 429, f"Retry-After: {self.retry_after}\r\n"
            case Mode.TOO_MANY_DATE:
                now = self._clock.now() if self.now is None else self.now
                date = email.utils.formatdate(now + self.retry_after, usegmt=True)
                status, header = 429, f"Retry-After: {date}\r\n"
            case Mode.REDIRECT:
                status, header = 302, f"Location: {self.url}/elsewhere\r\n"
            case Mode.HUGE:
                body = b"x" * 1_000_000
        writer.write(f"HTTP/1.1 {status} Status\r\n{header}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST rather than FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except asyncio.IncompleteReadError:
        # The sender died in between.
        return None
    return Received(method=method, path=path, headers=headers, body=body)
