"""Reads the key ``message``: what a person sent, or the echo of what the Page sent."""

from __future__ import annotations

import math
from typing import Any

from ..events import (
    Attachment,
    Coordinates,
    EchoEvent,
    Event,
    MessageDeletedEvent,
    MessageEvent,
    MessageUnsupportedEvent,
    QuickReplyEvent,
    ReplyTo,
    Story,
)
from .json_values import flag, identifier, identifiers, members, objects, referral, text
from .readers import CommonFields

_MAX_DEGREES = 360

_PLAIN = frozenset({"mid", "text", "seq"})
"""The members of a plain text message, for which no others need to be read."""


def message(value: dict[str, Any], common: CommonFields) -> Event:
    """A message from a person."""
    mid = identifier(value.get("mid"))
    if _PLAIN.issuperset(value):
        return MessageEvent(**common, mid=mid, text=text(value.get("text")))
    if "referral" in value:
        common["referral"] = referral(value["referral"]) or common["referral"]
    if flag(value.get("is_deleted")):
        return MessageDeletedEvent(**common, mid=mid)
    if flag(value.get("is_unsupported")):
        return MessageUnsupportedEvent(**common, mid=mid)
    tap, nlp = value.get("quick_reply"), value.get("nlp")
    return (QuickReplyEvent if isinstance(tap, dict) else MessageEvent)(
        **common,
        **_content(value),
        quick_reply_payload=text(members(tap).get("payload")),
        commands=_each(value.get("commands"), "name"),
        nlp=nlp if isinstance(nlp, dict) else None,
        tags=_each(value.get("tags"), "source"),
    )


def echo(value: dict[str, Any], common: CommonFields) -> Event:
    """A message from the Page, also when it is deleted or unsupported."""
    if "referral" in value:
        common["referral"] = referral(value["referral"]) or common["referral"]
    return EchoEvent(
        **common,
        **_content(value),
        app_id=identifier(value.get("app_id")),
        metadata=text(value.get("metadata")),
        is_deleted=flag(value.get("is_deleted")),
        is_unsupported=flag(value.get("is_unsupported")),
    )


def _content(value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `ContentEvent`."""
    attachments = _attachments(value.get("attachments"))
    stickers = (attachment.sticker_id for attachment in attachments if attachment.sticker_id)
    return {
        "mid": identifier(value.get("mid")),
        "text": text(value.get("text")),
        "attachments": attachments,
        "reply_to": _reply_to(value.get("reply_to")),
        "sticker_id": identifier(value.get("sticker_id")) or next(stickers, None),
    }


def _each(value: Any, key: str) -> tuple[str, ...]:
    """The member *key* of each object; a single object is not always in a list."""
    value = [value] if isinstance(value, dict) else value
    return identifiers([item.get(key) for item in objects(value)])


def _reply_to(value: Any) -> ReplyTo | None:
    if not isinstance(value, dict):
        return None
    story = value.get("story")
    return ReplyTo(
        mid=identifier(value.get("mid")),
        is_self_reply=flag(value.get("is_self_reply")),
        story=Story(id=identifier(story.get("id")), url=identifier(story.get("url")))
        if isinstance(story, dict)
        else None,
    )


def _attachments(value: Any) -> tuple[Attachment, ...]:
    """
    Attachments without the old form of those that the platform sends in two.

    A sticker comes as an image too since 2026, with the same id or address. An Instagram post comes as a share too
    since 2025; a message shares one post, and the address of each of its forms has a signature of its own.
    """
    found = [_attachment(item) for item in objects(value) if item]
    # Looked up in sets: compared in pairs, the attachments of one message could stop the event loop.
    types = {item.type for item in found}
    sticker_ids = {item.sticker_id for item in found if item.type == "sticker" and item.sticker_id is not None}
    sticker_urls = {item.url for item in found if item.type == "sticker" and item.url is not None}
    return tuple(
        item
        for item in found
        if not (item.type == "share" and "ig_post" in types)
        and not (item.type == "image" and (item.sticker_id in sticker_ids or item.url in sticker_urls))
    )


def _attachment(value: dict[str, Any]) -> Attachment:
    payload = value.get("payload")
    inside = members(payload)
    return Attachment(
        type=identifier(value.get("type")),
        url=identifier(inside.get("url")) or identifier(value.get("url")) or _other_url(value, payload),
        title=text(inside.get("title")) or text(value.get("title")),
        sticker_id=identifier(inside.get("sticker_id")),
        coordinates=_coordinates(inside.get("coordinates")),
        payload=payload,
    )


def _other_url(value: dict[str, Any], payload: Any) -> str | None:
    """The name of the member differs for a shared Instagram story; in old samples the payload itself is the address."""
    if isinstance(payload, str) and payload.startswith(("https://", "http://")):
        return payload
    return identifier(members(payload).get("story_media_url")) or identifier(value.get("URL"))


def _coordinates(value: Any) -> Coordinates | None:
    lat, long = _degrees(members(value).get("lat")), _degrees(members(value).get("long"))
    return None if lat is None or long is None else Coordinates(lat=lat, long=long)


def _degrees(value: Any) -> float | None:
    try:
        degrees = math.nan if isinstance(value, bool) else float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return degrees if -_MAX_DEGREES <= degrees <= _MAX_DEGREES else None
