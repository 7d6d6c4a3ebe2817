"""One address that leads to one of several servers, as a company's proxy or name of "the primary" does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.store.tls import copy


class Forwarder:
    """
    Hands each new connection to the server it points to; those that are there stay where they are.

    Args:
        target: Port of the first server.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.accepted = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.accepted += 1
        with contextlib.suppress(OSError, asyncio.CancelledError):
            within = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(copy(reader, within[1]), copy(within[0], writer))
        writer.close()
        self._serving.discard(task)

    async def end(self) -> None:
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving)


@contextlib.asynccontextmanager
async def forwarder(target: int) -> AsyncIterator[Forwarder]:
    """One on a port of its own."""
    made = Forwarder(target)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.end()
