"""
The body of a webhook becomes a list of events.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from ..exceptions import NotAWebhook
from .events import Channel, Event
from .parse_fields import identifier
from .parse_item import parse_item

__all__ = ["parse_item", "parse_webhook"]

_CHANNELS = {"page": Channel.MESSENGER, "instagram": Channel.INSTAGRAM}

_ARRAYS = (("messaging", False), ("messaging:", False), ("standby", True), ("changes", False))
"""Where an entry holds its items, and whether another app owns their thread. The colon is in the platform's own sample
of instant forms."""

_ARRAYS_ONLY = frozenset({"id", "time", "hop_context", *(name for name, _ in _ARRAYS)})
"""All that nearly every entry has. Calls and answers to a call request stand beside."""

_SURELY_SHALLOW = 200
"""So few brackets cannot be nested too deep to be written as JSON again, which ends at 254 levels."""


def parse_webhook(body: bytes | str | Mapping[str, Any]) -> list[Event]:
    """
    Read all events of a webhook, in the order they stand.

    An item that cannot be read becomes an `UnknownEvent` and costs its neighbours nothing; empty items give nothing.
    Pages of the Instagram Platform show webhooks within a list, and a comment's ``field`` and ``value`` as members of
    the entry; pages on calling have the answer to a call request there, and the calls under a name of their own. All
    are read: what an entry holds under an unknown name is a change of a field of this name. Subscriptions that leave
    values out name the ``changed_fields`` only; such a change has no value.

    Args:
        body: The request's body, or what a framework decoded from it.

    Raises:
        NotAWebhook: The body is not JSON, or not an object of a Page or Instagram account with entries. The message
            shows nothing of the body.
    """
    decoded = _decode(body)
    events: list[Event] = []
    for webhook in decoded if isinstance(decoded, list) and decoded else [decoded]:
        _read_webhook(webhook, events)
    return events


def _read_webhook(webhook: Any, events: list[Event]) -> None:
    if not isinstance(webhook, dict):
        msg = "the body is JSON but no object"
        raise NotAWebhook(msg)
    named = webhook.get("object")
    channel = _CHANNELS.get(named) if isinstance(named, str) else None
    entries = webhook.get("entry")
    if channel is None or not isinstance(entries, list):
        msg = "the body is not about a Page or an Instagram account" if channel is None else "the body has no entries"
        raise NotAWebhook(msg)
    for entry in entries:
        if isinstance(entry, dict):
            _read_entry(entry, channel, events)


def _read_entry(entry: dict[str, Any], channel: Channel, events: list[Event]) -> None:
    page_id, hops = identifier(entry.get("id")), entry.get("hop_context")
    for name, standby in _ARRAYS:
        if name not in entry:
            continue
        items = entry[name]
        for item in items if isinstance(items, list) else [items]:
            if item is None or item == {}:
                continue
            raw = item if isinstance(item, dict) else {"item": item}
            if hops is not None and name != "changes":
                raw = {"hop_context": hops, **raw}
            events.append(parse_item(raw, channel=channel, page_id=page_id, standby=standby))
    if not entry.keys() <= _ARRAYS_ONLY:
        events.extend(parse_item(raw, channel=channel, page_id=page_id) for raw in _unlisted(entry))


def _unlisted(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """
    What an entry tells beside its arrays of items: a change, an item, or members named after their webhook field.
    """
    told = {name: value for name, value in entry.items() if name not in _ARRAYS_ONLY}
    if "field" in told:
        yield told if "value" not in told else {"field": told["field"], "value": told["value"]}
    elif isinstance(told.get("sender"), dict) or isinstance(told.get("recipient"), dict):
        hops = entry.get("hop_context")
        yield told if hops is None else {"hop_context": hops, **told}
    else:
        for name, member in told.items():
            for value in member if isinstance(member, list) else [member]:
                if name == "changed_fields" and isinstance(value, str):
                    yield {"field": value}
                elif isinstance(value, dict) and value:
                    yield {"field": name, "value": value}


def _decode(body: bytes | str | Mapping[str, Any]) -> Any:
    """
    JSON values that can be written as JSON again, as an inbox must.
    """
    try:
        if isinstance(body, (bytes, str)):
            return _loads(body)
        return _plain_json(body)
    except (ValueError, TypeError, RecursionError):
        # The cause holds the body, which is personal: it must not end up in somebody's log of tracebacks.
        msg = "the body is not JSON, or nested too deep"
        raise NotAWebhook(msg) from None


def _loads(body: bytes | str) -> Any:
    try:
        webhook = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _loads_broken_text(body)
    # Each bracket that opens one level is closed by another, so a short body need not be counted.
    if len(body) > 2 * _SURELY_SHALLOW and _opened(body) > _SURELY_SHALLOW:
        orjson.dumps(webhook)
    return webhook


def _opened(body: bytes | str) -> int:
    if isinstance(body, bytes):
        return body.count(b"{") + body.count(b"[")
    return body.count("{") + body.count("[")


def _loads_broken_text(body: bytes | str) -> Any:
    """
    A title that was cut within an emoji holds half a surrogate pair, which only the lenient decoder reads.
    """
    return _mended(json.loads(body.decode() if isinstance(body, bytes) else body))


def _plain_json(body: Any) -> Any:
    try:
        return orjson.loads(orjson.dumps(body, default=_plain))
    except orjson.JSONEncodeError:
        return _mended(body)


def _mended(webhook: Any) -> Any:
    """
    What only the lenient encoder writes: halves of a surrogate pair become ``?``, numbers beyond 64 bits are rounded.
    """
    mended = orjson.loads(json.dumps(webhook, ensure_ascii=False, default=_plain).encode("utf-8", "replace"))
    orjson.dumps(mended)
    return mended


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError
