"""Readers of the keys around messages: ``message``, ``message_edit``, ``delivery``, ``read``, ``reaction``."""

from __future__ import annotations

import math
from typing import Any

from ..events import (
    Attachment,
    Coordinates,
    DeliveryEvent,
    EchoEvent,
    Event,
    MessageDeletedEvent,
    MessageEditEvent,
    MessageEvent,
    MessageUnsupportedEvent,
    QuickReplyEvent,
    ReactionEvent,
    ReadEvent,
    ReplyTo,
    Story,
)
from .fields import Frame, identifier, identifiers, integer, members, moment, objects, referral, text

_SUPERSEDED = {"image": "sticker", "share": "ig_post"}
"""Old types that the platform went on sending beside the new one: stickers in 2026, Instagram posts from 2025 on."""

_FULL_CIRCLE = 360

_TYPED = {"mid", "text", "seq"}
"""All that most messages have; the reader need not look for more."""


def message(value: dict[str, Any], frame: Frame) -> Event:
    """Whatever a person sent under ``message``."""
    if "referral" in value:
        frame["referral"] = referral(value["referral"]) or frame["referral"]
    mid = identifier(value.get("mid"))
    if value.get("is_deleted") is True:
        return MessageDeletedEvent(**frame, mid=mid)
    if value.get("is_unsupported") is True:
        return MessageUnsupportedEvent(**frame, mid=mid)
    if value.keys() <= _TYPED:
        return MessageEvent(**frame, mid=mid, text=text(value.get("text")))
    return _rich_message(value, frame)


def _rich_message(value: dict[str, Any], frame: Frame) -> MessageEvent:
    tap = value.get("quick_reply")
    tapped = isinstance(tap, dict)
    attachments = _attachments(value.get("attachments"))
    nlp = value.get("nlp")
    return (QuickReplyEvent if tapped else MessageEvent)(
        **frame,
        mid=identifier(value.get("mid")),
        text=text(value.get("text")),
        attachments=attachments,
        reply_to=_reply_to(value.get("reply_to")),
        sticker_id=_sticker_id(value, attachments),
        quick_reply_payload=text(members(tap).get("payload")),
        commands=_each(value.get("commands"), "name"),
        nlp=nlp if isinstance(nlp, dict) else None,
        tags=_each(value.get("tags"), "source"),
    )


def echo(value: dict[str, Any], frame: Frame) -> EchoEvent:
    """Whatever the Page sent under ``message``; an echo is one first, whatever else it is."""
    if "referral" in value:
        frame["referral"] = referral(value["referral"]) or frame["referral"]
    attachments = _attachments(value.get("attachments"))
    return EchoEvent(
        **frame,
        mid=identifier(value.get("mid")),
        text=text(value.get("text")),
        attachments=attachments,
        reply_to=_reply_to(value.get("reply_to")),
        sticker_id=_sticker_id(value, attachments),
        app_id=identifier(value.get("app_id")),
        metadata=text(value.get("metadata")),
        is_deleted=value.get("is_deleted") is True,
        is_unsupported=value.get("is_unsupported") is True,
    )


def _each(value: Any, key: str) -> tuple[str, ...]:
    """What *key* names in each of several objects; a lone one is not always in a list."""
    value = [value] if isinstance(value, dict) else value
    return identifiers([item.get(key) for item in objects(value)])


def _reply_to(value: Any) -> ReplyTo | None:
    if not isinstance(value, dict):
        return None
    return ReplyTo(
        mid=identifier(value.get("mid")),
        is_self_reply=value.get("is_self_reply") is True,
        story=_story(value.get("story")),
    )


def _story(value: Any) -> Story | None:
    if not isinstance(value, dict):
        return None
    return Story(id=identifier(value.get("id")), url=identifier(value.get("url")))


def _sticker_id(value: dict[str, Any], attachments: tuple[Attachment, ...]) -> str | None:
    return identifier(value.get("sticker_id")) or next(
        (attachment.sticker_id for attachment in attachments if attachment.sticker_id), None
    )


def _attachments(value: Any) -> tuple[Attachment, ...]:
    found = [_attachment(item) for item in objects(value) if item]
    if len(found) > 1:
        found = [item for item in found if not any(_supersedes(other, item) for other in found)]
    return tuple(found)


def _supersedes(new: Attachment, old: Attachment) -> bool:
    if old.type is None or new.type != _SUPERSEDED.get(old.type):
        return False
    if old.type == "share":
        # One message shares one post, and each form of it has an address signed for itself.
        return True
    same_sticker = new.sticker_id is not None and new.sticker_id == old.sticker_id
    return same_sticker or (new.url is not None and new.url == old.url)


def _attachment(value: dict[str, Any]) -> Attachment:
    payload = value.get("payload")
    inside = members(payload)
    return Attachment(
        type=identifier(value.get("type")),
        url=identifier(inside.get("url")) or identifier(value.get("url")) or _other_address(value, payload),
        title=text(inside.get("title")) or text(value.get("title")),
        sticker_id=identifier(inside.get("sticker_id")),
        coordinates=_coordinates(inside.get("coordinates")),
        payload=payload,
    )


def _other_address(value: dict[str, Any], payload: Any) -> str | None:
    """A shared Instagram story names it differently; old samples have it as the whole payload, or in capitals."""
    if isinstance(payload, str) and payload.startswith(("https://", "http://")):
        return payload
    return identifier(members(payload).get("story_media_url")) or identifier(value.get("URL"))


def _coordinates(value: Any) -> Coordinates | None:
    lat, long = _degrees(members(value).get("lat")), _degrees(members(value).get("long"))
    return None if lat is None or long is None else Coordinates(lat=lat, long=long)


def _degrees(value: Any) -> float | None:
    try:
        figure = math.nan if isinstance(value, bool) else float(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return figure if -_FULL_CIRCLE <= figure <= _FULL_CIRCLE else None


def message_edit(value: dict[str, Any], frame: Frame) -> Event:
    """``num_edit`` is a number by the platform's table and text in its sample."""
    return MessageEditEvent(
        **frame,
        mid=identifier(value.get("mid")),
        text=text(value.get("text")),
        num_edit=integer(value.get("num_edit")),
    )


def delivery(value: dict[str, Any], frame: Frame) -> Event:
    """``mids`` is often missing."""
    return DeliveryEvent(**frame, mids=identifiers(value.get("mids")), watermark=moment(value.get("watermark")))


def read(value: dict[str, Any], frame: Frame) -> Event:
    """Messenger gives a watermark, Instagram one message."""
    return ReadEvent(**frame, watermark=moment(value.get("watermark")), mid=identifier(value.get("mid")))


def reaction(value: dict[str, Any], frame: Frame) -> Event:
    """``reaction`` and ``emoji`` may be missing when it is taken back."""
    return ReactionEvent(
        **frame,
        mid=identifier(value.get("mid")),
        action=identifier(value.get("action")),
        reaction=identifier(value.get("reaction")),
        emoji=identifier(value.get("emoji")),
    )
