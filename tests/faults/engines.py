"""The durable stores: fresh addresses on shared servers, and separate servers that can be killed."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.store.postgres_server import PostgresServer, postgres_store, shared_server
from tests.store.valkey import LocalValkey, fresh_url

ENGINES = ("sqlite", "valkey", "postgres")


async def fresh_address(engine: str, folder: Path) -> str:
    """The address of an empty store, ready to be used."""
    if engine == "valkey":
        return fresh_url()
    if engine == "postgres":
        url = shared_server().url()
        await (await postgres_store(url)).close()
        return url
    return f"sqlite:///{folder / 'bot.db'}"


async def can_be_written(url: str, *, within_seconds: float = 0.2) -> bool:
    """Whether no process holds the write lock of SQLite for so long; true for other stores."""
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite":
        return True
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        async with asyncio.timeout(within_seconds):
            while True:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    await asyncio.sleep(0.005)
                else:
                    connection.execute("ROLLBACK")
                    return True
    except TimeoutError:
        return False
    finally:
        connection.close()


class Engine(Protocol):
    """A separate server, running."""

    url: str

    async def prepare(self) -> None:
        """Make the store ready to be used."""

    def kill(self) -> None:
        """Kill it."""

    def start(self) -> None:
        """Start it again, on the same data; returns when it works."""

    def remove(self) -> None:
        """Kill it, and remove its data."""


class OwnValkey:
    def __init__(self) -> None:
        self._server = LocalValkey()
        self._server.start()
        self.url = self._server.url()

    async def prepare(self) -> None:
        return

    def kill(self) -> None:
        self._server.kill()

    def start(self) -> None:
        self._server.start()

    def remove(self) -> None:
        self._server.kill()
        shutil.rmtree(self._server.folder, ignore_errors=True)


class OwnPostgres:
    def __init__(self) -> None:
        self._server = PostgresServer()
        self._server.start()
        self.url = self._server.url()

    async def prepare(self) -> None:
        await (await postgres_store(self.url)).close()

    def kill(self) -> None:
        self._server.stop(signal.SIGQUIT)

    def start(self) -> None:
        self._server.start()

    def remove(self) -> None:
        self._server.remove()


OWN_SERVERS: dict[str, Callable[[], Engine]] = {"valkey": OwnValkey, "postgres": OwnPostgres}
