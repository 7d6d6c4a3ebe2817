"""Audit entries: the same one for a webhook, the stored record that it promises, and the request."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kochava_bot_middleware.kochava.records import Engagement, Record
from kochava_bot_middleware.sandbox.audit import AuditEntry
from kochava_bot_middleware.sandbox.messenger.webhooks import WebhookOutcome

STARTED = "Started"
SAID = "Said"
IMPRESSION = "impression"
CLICK = "click"


def event(user_id: str, name: str, label: str) -> AuditEntry:
    return AuditEntry(lane=f"{user_id} events", label=f"{name} {label}")


def ping(user_id: str, kind: str) -> AuditEntry:
    return AuditEntry(lane=f"{user_id} pings", label=kind)


def promised(outcomes: Iterable[WebhookOutcome]) -> list[AuditEntry]:
    """
    What these webhooks promise, in the order in which they were answered.

    Each user starts with the greeting, which is an impression; the first message after it is a click.
    """
    entries = []
    greeted: set[str] = set()
    for outcome in outcomes:
        webhook = outcome.webhook
        if webhook.kind == "postback":
            entries += [event(webhook.user_id, STARTED, str(webhook.mid)), ping(webhook.user_id, IMPRESSION)]
            greeted.add(webhook.user_id)
        elif webhook.kind == "message":
            entries.append(event(webhook.user_id, SAID, str(webhook.mid)))
            if webhook.user_id in greeted:
                greeted.remove(webhook.user_id)
                entries.append(ping(webhook.user_id, CLICK))
    return entries


def of_request(path: str, body: bytes | None) -> AuditEntry:
    """The entry of a request."""
    if not body:
        address = urlsplit(path)
        return ping(parse_qs(address.query)["fb_user_id"][0], CLICK if "click" in address.path else IMPRESSION)
    data: dict[str, Any] = json.loads(body)["data"]
    return event(data["device_ids"]["fb_user_id"], data["event_name"], data["event_data"]["id"])


def of_record(record: Record) -> AuditEntry:
    """The entry of a stored record."""
    if isinstance(record, Engagement):
        return event(record.user_id, record.event_name, record.event_data["id"])
    return ping(record.user_id, record.kind)
