"""
One item of a webhook becomes one event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import parse_answers, parse_messages, parse_thread
from .events import ChangeEvent, Channel, Event, UnknownEvent
from .parse_fields import Frame, hop_context, identifier, members, moment, person, prior_message, referral

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
    """
    Paid messages are reported without a ``value``: its members stand beside the field.
    """
    if "value" in change:
        return change["value"]
    return {name: member for name, member in change.items() if name != "field"} or None


def _other_party(value: Mapping[str, Any], page_id: str | None) -> str | None:
    """
    The person of a call or of a paid message, who is whoever is not the Page.
    """
    parties = [person(value.get("sender")), identifier(value.get("from")), identifier(value.get("to"))]
    if value.get("call_direction") == "business_initiated":
        parties.reverse()
    parties += identifier(value.get("recipient_id")), person(value.get("recipient"))
    return next((party for party in parties if party is not None and party != page_id), None)


def _is_messaging(field: str) -> bool:
    return field in _MESSAGING_FIELDS or field.startswith("messaging_")
