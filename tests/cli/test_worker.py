"""`kochava-bot worker`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.cli.worker import READY
from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.sandbox.processes import ChildProcess
from tests.proxy_server import ProxyServer

from .conftest import APP_ID, Run, write_settings
from .stored import PRIVATE, fill


def worker_in(folder: Path, settings: Path, *more: str) -> ChildProcess:
    """The worker as a process."""
    arguments = ["-m", "kochava_bot_middleware", "worker", "--settings", str(settings), *more]
    return ChildProcess(arguments, ready=READY, log=folder / "worker.log")


async def test_worker_delivers_and_stops_on_sigterm(tmp_path: Path) -> None:
    """It prints which store it delivers from, and at the end what it did."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        mapping: Mapping[str, Any] = {"worker": "separate", "wire.event_url": f"{kochava.url}/track/json"}
        settings = write_settings(tmp_path, **mapping)
        middleware = KochavaMiddleware.from_dict(
            {"kochava_app_id": APP_ID, "store": f"sqlite:///{tmp_path / 'bot.db'}", "worker": "separate"}
        )
        await middleware.start()
        async with worker_in(tmp_path, settings, "--concurrency", "3") as worker:
            ready = await worker.start()
            await middleware.track("Purchase", user_id="5")
            await kochava.received(within_seconds=20)
            said = await worker.stop()
        await middleware.stop()

    assert ready.endswith("bot.db, 3 at once")
    assert f"{READY}stopped; 1 delivered; 0 waiting" == said.strip()


async def test_worker_stops_in_order_when_its_terminal_is_closed(tmp_path: Path) -> None:
    """As for other signals: what is under way is settled, and it says what it did."""
    settings = write_settings(tmp_path, worker="separate")
    async with worker_in(tmp_path, settings) as worker:
        await worker.start()
        assert worker.process_id is not None
        os.kill(worker.process_id, signal.SIGHUP)
        said = await worker.stop()
    assert f"{READY}stopped; 0 delivered; 0 waiting" == said.strip()


async def test_worker_serves_health_and_metrics(tmp_path: Path) -> None:
    """It is alive and ready; the metrics hold what it delivered, and the store's counts."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava, aiohttp.ClientSession() as session:
        mapping: Mapping[str, Any] = {"worker": "separate", "wire.event_url": f"{kochava.url}/track/json"}
        settings = write_settings(tmp_path, **mapping)
        await fill(tmp_path)
        async with worker_in(tmp_path, settings, "--port", "0") as worker:
            address = (await worker.start()).rpartition("answers on ")[2]
            async with asyncio.timeout(20):
                while 'kochava_bot_delivered_total{queue="track"} 1.0' not in await got(session, address, "/metrics"):
                    await kochava.clock.sleep(0.02)
            alive, ready = await got(session, address, "/healthz"), await got(session, address, "/readyz")
            metrics = await got(session, address, "/metrics")
            await worker.stop()

    assert ('200 {"status": "alive"}', '200 {"status": "ready"}') == (alive, ready)
    assert 'kochava_bot_store_entries{queue="track",state="dead"} 1.0' in metrics
    assert 'kochava_bot_request_seconds_count{answer="2xx"' in metrics
    assert 'kochava_bot_destination_down{app="kobotdemo1234"' in metrics
    assert PRIVATE not in metrics


async def test_worker_delivers_through_the_proxy(tmp_path: Path) -> None:
    """A separate worker has the setting of a bot's own."""
    proxy = ProxyServer()
    async with LocalKochava(app_ids=[APP_ID]) as kochava, proxy.running():
        proxy.ports["kochava.example"] = int(kochava.url.rpartition(":")[2])
        addresses = {"wire.event_url": "http://kochava.example/track/json", "delivery.proxy": proxy.url}
        settings = write_settings(tmp_path, worker="separate", **addresses)
        await fill(tmp_path)
        async with worker_in(tmp_path, settings) as worker:
            await worker.start()
            await kochava.received(within_seconds=20)
            await worker.stop()
    assert "POST http://kochava.example/track/json" in proxy.seen


async def got(session: aiohttp.ClientSession, address: str, path: str) -> str:
    """Status and text."""
    async with session.get(address + path) as answer:
        return f"{answer.status} {await answer.text()}"


async def test_worker_whose_port_is_taken(run: Run, tmp_path: Path) -> None:
    """One line, and it does not start."""
    async with LocalKochava(app_ids=[APP_ID]) as kochava:
        port = kochava.url.rpartition(":")[2]
        ran = await run("worker", "--port", port, "--settings", write_settings(tmp_path))
    assert (2, "", 1) == (ran.status, ran.out, len(ran.err.splitlines()))
    assert f"cannot listen on 127.0.0.1:{port}" in ran.err


@pytest.mark.parametrize("host", ["::1", "[::1]"])
async def test_worker_listens_on_an_ipv6_address(tmp_path: Path, host: str) -> None:
    """With or without brackets; it prints them."""
    async with worker_in(tmp_path, write_settings(tmp_path), "--port", "0", "--host", host) as worker:
        assert "; answers on http://[::1]:" in await worker.start()
        await worker.stop()


async def test_worker_refuses_an_empty_host(run: Run) -> None:
    """It would listen on every address."""
    ran = await run("worker", "--port=0", "--host= ")
    assert 2 == ran.status
    assert "--host: wanted a name or an address" in ran.err


async def test_worker_refuses_a_port_out_of_range(run: Run, tmp_path: Path) -> None:
    """The message gives the range."""
    ran = await run("worker", "--port", "65536", "--settings", write_settings(tmp_path))
    assert (2, "") == (ran.status, ran.out)
    assert "wanted a whole number from 0 to 65535, got '65536'" in ran.err


@pytest.mark.parametrize(
    ("settings", "key"), [({"mode": "dry_run"}, "kochava.mode"), ({"store": "memory://"}, "kochava.store")]
)
async def test_worker_that_has_nothing_to_do_does_not_start(
    run: Run, tmp_path: Path, settings: dict[str, str], key: str
) -> None:
    """Nothing to deliver, or no store that two processes can share."""
    ran = await run("worker", "--settings", write_settings(tmp_path, **settings))
    assert 2 == ran.status
    assert key in ran.err


@pytest.mark.parametrize("number", ["0", "-1", "many", "2.5", "10001", "1e3"])
async def test_worker_refuses_a_wrong_concurrency(run: Run, number: str) -> None:
    """The message says what was wanted."""
    ran = await run("worker", f"--concurrency={number}")
    assert 2 == ran.status
    assert f"wanted a whole number from 1 to 10000, got '{number}'" in ran.err
