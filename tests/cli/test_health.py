"""What a worker answers to who watches it."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import pytest

from kochava_bot_middleware.cli.health import Health, Working, served
from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import QueueStats
from kochava_bot_middleware.telemetry.prometheus import Metrics


class BrokenStore(MemoryStore):
    """Cannot be read; its error names a secret."""

    async def stats(self) -> Mapping[str, QueueStats]:
        msg = "cannot reach postgresql://me:hidden@db"
        raise StoreUnavailable(msg)


async def got(path: str, *, store: Store, working: Working, metrics: Metrics | None = None) -> tuple[int, str]:
    """Status and text."""
    application = Health(store, metrics, working.why_not).application()
    async with (
        served(application, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.get(path) as answer,
    ):
        return answer.status, await answer.text()


def at_work() -> Working:
    working = Working()
    working.begins()
    return working


async def test_worker_is_ready_while_it_works() -> None:
    """And its store can be read."""
    assert (200, '{"status": "ready"}') == await got("/readyz", store=MemoryStore(), working=at_work())


async def test_worker_is_not_ready_before_it_works() -> None:
    """The reason is told."""
    status, text = await got("/readyz", store=MemoryStore(), working=Working())
    assert (503, True) == (status, "it has not begun" in text)


async def test_worker_that_stops_is_alive_but_not_ready() -> None:
    """An orchestrator must not kill what drains."""
    working = at_work()
    working.ends()
    assert 503 == (await got("/readyz", store=MemoryStore(), working=working))[0]
    assert 200 == (await got("/healthz", store=MemoryStore(), working=working))[0]


async def test_worker_without_its_store_is_alive_but_not_ready() -> None:
    """The kind of error is told, not its text."""
    status, text = await got("/readyz", store=BrokenStore(), working=at_work())
    assert (503, True, False) == (status, "StoreUnavailable" in text, "hidden" in text)
    assert 200 == (await got("/healthz", store=BrokenStore(), working=at_work()))[0]


async def test_metrics_without_the_store() -> None:
    """They are told, and that the store is down."""
    status, text = await got("/metrics", store=BrokenStore(), working=at_work(), metrics=Metrics())
    assert (200, True) == (status, "kochava_bot_store_up 0.0" in text)


async def test_metrics_without_their_library() -> None:
    """The answer says what to install."""
    status, text = await got("/metrics", store=MemoryStore(), working=at_work())
    assert (501, True) == (status, "kochava-bot-middleware[metrics]" in text)


@pytest.mark.parametrize("path", ["/", "/store"])
async def test_there_is_nothing_else(path: str) -> None:
    """No other address answers."""
    assert 404 == (await got(path, store=MemoryStore(), working=at_work()))[0]
