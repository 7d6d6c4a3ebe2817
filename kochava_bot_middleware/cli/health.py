"""The HTTP addresses of a worker for orchestrators and monitoring: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from ..exceptions import KochavaBotError
from ..settings import host_and_port
from ..store.contract import Store
from ..telemetry.prometheus import CONTENT_TYPE, Metrics

READ_SECONDS = 2.0
"""How long the store may take to answer before it counts as unreachable."""


class Health:
    """Answers the three addresses; *metrics* is ``None`` when their library is not installed."""

    def __init__(self, store: Store, metrics: Metrics | None) -> None:
        self._store = store
        self._metrics = metrics
        self._why_not_ready: str | None = "it has not started"

    def mark_ready(self) -> None:
        """The worker claims entries from now on."""
        self._why_not_ready = None

    def mark_stopping(self) -> None:
        """The worker claims no more entries."""
        self._why_not_ready = "it is stopping"

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._get_metrics)
        return application

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        reasons = [reason for reason in (self._why_not_ready, await self._store_failure()) if reason is not None]
        if reasons:
            return web.json_response({"status": "not ready", "reasons": reasons}, status=503)
        return web.json_response({"status": "ready"})

    async def _get_metrics(self, _request: web.Request) -> web.Response:
        if self._metrics is None:
            text = "metrics are off: pip install 'kochava-bot-middleware[metrics]'\n"
            return web.Response(text=text, status=501)
        body = await self._metrics.text(self._store, timeout_seconds=READ_SECONDS)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _store_failure(self) -> str | None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                # It writes, too: a store that can only be read has become a standby, say.
                await self._store.open()
        except Exception as exc:  # noqa: BLE001 - an engine may raise anything
            # Not its text, which may name hosts and files.
            return f"the store cannot be used: {type(exc).__name__}"
        return None


@asynccontextmanager
async def served(application: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """
    Serve *application*; yields its URL. The system chooses the port when it is 0.

    Raises:
        KochavaBotError: The port cannot be used.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as exc:
            msg = f"cannot listen on {host_and_port(host, port)}: {exc.strerror or type(exc).__name__}"
            raise KochavaBotError(msg) from None
        yield f"http://{host_and_port(host, runner.addresses[0][1])}"
    finally:
        await runner.cleanup()
