"""
The stores that the contract suite runs against.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.redis import RedisStore
from kochava_bot_middleware.store.sqlite import SqliteStore
from tests.store.harness import ManualClock
from tests.store.postgres_server import postgres_store, shared_server
from tests.store.valkey import fresh_url


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite", "valkey", "valkey in shards", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    stores: dict[str, Store] = {
        "memory": MemoryStore(clock=clock),
        "sqlite": SqliteStore(tmp_path / "store.db", clock=clock),
    }
    if request.param in ("valkey", "valkey in shards"):
        stores[request.param] = RedisStore(fresh_url("&shards=3" if "shards" in request.param else ""), clock=clock)
    if request.param == "postgres":
        stores[request.param] = await postgres_store(shared_server().url(), clock=clock)
    store = stores[request.param]
    yield store
    await store.close()
