"""What the tests of foreign hosts share: signed webhooks, and a look at what was recorded."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from typing import Any

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.kochava.records import Engagement, decode
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import EntryState, Queue

SECRET = "s"
PAGE_ID = "1001"

SETTINGS: dict[str, Any] = {"kochava_app_id": "koapp", "worker": "separate", "app_secret": SECRET}


def body_of(*user_ids: str, text: str = "hi", mid: str | None = None) -> bytes:
    """A webhook with a message of each person."""
    items = [
        {
            "sender": {"id": user_id},
            "recipient": {"id": PAGE_ID},
            "timestamp": 1_800_000_000_000,
            "message": {"mid": mid or f"m_{user_id}", "text": text},
        }
        for user_id in user_ids
    ]
    return json.dumps({"object": "page", "entry": [{"id": PAGE_ID, "time": 1, "messaging": items}]}).encode()


def signature_of(body: bytes, secret: str = SECRET) -> str:
    """The value of the header."""
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


def kochava_on(store: Store | None = None, **settings: Any) -> KochavaMiddleware:
    """A middleware that keeps its records in *store*."""
    return KochavaMiddleware.from_dict({**SETTINGS, **settings}, store=store or MemoryStore())


async def recorded(store: Store) -> Sequence[tuple[str, str, Any]]:
    """Person, name and data of each event that waits."""
    rows = await store.browse(Queue.TRACK, state=EntryState.WAITING)
    records = [decode(row.entry.body) for row in rows]
    return [(each.user_id, each.event_name, each.event_data) for each in records if isinstance(each, Engagement)]
