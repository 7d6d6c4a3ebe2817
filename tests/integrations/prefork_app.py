"""The Flask application of `test_prefork`, imported by gunicorn before it forks."""

from __future__ import annotations

import json
import os

from flask import Flask, request

from kochava_bot_middleware import SyncKochava
from kochava_bot_middleware.integrations.wsgi import KochavaWSGIMiddleware

kochava = SyncKochava.from_dict(json.loads(os.environ["PREFORK_SETTINGS"]))
app = Flask(__name__)
app.wsgi_app = KochavaWSGIMiddleware(app.wsgi_app, kochava=kochava)  # type: ignore[method-assign]


@app.post("/webhook")
def webhook() -> str:
    """Records the text of each message."""
    for entry in request.get_json()["entry"]:
        for item in entry["messaging"]:
            kochava.track("Step", {"quantity": int(item["message"]["text"])}, user_id=item["sender"]["id"])
    return "EVENT_RECEIVED"
