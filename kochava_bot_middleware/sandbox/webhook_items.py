"""The bodies of the local Messenger's webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .people import SimulatedUser
from .sent import SentMessage
from .webhooks import SentWebhook, facebook_json


def make_webhook(person: SimulatedUser, kind: str, content: Mapping[str, Any], now: float) -> SentWebhook:
    """
    Wrap *content* into a signed webhook's body.

    Args:
        person: Whom it is about; the sender, but of an echo, which the Page sends.
        kind: See `SentWebhook`.
        content: The item's own members.
        now: Its time, in seconds since the epoch; written in milliseconds.
    """
    page, user = {"id": person.page_id}, {"id": person.user_id}
    sender, recipient = (page, user) if kind == "echo" else (user, page)
    at = int(now * 1000)
    item = {"sender": sender, "recipient": recipient, "timestamp": at, **content}
    envelope = {
        "object": "instagram" if person.instagram else "page",
        "entry": [{"id": person.page_id, "time": at, "messaging": [item]}],
    }
    own = content.get("message") or content.get("postback") or {}
    return SentWebhook(
        kind=kind,
        page_id=person.page_id,
        user_id=person.user_id,
        mid=own.get("mid") if isinstance(own, Mapping) else None,
        item=item,
        raw=facebook_json(envelope),
    )


def echo_content(person: SimulatedUser, sent: SentMessage, mid: str, app_id: str) -> dict[str, Any]:
    """The members of an echo: the message as it was sent. Instagram's has no ``app_id``."""
    echo: dict[str, Any] = {"mid": mid, "is_echo": True}
    if not person.instagram:
        echo["app_id"] = int(app_id)
    for name in ("text", "metadata"):
        if name in sent.message:
            echo[name] = sent.message[name]
    if "attachment" in sent.message:
        echo["attachments"] = [sent.message["attachment"]]
    return {"message": echo}


def delivery_content(mid: str, now: float, *, with_mids: bool) -> dict[str, Any]:
    """The members of a delivery: its watermark in milliseconds and, if wanted, the message's id."""
    delivery: dict[str, Any] = {"watermark": int(now * 1000)}
    if with_mids:
        delivery["mids"] = [mid]
    return {"delivery": delivery}
