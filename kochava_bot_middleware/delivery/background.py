"""A worker in the bot's own process."""

from __future__ import annotations

import asyncio

from ..kochava.client import KochavaClient
from .worker import Worker


class BackgroundWorker:
    """
    A worker that runs as a task of this process, from now until it is stopped.

    Args:
        client: The worker's; closed when it stops.
    """

    def __init__(self, worker: Worker, client: KochavaClient) -> None:
        self._worker = worker
        self._client = client
        self._running = asyncio.create_task(worker.run())

    def wake(self) -> None:
        """Let the worker look for new records at once."""
        self._worker.wake()

    async def stop(self, deadline_seconds: float) -> None:
        """Finish the requests under way, for no longer than allowed."""
        await self._worker.stop(deadline_seconds)
        await self._running
        await self._client.close()
