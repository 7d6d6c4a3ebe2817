"""
What a Messenger event or a send says to a person's funnel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import orjson

from ..messenger.events import DeliveryEvent, Event, Kind, MessageEvent, PostbackEvent, ReactionEvent, ReadEvent
from .funnel import Acted, Delivered, Signal

MAX_DEPTH = 20
"""How deep a body is searched for payloads; the deepest template has them on level eight."""

_NOT_AN_ACTION = frozenset({
    Kind.ECHO, Kind.APP_ROLES, Kind.POLICY_ENFORCEMENT, Kind.INBOX_LABELS, Kind.CHANGE, Kind.UNKNOWN,
    Kind.PASS_THREAD_CONTROL, Kind.TAKE_THREAD_CONTROL, Kind.REQUEST_THREAD_CONTROL,
})  # fmt: skip


def signal_of(event: Event, now: float) -> Signal | None:
    """
    What *event* says, or ``None`` when it says nothing about a greeting.

    Args:
        now: Seconds since the epoch; stands in for a missing time.
    """
    at = now if event.timestamp is None else event.timestamp.timestamp()
    match event:
        case DeliveryEvent():
            watermark = None if event.watermark is None else event.watermark.timestamp()
            return Delivered(at=now, mids=event.mids, watermark=watermark)
        case ReadEvent():
            watermark = None if event.watermark is None else event.watermark.timestamp()
            return Delivered(at=now, mids=() if event.mid is None else (event.mid,), watermark=watermark)
        case PostbackEvent():
            return Acted(at=at, payload=event.payload)
        case MessageEvent():
            # Who writes first after a link or an ad comes from there, not from the greeting.
            return Acted(at=at, payload=event.quick_reply_payload, is_message=event.referral is None)
        case ReactionEvent():
            return Acted(at=at)
        case _ if event.kind in _NOT_AN_ACTION or event.standby:
            return None
        case _:
            return Acted(at=at)


def offers_of(body: Any) -> tuple[str, ...]:
    """
    Payloads of the postback buttons and quick replies that an outgoing body offers.
    """
    return tuple(dict.fromkeys(_payloads(body, 0)))


def _payloads(node: Any, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        return
    if attrs.has(type(node)):
        node = attrs.asdict(node, recurse=False)
    if isinstance(node, Mapping):
        payload = node.get("payload")
        if isinstance(payload, str) and (node.get("type") == "postback" or "content_type" in node):
            yield payload
        for key, child in node.items():
            yield from _payloads(_loaded(child) if key in ("message", "attachment") else child, depth + 1)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _payloads(child, depth + 1)


def _loaded(member: Any) -> Any:
    """
    A member that is JSON text within the JSON, as old senders write it, opened.
    """
    if not isinstance(member, str):
        return member
    try:
        return orjson.loads(member)
    except orjson.JSONDecodeError:
        return member
