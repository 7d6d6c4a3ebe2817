"""
The stores that the contract suite runs against.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.sqlite import SqliteStore
from tests.store.harness import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Store]:
    stores: dict[str, Store] = {
        "memory": MemoryStore(clock=clock),
        "sqlite": SqliteStore(tmp_path / "store.db", clock=clock),
    }
    store = stores[request.param]
    yield store
    await store.close()
