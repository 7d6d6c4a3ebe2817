"""The stores that the contract suite runs against."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.postgres.store import PostgresStore
from kochava_bot_middleware.store.redis.store import RedisStore
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import ManualClock
from tests.store.postgres_server import NewStore, PostgresServer, postgres_store, shared_server
from tests.store.valkey import fresh_url


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite", "valkey", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    stores: dict[str, Store] = {
        "memory": MemoryStore(clock=clock),
        "sqlite": SqliteStore(tmp_path / "store.db", clock=clock),
    }
    if request.param == "valkey":
        stores[request.param] = RedisStore(fresh_url(), clock=clock)
    if request.param == "postgres":
        stores[request.param] = await postgres_store(shared_server().url(), clock=clock)
    store = stores[request.param]
    yield store
    await store.close()


@pytest.fixture
def postgres_url() -> str:
    """Tables of its own, which are not there yet."""
    return shared_server().url()


@pytest.fixture
async def new_store(postgres_url: str) -> AsyncIterator[NewStore]:
    """Makes stores of the same tables, each with connections of its own."""
    stores: list[PostgresStore] = []

    async def make(address: str = postgres_url) -> PostgresStore:
        stores.append(await postgres_store(address))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()
