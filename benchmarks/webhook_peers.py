"""What people write in place of the package: servers for `benchmarks.processor_time`, each in a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from arq.connections import RedisSettings, create_pool
from huey import SqliteHuey
from procrastinate import App, PsycopgConnector

from .webhook_server import SECRET

Take = Callable[[bytes], Awaitable[object]]
"""Takes the event of a checked webhook over, before Facebook is answered."""


def webhook(begin: Callable[[], Awaitable[Take]]) -> web.Application:
    """Checks the signature, decodes, and hands over to what *begin* opened."""

    async def handle(request: web.Request) -> web.Response:
        raw = await request.read()
        digest = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(request.headers["X-Hub-Signature-256"], "sha256=" + digest):
            return web.Response(status=403)
        item = orjson.loads(raw)["entry"][0]["messaging"][0]
        device_ids = {"fb_user_id": item["sender"]["id"]}
        data = {"event_name": "Message", "usertime": item["timestamp"] // 1000, "device_ids": device_ids}
        await app["take"](orjson.dumps({"action": "event", "data": data}))
        return web.Response(text="EVENT_RECEIVED")

    async def open_queue(app: web.Application) -> None:
        app["take"] = await begin()

    app = web.Application()
    app.router.add_post("/webhook", handle)
    app.on_startup.append(open_queue)
    return app


def hand_written(_folder: Path, url: str) -> web.Application:
    """A task in the background posts to Kochava; what it has not posted yet is lost when it stops."""

    async def begin() -> Take:
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=16))
        tasks: set[asyncio.Task[None]] = set()

        async def post(body: bytes) -> None:
            async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
                await response.read()

        async def take(body: bytes) -> None:
            task = asyncio.create_task(post(body))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        return take

    return webhook(begin)


def huey(folder: Path, _url: str) -> web.Application:
    """A job in SQLite, whose durability is that of each commit."""

    async def begin() -> Take:
        queue: Any = SqliteHuey(filename=str(folder / "huey.db"), fsync=True)
        job = queue.task()(lambda body: body)

        async def take(body: bytes) -> None:
            await asyncio.to_thread(job, body)

        return take

    return webhook(begin)


def arq(_folder: Path, url: str) -> web.Application:
    """A job in Valkey."""

    async def begin() -> Take:
        pool = await create_pool(RedisSettings.from_dsn(url.partition("?")[0]))
        return lambda body: pool.enqueue_job("post", body)

    return webhook(begin)


def procrastinate(_folder: Path, url: str) -> web.Application:
    """A job in PostgreSQL."""

    async def begin() -> Take:
        queue = App(connector=PsycopgConnector(conninfo=url.partition("?")[0]))
        await queue.open_async()
        await queue.schema_manager.apply_schema_async()
        job = queue.task(name="post")(lambda body: body)
        return lambda body: job.defer_async(body=body.decode())

    return webhook(begin)


PEERS = {"hand_written": hand_written, "huey": huey, "arq": arq, "procrastinate": procrastinate}
