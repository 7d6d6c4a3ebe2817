"""What an orchestrator and a monitoring system ask a worker, over HTTP on one port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from ..exceptions import KochavaBotError
from ..store.contract import Store
from ..telemetry.prometheus import CONTENT_TYPE, Metrics

READ_SECONDS = 2.0
"""How long the store may take to answer until it counts as not reachable."""


class Health:
    """
    Answers ``/healthz``, ``/readyz`` and ``/metrics``.

    Args:
        store: Must be reachable for the worker to be ready.
        metrics: ``None`` when their library is not installed.
        why_not: Why the worker does not work now, as a phrase; ``None`` while it does.
    """

    def __init__(self, store: Store, metrics: Metrics | None, why_not: Callable[[], str | None]) -> None:
        self._store = store
        self._metrics = metrics
        self._why_not = why_not

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application()
        application.router.add_get("/healthz", self._alive)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._tell)
        return application

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, _request: web.Request) -> web.Response:
        reasons = [reason for reason in (self._why_not(), await self._store_trouble()) if reason is not None]
        if reasons:
            return web.json_response({"status": "not ready", "reasons": reasons}, status=503)
        return web.json_response({"status": "ready"})

    async def _tell(self, _request: web.Request) -> web.Response:
        if self._metrics is None:
            text = "metrics are off: pip install 'kochava-bot-middleware[metrics]'\n"
            return web.Response(text=text, status=501)
        body = await self._metrics.text(self._store, timeout_seconds=READ_SECONDS)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _store_trouble(self) -> str | None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                await self._store.stats()
        except Exception as exc:  # noqa: BLE001 - an engine may raise anything
            # Not its text, which may name hosts and files.
            return f"the store cannot be read: {type(exc).__name__}"
        return None


class Working:
    """Whether the worker works: for who asks whether it is ready."""

    def __init__(self) -> None:
        self._reason: str | None = "it has not begun"

    def begins(self) -> None:
        """From now on it works."""
        self._reason = None

    def ends(self) -> None:
        """It claims no more."""
        self._reason = "it is stopping"

    def why_not(self) -> str | None:
        """Why it does not; ``None`` while it does."""
        return self._reason


@asynccontextmanager
async def served(application: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """
    Serve *application*; gives the port, which the system chooses when it is 0.

    Raises:
        KochavaBotError: The port cannot be had.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as exc:
            msg = f"cannot listen on {host}:{port}: {exc.strerror or type(exc).__name__}"
            raise KochavaBotError(msg) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
