"""The applications of `test_prefork`, imported by gunicorn before it forks, and by the processes of uvicorn."""

from __future__ import annotations

import json
import os
from pathlib import Path

from fastapi import FastAPI, Request
from flask import Flask, request

from kochava_bot_middleware import KochavaMiddleware, SyncKochava
from kochava_bot_middleware.bot import InboxSettings
from kochava_bot_middleware.integrations.asgi import KochavaASGIMiddleware
from kochava_bot_middleware.integrations.wsgi import KochavaWSGIMiddleware

settings = json.loads(os.environ["PREFORK_SETTINGS"])
runs = os.environ.get("PREFORK_RUNS")
store_first = False if runs is None else InboxSettings(lease_seconds=3, concurrency=8)


def steps_of(body: bytes) -> list[tuple[str, int]]:
    """Person and text of each message; each is noted as a byte of a file."""
    items = [item for entry in json.loads(body)["entry"] for item in entry["messaging"]]
    if runs is not None:
        with Path(runs).open("ab") as file:
            file.write(b"." * len(items))
    return [(item["sender"]["id"], int(item["message"]["text"])) for item in items]


kochava = SyncKochava.from_dict(settings)
app = Flask(__name__)
app.wsgi_app = KochavaWSGIMiddleware(  # type: ignore[method-assign]
    app.wsgi_app, kochava=kochava, store_first=store_first
)


@app.post("/webhook")
def webhook() -> str:
    """Records the text of each message."""
    for user_id, step in steps_of(request.get_data()):
        kochava.track("Step", {"quantity": step}, user_id=user_id)
    return "EVENT_RECEIVED"


asynchronous = KochavaMiddleware.from_dict(settings)
asgi_app = FastAPI()
asgi_app.add_middleware(KochavaASGIMiddleware, kochava=asynchronous, store_first=store_first)


@asgi_app.post("/webhook")
async def asynchronous_webhook(request: Request) -> str:
    """The same."""
    for user_id, step in steps_of(await request.body()):
        await asynchronous.track("Step", {"quantity": step}, user_id=user_id)
    return "EVENT_RECEIVED"
