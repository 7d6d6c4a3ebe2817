"""The HTTP addresses of a worker."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import pytest

from kochava_bot_middleware.cli.health import Health, served
from kochava_bot_middleware.exceptions import KochavaBotError, StoreUnavailable, StoreUnusable
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import QueueStats
from kochava_bot_middleware.telemetry.prometheus import Metrics


class BrokenStore(MemoryStore):
    """Cannot be used; its error names a secret."""

    async def open(self) -> None:
        await self.stats()

    async def stats(self) -> Mapping[str, QueueStats]:
        msg = "cannot reach postgresql://me:hidden@db"
        raise StoreUnavailable(msg)


async def got(path: str, health: Health) -> tuple[int, str]:
    """Status and text."""
    async with (
        served(health.application(), "127.0.0.1", 0) as url,
        aiohttp.ClientSession(url) as session,
        session.get(path) as answer,
    ):
        return answer.status, await answer.text()


def ready(store: Store | None = None, metrics: Metrics | None = None) -> Health:
    """The addresses of a worker that has started."""
    health = Health(store or MemoryStore(), metrics)
    health.mark_ready()
    return health


async def test_started_worker_is_ready() -> None:
    """While its store can be read."""
    assert (200, '{"status": "ready"}') == await got("/readyz", ready())


class ReadOnlyStore(MemoryStore):
    """Can only be read."""

    async def open(self) -> None:
        msg = "is read-only"
        raise StoreUnusable(msg)


async def test_worker_whose_store_can_only_be_read_is_not_ready() -> None:
    """Its server has become a standby, say."""
    status, text = await got("/readyz", ready(ReadOnlyStore()))
    assert (503, True) == (status, "StoreUnusable" in text)


async def test_worker_is_not_ready_before_it_has_started() -> None:
    """The answer gives the reason."""
    status, text = await got("/readyz", Health(MemoryStore(), None))
    assert (503, True) == (status, "it has not started" in text)


async def test_worker_that_stops_is_alive_but_not_ready() -> None:
    """An orchestrator must not kill a worker that drains."""
    health = ready()
    health.mark_stopping()
    assert 503 == (await got("/readyz", health))[0]
    assert 200 == (await got("/healthz", health))[0]


async def test_worker_without_its_store_is_alive_but_not_ready() -> None:
    """The answer gives the type of the error, not its text."""
    status, text = await got("/readyz", ready(BrokenStore()))
    assert (503, True, False) == (status, "StoreUnavailable" in text, "hidden" in text)
    assert 200 == (await got("/healthz", ready(BrokenStore())))[0]


async def test_metrics_without_the_store() -> None:
    """They are shown, and the store as down."""
    status, text = await got("/metrics", ready(BrokenStore(), Metrics()))
    assert (200, True) == (status, "kochava_bot_store_up 0.0" in text)


async def test_metrics_without_their_library() -> None:
    """The answer says what to install."""
    status, text = await got("/metrics", ready())
    assert (501, True) == (status, "kochava-bot-middleware[metrics]" in text)


@pytest.mark.parametrize("path", ["/", "/store"])
async def test_other_addresses_are_not_found(path: str) -> None:
    """Only the three are served."""
    assert 404 == (await got(path, ready()))[0]


async def test_url_of_an_ipv6_address_can_be_opened() -> None:
    """The address stands in brackets."""
    async with served(ready().application(), "::1", 0) as url, aiohttp.ClientSession(url) as session:
        assert url.startswith("http://[::1]:")
        async with session.get("/healthz") as answer:
            assert 200 == answer.status


async def test_error_about_an_ipv6_address_that_is_taken() -> None:
    """The address stands in brackets."""
    async with served(ready().application(), "::1", 0) as url:
        taken = int(url.rpartition(":")[2])
        with pytest.raises(KochavaBotError, match=rf"cannot listen on \[::1\]:{taken}: "):
            async with served(ready().application(), "::1", taken):
                pass
