"""
A pooler in transaction mode, like PgBouncer: each transaction goes to the next of two server connections.

So whatever a client leaves in its session (prepared statements, settings, locks) is missing in its next transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections.abc import AsyncIterator

import attrs

_SSL_REQUEST = 80_877_103
_STARTUP = struct.pack("!i", 196_608) + b"user\x00postgres\x00database\x00postgres\x00\x00"


@attrs.define(eq=False)
class _Server:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    greeting: bytes
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)


@contextlib.asynccontextmanager
async def pooler(port: int) -> AsyncIterator[int]:
    """The port of a pooler in front of the server at *port*."""
    servers = [await _connect(port) for _ in range(2)]
    turns = itertools.cycle(servers)
    handling: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handling.add(task)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await _startup(reader, writer, servers[0].greeting)
            kind, message = await _read(reader)
            while kind != b"X":
                server = next(turns)
                async with server.lock:
                    following = await _transact(reader, writer, server, message)
                kind, message = await following
        writer.close()
        handling.discard(task)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in list(handling):
            task.cancel()
        await asyncio.gather(*handling)
        for server in servers:
            server.writer.close()
            await server.writer.wait_closed()


async def _connect(port: int) -> _Server:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(struct.pack("!i", len(_STARTUP) + 4) + _STARTUP)
    greeting = b""
    kind = b""
    while kind != b"Z":
        kind, message = await _read(reader)
        greeting += message
    return _Server(reader, writer, greeting)


async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, greeting: bytes) -> None:
    while True:
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        body = await reader.readexactly(length - 4)
        if struct.unpack("!i", body[:4])[0] != _SSL_REQUEST:
            break
        writer.write(b"N")
    writer.write(greeting)


async def _transact(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: _Server, message: bytes
) -> asyncio.Future[tuple[bytes, bytes]]:
    """Pass on messages both ways until the transaction is over; returns what will be the client's next message."""
    server.writer.write(message)
    asking = asyncio.ensure_future(_read(reader))
    answering = asyncio.ensure_future(_read(server.reader))
    while True:
        await asyncio.wait([asking, answering], return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            kind, message = answering.result()
            writer.write(message)
            if (kind, message[-1:]) == (b"Z", b"I"):
                return asking
            answering = asyncio.ensure_future(_read(server.reader))
        elif asking.done():
            _, message = asking.result()
            server.writer.write(message)
            asking = asyncio.ensure_future(_read(reader))


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind = await reader.readexactly(1)
    length = await reader.readexactly(4)
    return kind, kind + length + await reader.readexactly(struct.unpack("!i", length)[0] - 4)
