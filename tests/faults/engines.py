"""
The durable stores, as fresh addresses on shared servers, and as servers of one's own that can be killed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from kochava_bot_middleware.clock import Clock
from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.redis import RedisStore
from tests.store.postgres_server import postgres_store, shared_server
from tests.store.valkey import fresh_url

ENGINES = ("sqlite", "valkey", "postgres")
SERVERS = ("valkey", "postgres")


async def fresh_address(engine: str, folder: Path) -> str:
    """
    Of an empty store, ready to be used.
    """
    if engine == "valkey":
        return fresh_url()
    if engine == "postgres":
        url = shared_server().url()
        await (await postgres_store(url)).close()
        return url
    return f"sqlite:///{folder / 'bot.db'}"


class Engine(Protocol):
    """
    A server of one's own.
    """

    url: str

    def kill(self) -> None:
        """
        Without a goodbye.
        """

    def start(self) -> None:
        """
        Again, on the same data; returns when it works.
        """

    def remove(self) -> None:
        """
        For good.
        """


def opened(url: str, clock: Clock | None = None) -> Store:
    """
    The store at *url*.
    """
    return RedisStore(url, clock=clock) if url.startswith("unix://") else open_store(url, clock=clock)
