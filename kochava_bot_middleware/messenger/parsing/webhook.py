"""One item of a webhook becomes one event."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from ...exceptions import NotAWebhook
from ..events import ChangeEvent, Channel, Event, UnknownEvent
from . import answers as parse_answers
from . import messages as parse_messages
from . import threads as parse_thread
from .fields import Frame, hop_context, identifier, members, moment, person, prior_message, referral

_READERS: dict[str, Callable[[dict[str, Any], Frame], Event]] = {
    "postback": parse_thread.postback,
    "delivery": parse_messages.delivery,
    "read": parse_messages.read,
    "reaction": parse_messages.reaction,
    "message_edit": parse_messages.message_edit,
    "optin": parse_thread.optin,
    "account_linking": parse_thread.account_linking,
    "policy_enforcement": parse_thread.policy_enforcement,
    "policy-enforcement": parse_thread.policy_enforcement,
    "app_roles": parse_thread.app_roles,
    "pass_thread_control": parse_thread.pass_thread_control,
    "take_thread_control": parse_thread.take_thread_control,
    "request_thread_control": parse_thread.request_thread_control,
    "game_play": parse_answers.game_play,
    "response_feedback": parse_answers.response_feedback,
    "messaging_feedback": parse_answers.messaging_feedback,
    "messaging_customer_information": parse_answers.customer_information,
    "order": parse_answers.order,
    "template": parse_answers.template,
    "form": parse_answers.form,
    "payment": parse_answers.payment,
    "checkout_update": parse_answers.checkout_update,
    "pre_checkout": parse_answers.pre_checkout,
    "branded_camera": parse_answers.branded_camera,
}
"""By the key that tells the kind, in the order they are looked for."""

_MESSAGING_FIELDS = frozenset(
    {
        "messages",
        "message_deliveries",
        "message_echoes",
        "message_edit",
        "message_edits",
        "message_reactions",
        "message_reads",
        "response_feedback",
        "send_cart",
        "standby",
    }
)
_OF_A_CONVERSATION = ("call", "marketing_message")
"""How fields begin whose changes are about one person, though their values are no items of messaging."""

_NO_PAGE = (None, "0")
"""Test events of the developer dashboard have ``"0"`` where the Page's id belongs."""


def parse_item(
    item: Mapping[str, Any], *, channel: Channel, page_id: str | None, standby: bool = False, attempt: int = 1
) -> Event:
    """
    Read one item of ``messaging[]``, ``standby[]`` or ``changes[]`` (told by its ``field``), as `Event.raw` holds it.

    The fields of an event that came from a webhook are enough to make it again, so only the raw item need be stored.
    Never raises on what a JSON decoder gives.

    Args:
        item: The item.
        channel: Messenger or Instagram.
        page_id: The Page or Instagram account it came for; if ``None`` or ``"0"``, what the item says counts.
        standby: Whether it stood under ``standby[]``.
        attempt: How often handling has begun, this time included.
    """
    if "field" in item:
        return _change(item, channel=channel, page_id=page_id, standby=standby, attempt=attempt)
    frame: Frame = {
        "channel": channel,
        "page_id": page_id,
        "user_id": None,
        "timestamp": None,
        "standby": standby,
        "raw": item,
        "attempt": attempt,
        "referral": None,
        "prior_message": None,
        "hop_context": (),
    }
    return _happening(item, frame)


def _happening(item: Mapping[str, Any], frame: Frame) -> Event:
    message = item.get("message")
    frame["user_id"], frame["page_id"], outwards = _parties(item, frame["page_id"])
    frame["timestamp"] = moment(item.get("timestamp"))
    if "referral" in item:
        frame["referral"] = referral(item["referral"])
    if "prior_message" in item:
        frame["prior_message"] = prior_message(item["prior_message"])
    if "hop_context" in item:
        frame["hop_context"] = hop_context(item["hop_context"])
    if isinstance(message, dict):
        is_echo = outwards or message.get("is_echo") is True
        return (parse_messages.echo if is_echo else parse_messages.message)(message, frame)
    for key, reader in _READERS.items():
        if key in item and isinstance(value := item[key], dict):
            return reader(value, frame)
    if isinstance(answer := item.get("message_request"), str):
        return parse_thread.message_request(answer, frame)
    if frame["referral"] is not None:
        return parse_thread.referral(item, frame)
    return UnknownEvent(**frame)


def _parties(item: Mapping[str, Any], page_id: str | None) -> tuple[str | None, str | None, bool]:
    """
    The person, the Page, and whether the item went from the Page to the person.

    A Page that is known tells the two apart, else the mark of an echo does. When both have one id, as in made-up
    data, it stands for both.
    """
    sender, recipient = person(item.get("sender")), person(item.get("recipient"))
    if sender != recipient and page_id in (sender, recipient) and page_id not in _NO_PAGE:
        outwards = page_id == sender
    else:
        outwards = members(item.get("message")).get("is_echo") is True
    user_id, business_id = (recipient, sender) if outwards else (sender, recipient)
    return user_id, business_id if page_id in _NO_PAGE else page_id, outwards


def _change(change: Mapping[str, Any], *, channel: Channel, page_id: str | None, standby: bool, attempt: int) -> Event:
    field, value = identifier(change["field"]), _value(change)
    if page_id in _NO_PAGE:
        page_id = identifier(members(value).get("page_id")) or page_id
    frame: Frame = {
        "channel": channel,
        "page_id": page_id,
        "user_id": None,
        "timestamp": None,
        "standby": standby or field == "standby",
        "raw": change,
        "attempt": attempt,
        "referral": None,
        "prior_message": None,
        "hop_context": (),
    }
    if field is not None and isinstance(value, dict) and _is_messaging(field):
        event = _happening(value, frame)
        if type(event) is not UnknownEvent or "sender" in value or "recipient" in value:
            return event
    if page_id in _NO_PAGE:
        frame["page_id"] = None
    frame["timestamp"] = moment(members(value).get("created_time")) or moment(members(value).get("timestamp"))
    if field == "inbox_labels" and isinstance(value, dict):
        return parse_thread.inbox_labels(value, frame)
    if field is not None and field.startswith(_OF_A_CONVERSATION):
        frame["user_id"] = _other_party(members(value), page_id)
    return ChangeEvent(**frame, field=field, value=value)


def _value(change: Mapping[str, Any]) -> Any:
    """Paid messages are reported without a ``value``: its members stand beside the field."""
    if "value" in change:
        return change["value"]
    return {name: member for name, member in change.items() if name != "field"} or None


def _other_party(value: Mapping[str, Any], page_id: str | None) -> str | None:
    """The person of a call or of a paid message, who is whoever is not the Page."""
    parties = [person(value.get("sender")), identifier(value.get("from")), identifier(value.get("to"))]
    if value.get("call_direction") == "business_initiated":
        parties.reverse()
    parties += identifier(value.get("recipient_id")), person(value.get("recipient"))
    return next((party for party in parties if party is not None and party != page_id), None)


def _is_messaging(field: str) -> bool:
    return field in _MESSAGING_FIELDS or field.startswith("messaging_")


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
    """What an entry tells beside its arrays of items: a change, an item, or members named after their webhook field."""
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
    """JSON values that can be written as JSON again, as an inbox must."""
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
    """A title that was cut within an emoji holds half a surrogate pair, which only the lenient decoder reads."""
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
