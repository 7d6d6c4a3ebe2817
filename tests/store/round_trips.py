"""Counts the round trips of clients to a PostgreSQL server."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

from tests.store.tls import copy

_WANTS_AN_ANSWER = (b"S", b"H", b"Q")
"""Sync, Flush and a simple query: the client waits after each."""


class RoundTripCounter:
    """
    A proxy in front of the server at a port.

    Attributes:
        port: Its own.
        count: Round trips since it was last set to 0, of all connections, but for those that open one.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.count = 0
        self._target = target
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(self._count(reader, to_server), copy(from_server, writer))
        writer.close()
        self._serving.discard(task)

    async def _count(self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter) -> None:
        kind_bytes = 0  # The first message has no kind.
        try:
            while True:
                head = await reader.readexactly(kind_bytes + 4)
                (length,) = struct.unpack("!i", head[kind_bytes:])
                to_server.write(head + await reader.readexactly(length - 4))
                self.count += head[:kind_bytes] in _WANTS_AN_ANSWER
                kind_bytes = 1
        finally:
            to_server.close()

    async def end(self) -> None:
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving)


@contextlib.asynccontextmanager
async def round_trip_counter(target: int) -> AsyncIterator[RoundTripCounter]:
    """One on a port of its own; the address of a client needs ``sslmode=disable``."""
    counter = RoundTripCounter(target)
    server = await asyncio.start_server(counter.serve, "127.0.0.1", 0)
    counter.port = server.sockets[0].getsockname()[1]
    try:
        yield counter
    finally:
        server.close()
        await counter.end()
