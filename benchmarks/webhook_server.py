"""A server for the webhook benchmark, in a process of its own: the bare floor, or a bot with the middleware."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import queue
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from kochava_bot_middleware import KochavaMiddleware, MessengerBot

SECRET = "benchmark"


class BareGroupCommit:
    """One thread, one queue, one durable transaction for all that wait."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._live, daemon=True).start()

    async def commit(self, body: bytes) -> None:
        done = self._loop.create_future()
        self._rows.put((done, body))
        await done

    def _live(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (place INTEGER PRIMARY KEY, body BLOB)")
        while True:
            row = self._rows.get()
            batch = [row, *(self._rows.get_nowait() for _ in range(self._rows.qsize()))]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO t (body) VALUES (?)", [(body,) for _, body in batch])
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(self._tell, [done for done, _ in batch])

    def _tell(self, done: list[asyncio.Future[None]]) -> None:
        for future in done:
            if not future.done():
                future.set_result(None)


def floor(folder: Path) -> web.Application:
    """Verify, load, and await two bare group commits."""

    async def handle(request: web.Request) -> web.Response:
        raw = await request.read()
        digest = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(request.headers["X-Hub-Signature-256"], "sha256=" + digest):
            return web.Response(status=403)
        orjson.loads(raw)
        await request.app["commits"].commit(raw)
        await request.app["commits"].commit(raw)
        return web.Response(text="EVENT_RECEIVED")

    async def open_store(app: web.Application) -> None:
        app["commits"] = BareGroupCommit(folder / "floor.db")

    app = web.Application()
    app.router.add_post("/webhook", handle)
    app.on_startup.append(open_store)
    return app


def ours(folder: Path, *, tune_gc: bool = False, **settings: Any) -> web.Application:
    """A bot whose handler answers nothing, with the middleware; delivery is left to a separate worker."""
    bot = MessengerBot.from_dict(
        {"page_access_token": "t", "app_secret": SECRET, "verify_token": "v", "tune_gc": tune_gc}
    )
    store = f"sqlite:///{folder / 'ours.db'}"
    kochava = KochavaMiddleware.from_dict(
        {"kochava_app_id": "kobench", "store": store, "worker": "separate", **settings}
    )
    bot.add_middleware(kochava)

    @bot.on_message()
    async def silent(event: Any, reply: Any) -> None:
        pass

    return bot.app()


def tuned(folder: Path) -> web.Application:
    """Ours, with `BotSettings.tune_gc`."""
    return ours(folder, tune_gc=True)


def main() -> None:
    which, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    logging.disable(logging.WARNING)
    app = {"floor": floor, "ours": ours, "tuned": tuned}[which](folder)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
