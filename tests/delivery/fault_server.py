"""
A real HTTP server on a local port that fails in every way a test asks for.
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


class Mode(enum.Enum):
    """
    How a request is answered.
    """

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


@attrs.frozen(kw_only=True)
class Received:
    """
    One request as it came.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class FaultServer:
    """
    Answers by `mode`, or by `choose` when that is set.
    """

    def __init__(self) -> None:
        self.mode = Mode.OK
        self.choose: Callable[[Received], Mode] | None = None
        self.status = 503
        self.retry_after = 30
        self.now = 1_800_000_000.0
        self.slow_seconds = 0.05
        self.received: list[Received] = []
        self.connections = 0
        self.port = 0
        self._hanging = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._hanging.set()
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (received := await _read(reader)) is not None:
                self.received.append(received)
                mode = self.choose(received) if self.choose is not None else self.mode
                if not await self._answer(mode, writer):
                    return
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, mode: Mode, writer: asyncio.StreamWriter) -> bool:
        """
        Whether the connection goes on.
        """
        body = b'{"success":"1"}'
        status, header = 200, ""
        match mode:
            case Mode.HANG:
                await self._hanging.wait()
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
                await asyncio.sleep(self.slow_seconds)
            case Mode.REJECTED:
                body = b'{"success":"0","error":"nope"}'
            case Mode.STATUS:
                status, body = self.status, b"broken"
            case Mode.TOO_MANY_SECONDS:
                status, header = 429, f"Retry-After: {self.retry_after}\r\n"
            case Mode.TOO_MANY_DATE:
                date = email.utils.formatdate(self.now + self.retry_after, usegmt=True)
                status, header = 429, f"Retry-After: {date}\r\n"
            case Mode.REDIRECT:
                status, header = 302, f"Location: {self.url}/elsewhere\r\n"
            case Mode.HUGE:
                body = b"x" * 1_000_000
        writer.write(f"HTTP/1.1 {status} Status\r\n{header}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return True


def _reset(writer: asyncio.StreamWriter) -> None:
    """
    Close with RST rather than FIN.
    """
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method=method, path=path, headers=headers, body=body)
