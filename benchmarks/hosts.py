"""
What a foreign host pays: the CPU of a webhook with and without the middleware, and that of a synchronous ``track``.

Run ``python -m benchmarks.hosts``. The application without the middleware checks the signature and decodes the body, as
it must. `SyncKochava.track` is compared with enqueueing the same event, as durably, and with a library for analytics
that keeps it in memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastapi
import flask
import persistqueue
from huey import SqliteHuey
from rich.console import Console
from segment.analytics.client import Client

from kochava_bot_middleware import KochavaMiddleware, SyncKochava
from kochava_bot_middleware.integrations.asgi import KochavaASGIMiddleware
from kochava_bot_middleware.integrations.wsgi import KochavaWSGIMiddleware

from .row import Row, table_of
from .webhook import request
from .webhook_server import SECRET

EVENT = {"id": "123", "name": "Shoes", "currency": "USD", "sum": 100}


def settings_in(folder: str) -> dict[str, Any]:
    """Delivery is left to a separate worker."""
    store = f"sqlite:///{Path(folder) / 'ours.db'}"
    return {"kochava_app_id": "kobench", "app_secret": SECRET, "store": store, "worker": "separate"}


def is_signed(raw: bytes, signature: str) -> bool:
    digest = hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    return hmac.compare_digest(signature, "sha256=" + digest)


def fastapi_app() -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    async def webhook(request: fastapi.Request) -> fastapi.Response:
        raw = await request.body()
        assert is_signed(raw, request.headers["x-hub-signature-256"])
        json.loads(raw)
        return fastapi.Response("EVENT_RECEIVED")

    app.add_api_route("/webhook", webhook, methods=["POST"])
    return app


def flask_app() -> flask.Flask:
    app = flask.Flask(__name__)

    def webhook() -> str:
        raw = flask.request.get_data()
        assert is_signed(raw, flask.request.headers["X-Hub-Signature-256"])
        json.loads(raw)
        return "EVENT_RECEIVED"

    app.add_url_rule("/webhook", view_func=webhook, methods=["POST"])
    return app


def signed() -> tuple[bytes, str]:
    """Body and signature of a webhook of its own."""
    head, _, body = request().partition(b"\r\n\r\n")
    return body, head.partition(b"X-Hub-Signature-256: ")[2].partition(b"\r\n")[0].decode()


async def asgi_cpu(app: Any, webhooks: list[tuple[bytes, str]], callers: int) -> float:
    """Microseconds of CPU a request."""

    async def ask(body: bytes, signature: str) -> None:
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": "/webhook",
            "raw_path": b"/webhook", "root_path": "", "query_string": b"", "scheme": "http", "client": None,
            "server": None, "headers": [(b"x-hub-signature-256", signature.encode())],
        }  # fmt: skip
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return messages.pop() if messages else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            assert message.get("status", 200) == 200

        await app(scope, receive, send)

    left = iter(webhooks)

    async def call() -> None:
        for body, signature in left:
            await ask(body, signature)

    began = time.process_time()
    await asyncio.gather(*(call() for _ in range(callers)))
    return (time.process_time() - began) / len(webhooks) * 1e6


def in_threads(call: Callable[[Any], object], items: list[Any], threads: int) -> float:
    """Microseconds of CPU a call, in so many threads."""
    left, lock = iter(items), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                item = next(left, None)
            if item is None:
                return
            call(item)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    began = time.process_time()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return (time.process_time() - began) / len(items) * 1e6


def ask_wsgi(app: Any, webhook: tuple[bytes, str]) -> None:
    body, signature = webhook
    environ = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/webhook", "QUERY_STRING": "", "SERVER_NAME": "b",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "CONTENT_LENGTH": str(len(body)),
        "HTTP_X_HUB_SIGNATURE_256": signature, "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO(),
        "wsgi.url_scheme": "http", "wsgi.version": (1, 0),
    }  # fmt: skip
    answer = app(environ, lambda status, *_: status)
    b"".join(answer)
    answer.close()


async def asgi_rows(rounds: int, size: int, callers: int) -> list[Row]:
    """FastAPI."""
    with tempfile.TemporaryDirectory() as folder:
        kochava = KochavaMiddleware.from_dict(settings_in(folder))
        bare, ours = fastapi_app(), KochavaASGIMiddleware(fastapi_app(), kochava=kochava)
        pairs = []
        async with kochava:
            for _ in range(rounds + 1):
                floor = await asgi_cpu(bare, [signed() for _ in range(size)], callers)
                pairs.append((await asgi_cpu(ours, [signed() for _ in range(size)], callers), floor))
    return [
        Row.of_rounds(pairs[1:], what=f"FastAPI with the middleware, {callers} callers", floor="without", unit="µs CPU")
    ]


def wsgi_rows(rounds: int, size: int, threads: int) -> list[Row]:
    """Flask."""
    with tempfile.TemporaryDirectory() as folder, SyncKochava.from_dict(settings_in(folder)) as kochava:
        bare, ours = flask_app().wsgi_app, KochavaWSGIMiddleware(flask_app().wsgi_app, kochava=kochava)
        pairs = []
        for _ in range(rounds + 1):
            floor = in_threads(lambda item: ask_wsgi(bare, item), [signed() for _ in range(size)], threads)
            cost = in_threads(lambda item: ask_wsgi(ours, item), [signed() for _ in range(size)], threads)
            pairs.append((cost, floor))
    return [
        Row.of_rounds(pairs[1:], what=f"Flask with the middleware, {threads} threads", floor="without", unit="µs CPU")
    ]


@contextmanager
def peers(folder: str) -> Iterator[dict[str, Callable[[int], object]]]:
    """What enqueues an event. The durable ones wait for the disk, as the store does, before they return."""
    huey = SqliteHuey("bench", filename=str(Path(folder) / "huey.db"), fsync=True)
    task = huey.task()(lambda user_id, data: None)
    queue = persistqueue.SQLiteQueue(str(Path(folder) / "persist"), multithreading=True, auto_commit=True)
    # It leaves this to SQLite, whose default depends on how it was built.
    queue._putter.execute("PRAGMA synchronous = FULL")  # type: ignore[attr-defined]  # noqa: SLF001
    # It sends nothing: only what a call costs its caller is measured.
    segment = Client("key", send=False, max_queue_size=10**7)
    yield {
        "huey, synchronous=FULL": lambda number: task(str(number), EVENT),
        "persist-queue, synchronous=FULL": lambda number: queue.put({"user_id": str(number), "data": EVENT}),
        "segment, in memory: not durable": lambda number: segment.track(str(number), "Purchase", EVENT),
    }
    queue.close()


def track_rows(rounds: int, size: int, threads: int) -> list[Row]:
    """The budget is that of the cheapest durable one."""
    with (
        tempfile.TemporaryDirectory() as folder,
        SyncKochava.from_dict(settings_in(folder)) as kochava,
        peers(folder) as calls,
    ):
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
        for number in range(rounds + 1):
            items = [10**15 + number * size + each for each in range(size)]
            cost = in_threads(lambda item: kochava.track("Purchase", EVENT, user_id=item), items, threads)
            for name, call in calls.items():
                floor = in_threads(call, items, threads)
                if number:  # the first round warms up
                    rates[name].append((cost, floor))
    durable = min(
        (name for name in rates if "memory" not in name), key=lambda name: sum(bare for _, bare in rates[name])
    )
    return [
        Row.of_rounds(
            pairs,
            what=f"SyncKochava.track, {threads} threads",
            floor=name,
            unit="µs CPU",
            budget=1.5 if name == durable else None,
        )
        for name, pairs in rates.items()
    ]


async def rows(rounds: int = 3, size: int = 1_000) -> list[Row]:
    """All of them."""
    return [
        *await asgi_rows(rounds, size, 64),
        *await asyncio.to_thread(wsgi_rows, rounds, size, 8),
        *await asyncio.to_thread(track_rows, rounds, size, 8),
        *await asyncio.to_thread(track_rows, rounds, size, 1),
    ]


def main() -> None:
    Console(width=160).print(table_of(asyncio.run(rows())))


if __name__ == "__main__":
    main()
