"""From the request of a webhook to typed events: its signature, the entries of its body, one event for each item."""

from __future__ import annotations

import functools
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from ...chain import checked
from ...exceptions import NotAWebhook, RegistrationError, SignatureError
from ..events import ChangeEvent, Channel, Event, MessageRequestEvent, UnknownEvent
from . import messages
from .json_values import (
    commented_ad,
    decode_json,
    flag,
    hop_context,
    identifier,
    identifiers,
    members,
    moment,
    person,
    prior_message,
    reference,
    referral,
)
from .readers import READERS, CommonFields, inbox_labels, lead_referral

SIGNATURE_HEADER = "X-Hub-Signature-256"
"""The header with the signature. The older header with a SHA-1 is never accepted."""


class Headers(Protocol):
    """The headers of a request. Not every mapping of headers is a `Mapping`, such as that of Flask."""

    def get(self, name: str, /) -> str | None:
        """The value of a header."""

    def items(self) -> Iterable[tuple[str, str]]:
        """All of them."""


_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")

_OBJECT = re.compile(r"[a-z_]{1,40}")
"""What an object is called; anything else may be private, such as somebody's name in the wrong place."""

_CHANNELS = {"page": Channel.MESSENGER, "instagram": Channel.INSTAGRAM}

_ARRAYS = (("messaging", False), ("messaging:", False), ("standby", True), ("changes", False))
"""
Where an entry has its items, and whether another app controls their thread. The colon is in the platform's own sample
of instant forms.
"""

_USUAL_MEMBERS = frozenset({"id", "time", "hop_context", *(name for name, _ in _ARRAYS)})
"""All members of nearly every entry. Calls and answers to a call request are in others."""

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
_COMMENT_FIELDS = ("comments", "live_comments")

_PAID_MESSAGE_FIELDS = ("marketing_message_deliveries", "marketing_message_reads", "marketing_message_clicks")

_CONVERSATION_FIELDS = ("call", "marketing_message")
"""Prefixes of fields whose changes concern one person, although their values are not messaging items."""

_MOST_HOPS = 20
"""Hops of an entry that its items carry; a thread passes a few apps."""

_NO_PAGE = (None, "0")
"""Test events of the developer dashboard have ``"0"`` in place of the Page's id."""


def signature_of(headers: Headers) -> str | None:
    """
    The value of `SIGNATURE_HEADER`. Header names have no case, but not every host's mapping knows that.

    Raises:
        RegistrationError: *headers* is no mapping, or the value is no text.
    """
    if not hasattr(headers, "get"):
        msg = f"wanted Mapping, got {type(headers).__name__}: pass the headers of the request by name"
        raise RegistrationError(msg)
    value = headers.get(SIGNATURE_HEADER)
    if isinstance(value, str):
        return value
    if value is None:
        value = next((text for key, text in headers.items() if str(key).lower() == SIGNATURE_HEADER.lower()), None)
    return value if value is None else checked(value, str, "decode the names and values of the headers")


def verify_signature(raw_body: bytes, header: str | None, app_secrets: Sequence[str]) -> None:
    """
    Check that *raw_body* was signed with one of *app_secrets*.

    The bytes must be those of the request: decoding and encoding them changes the escapes that were signed. The
    comparison takes constant time.

    Args:
        raw_body: The request's body as received.
        header: Value of `SIGNATURE_HEADER`; ``None`` when the request has none.
        app_secrets: Secrets of the apps that share this address, old ones included while they are being replaced.

    Raises:
        SignatureError: The signature is missing, malformed or wrong, or there is no secret to check with. The message
            says which, and contains neither signature nor body.
    """
    secrets = [app_secrets] if isinstance(app_secrets, str) else app_secrets
    if not any(secrets):
        msg = "no app secret is set, so no webhook can be trusted"
        raise SignatureError(msg)
    if header is None:
        msg = f"the request has no {SIGNATURE_HEADER} header"
        raise SignatureError(msg)
    form = _SIGNATURE.fullmatch(header)
    if form is None:
        msg = f"the {SIGNATURE_HEADER} header is not 'sha256=' and 64 lower-case hexadecimal digits"
        raise SignatureError(msg)
    for secret in secrets:
        if secret:
            # Unlike `hmac.digest`, this does not release the GIL, which a busy event loop would have to wait for.
            made = _keyed(secret).copy()
            made.update(raw_body)
            if hmac.compare_digest(made.hexdigest(), form[1]):
                return
    msg = "the signature was made with another app secret, or for another body"
    raise SignatureError(msg)


@functools.lru_cache(maxsize=64)
def _keyed(app_secret: str) -> hmac.HMAC:
    """The part of a signature that depends only on the secret, a third of the time of making one."""
    return hmac.new(app_secret.encode(), digestmod="sha256")


def signature_by(app_secret: str, raw_body: bytes, digest: str = "sha256") -> str:
    """The value that a header with a signature has: `SIGNATURE_HEADER`, or the older one with ``sha1``."""
    return f"{digest}={hmac.new(app_secret.encode(), raw_body, digest).hexdigest()}"


def parse_webhook(body: bytes | str | Mapping[str, Any]) -> list[Event]:
    """
    Read all events of a webhook, in their order.

    An item that cannot be read becomes an `UnknownEvent` and does not affect the others; empty items are skipped.

    The documentation of the Instagram Platform shows webhooks in a list, and the ``field`` and ``value`` of a comment
    as members of the entry. The documentation of calling has the answer to a call request there, and calls in a member
    of their own. All are read: an unknown member of an entry is a change of a field with that name. Subscriptions
    without values send only the names of the ``changed_fields``; such a change has no value.

    Webhooks of another object, such as ``permissions`` or ``whatsapp_business_account``, have no events: an app may be
    subscribed to several at one address, and Facebook repeats what is refused until it ends the subscription. Entries
    that are no objects have none either.

    Args:
        body: The request's body, or what a framework decoded from it.

    Raises:
        NotAWebhook: The body is not JSON, does not name its object, or has no entries of its Page or Instagram account.
            The message contains nothing of the body.
    """
    return list(iter_webhook(body))


def iter_webhook(
    body: bytes | str | Mapping[str, Any], *, on_skipped: Callable[[str], None] = lambda _part: None
) -> Iterator[Event]:
    """
    As `parse_webhook`, which also checks all of the body at once; but each event is made when it is asked for.

    Args:
        on_skipped: Called with the kind of each part of the body that has no event. Nothing of the part is in it.
    """
    decoded = decode_json(body)
    found: list[tuple[Channel, list[Any]]] = []
    for webhook in decoded if isinstance(decoded, list) and decoded else [decoded]:
        if not isinstance(webhook, dict):
            msg = "the body is JSON but no object"
            raise NotAWebhook(msg)
        named, entries = webhook.get("object"), webhook.get("entry")
        if not isinstance(named, str) or not named:
            msg = "the body is not about a Page or an Instagram account"
            raise NotAWebhook(msg)
        channel = _CHANNELS.get(named)
        if channel is None:
            on_skipped(f"object {named}" if _OBJECT.fullmatch(named) else "object")
            continue
        if not isinstance(entries, list):
            msg = "the body has no entries"
            raise NotAWebhook(msg)
        found.append((channel, entries))
    return _events(found, on_skipped)


def _events(found: Iterable[tuple[Channel, list[Any]]], on_skipped: Callable[[str], None]) -> Iterator[Event]:
    for channel, entries in found:
        for entry in entries:
            if isinstance(entry, dict):
                page_id = identifier(entry.get("id"))
                for item, standby in _items(entry, on_skipped):
                    yield parse_item(item, channel=channel, page_id=page_id, standby=standby)
            else:
                on_skipped("entry that is no object")


def _items(entry: dict[str, Any], on_skipped: Callable[[str], None]) -> list[tuple[dict[str, Any], bool]]:
    """The items of an entry, and whether another app controls their thread."""
    found: list[tuple[dict[str, Any], bool]] = []
    hops = entry.get("hop_context")
    if isinstance(hops, list):
        # Each item carries them, so many items and many hops would be too many together.
        hops = hops[:_MOST_HOPS]
    for name, standby in _ARRAYS:
        if name not in entry:
            continue
        items = entry[name]
        for item in items if isinstance(items, list) else [items]:
            if item is None or item == {}:
                on_skipped("empty item")
                continue
            raw = item if isinstance(item, dict) else {"item": item}
            if hops is not None and name != "changes":
                raw = {"hop_context": hops, **raw}
            found.append((raw, standby))
    if not _USUAL_MEMBERS.issuperset(entry):
        found += [(raw, False) for raw in _other_items(entry, on_skipped)]
    return found


def _other_items(entry: dict[str, Any], on_skipped: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Items outside of the arrays: one change, one messaging item, or members named after their webhook field."""
    others = {name: value for name, value in entry.items() if name not in _USUAL_MEMBERS}
    if "field" in others:
        yield others if "value" not in others else {"field": others["field"], "value": others["value"]}
    elif isinstance(others.get("sender"), dict) or isinstance(others.get("recipient"), dict):
        hops = entry.get("hop_context")
        yield others if hops is None else {"hop_context": hops, **others}
    else:
        for name, member in others.items():
            for value in member if isinstance(member, list) else [member]:
                if name == "changed_fields" and isinstance(value, str):
                    yield {"field": value}
                elif isinstance(value, dict) and value:
                    yield {"field": name, "value": value}
                else:
                    on_skipped("member that is no object")


def parse_item(
    item: Mapping[str, Any], *, channel: Channel, page_id: str | None, standby: bool = False, attempt: int = 1
) -> Event:
    """
    Read one item of ``messaging[]``, ``standby[]`` or ``changes[]`` (which has a ``field``), as in `Event.raw`.

    The fields of an event are enough to create it again, so only the raw item needs to be stored. Never raises for
    values of a JSON decoder. If *page_id* is ``None`` or ``"0"``, that of the item is used.
    """
    common: CommonFields = {
        "channel": channel,
        "page_id": page_id,
        "user_id": None,
        "timestamp": None,
        "from_page": False,
        "standby": standby,
        "raw": item,
        "attempt": attempt,
        "referral": None,
        "user_ref": None,
        "prior_message": None,
        "hop_context": (),
    }
    return _change(item, common) if "field" in item else _messaging_event(item, common)


def webhook_of(event: Event) -> dict[str, Any]:
    """A webhook with this event alone: parsed, it gives the event again."""
    name = "changes" if "field" in event.raw else "messaging"
    if event.standby and event.raw.get("field") != "standby":
        name = "standby"
    entry: dict[str, Any] = {} if event.page_id is None else {"id": event.page_id}
    entry["time"] = 0 if event.timestamp is None else int(event.timestamp.timestamp() * 1000)
    named = next(object_name for object_name, channel in _CHANNELS.items() if channel is event.channel)
    return {"object": named, "entry": [{**entry, name: [event.raw]}]}


def _messaging_event(item: Mapping[str, Any], common: CommonFields) -> Event:
    message = item.get("message")
    common["user_id"], common["page_id"], common["from_page"] = _parties(item, common["page_id"])
    common["user_ref"] = _reference(item)
    common["timestamp"] = moment(item.get("timestamp"))
    if "referral" in item:
        common["referral"] = referral(item["referral"])
    if "prior_message" in item:
        common["prior_message"] = prior_message(item["prior_message"])
    if "hop_context" in item:
        common["hop_context"] = hop_context(item["hop_context"])
    if isinstance(message, dict):
        if common["from_page"] or ("is_echo" in message and flag(message["is_echo"])):
            common["from_page"] = True
            return messages.echo(message, common)
        return messages.message(message, common)
    for key, reader in READERS.items():
        if key in item and isinstance(value := item[key], dict):
            return reader(value, common)
    if isinstance(answer := item.get("message_request"), str):
        return MessageRequestEvent(**common, answer=answer)
    if common["referral"] is not None:
        return lead_referral(item, common)
    return UnknownEvent(**common)


def _parties(item: Mapping[str, Any], page_id: str | None) -> tuple[str | None, str | None, bool]:
    """
    The person, the Page, and whether the Page sent the item to the person.

    A known Page distinguishes the two, otherwise the mark of an echo does. When both have the same id, as in test
    data, it is used for both.
    """
    sender, recipient = person(item.get("sender")), person(item.get("recipient"))
    if sender != recipient and page_id in (sender, recipient) and page_id not in _NO_PAGE:
        from_page = page_id == sender
    else:
        from_page = flag(members(item.get("message")).get("is_echo"))
    user_id, business_id = (recipient, sender) if from_page else (sender, recipient)
    return user_id, business_id if page_id in _NO_PAGE else page_id, from_page


def _reference(item: Mapping[str, Any]) -> str | None:
    return reference(item.get("sender")) or reference(item.get("recipient"))


def _change(change: Mapping[str, Any], common: CommonFields) -> Event:
    field = identifier(change["field"])
    # Paid messages are reported without a ``value``: its members are beside the field.
    value = change.get("value", {name: member for name, member in change.items() if name != "field"} or None)
    page_id = common["page_id"]
    if page_id in _NO_PAGE:
        common["page_id"] = page_id = identifier(members(value).get("page_id")) or page_id
    common["standby"] = common["standby"] or field == "standby"
    if field is not None and isinstance(value, dict) and (field in _MESSAGING_FIELDS or field.startswith("messaging_")):
        event = _messaging_event(value, common)
        if type(event) is not UnknownEvent or "sender" in value or "recipient" in value:
            return event
    if page_id in _NO_PAGE:
        common["page_id"] = None
    common["timestamp"] = moment(members(value).get("created_time")) or moment(members(value).get("timestamp"))
    comment_id = identifier(members(value).get("id" if field in _COMMENT_FIELDS else "comment_id"))
    if comment_id is not None:
        common["referral"] = commented_ad(members(value).get("media"))
    if field == "inbox_labels" and isinstance(value, dict):
        return inbox_labels(value, common)
    if field is not None and field.startswith(_CONVERSATION_FIELDS):
        common["user_ref"] = _reference(members(value))
        common["user_id"] = _other_party(members(value), page_id) or common["user_ref"]
    paid = members(value) if field in _PAID_MESSAGE_FIELDS else {}
    paid_ids = identifiers([paid.get("marketing_message_tracking_id"), paid.get("mid")])
    return ChangeEvent(**common, field=field, value=value, comment_id=comment_id, paid_message_ids=paid_ids)


def _other_party(value: Mapping[str, Any], page_id: str | None) -> str | None:
    """The id of the person of a call or of a paid message: that of the party that is not the Page."""
    sender, recipient = (identifier(members(value.get(name)).get("id")) for name in ("sender", "recipient"))
    parties = [sender, identifier(value.get("from")), identifier(value.get("to"))]
    if value.get("call_direction") == "business_initiated":
        parties.reverse()
    parties += identifier(value.get("recipient_id")), recipient
    return next((party for party in parties if party is not None and party != page_id), None)
