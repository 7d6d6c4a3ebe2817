"""The durable stores, as fresh addresses on shared servers, and as servers of one's own that can be killed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.store.postgres_server import PostgresServer, postgres_store, shared_server
from tests.store.valkey import LocalValkey, fresh_url

ENGINES = ("sqlite", "valkey", "postgres")


async def fresh_address(engine: str, folder: Path) -> str:
    """Of an empty store, ready to be used."""
    if engine == "valkey":
        return fresh_url()
    if engine == "postgres":
        url = shared_server().url()
        await (await postgres_store(url)).close()
        return url
    return f"sqlite:///{folder / 'bot.db'}"


class Engine(Protocol):
    """A server of one's own, running."""

    url: str

    async def prepare(self) -> None:
        """Make the store ready to be used."""

    def kill(self) -> None:
        """End it without a goodbye."""

    def start(self) -> None:
        """Run again, on the same data; returns when it works."""

    def remove(self) -> None:
        """End it for good."""


class OwnValkey:
    """See `Engine`."""

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
    """See `Engine`."""

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
