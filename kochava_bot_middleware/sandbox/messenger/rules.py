"""The rules of the Send API; each check raises `GraphRefusal` for what Facebook would refuse."""

from __future__ import annotations

from typing import Any

from .buttons import MAXIMUM_PAYLOAD, MAXIMUM_TITLE
from .graph import (
    ATTACHMENT_NOT_OWNED,
    need_list,
    need_one_of,
    need_text,
    need_web_url,
    refuse_other_keys,
    refuse_unless,
)
from .page import SandboxPage
from .templates import check_template

MAXIMUM_TEXT = 2000
MAXIMUM_INSTAGRAM_TEXT_BYTES = 1000
MAXIMUM_QUICK_REPLIES = 13
MAXIMUM_METADATA = 1000

LIVE_TAGS = frozenset({"HUMAN_AGENT", "CUSTOMER_FEEDBACK"})
"""The message tags that still work; all others are error 100 since 2026-04-27."""

RECIPIENT_KEYS = (
    "id",
    "user_ref",
    "comment_id",
    "post_id",
    "notification_messages_token",
    "notification_message_token",
    "one_time_notif_token",
)
"""The ways to name a recipient, of which a body has exactly one."""

_MESSAGING_TYPES = frozenset({"RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY"})
_SENDER_ACTIONS = frozenset({"typing_on", "typing_off", "mark_seen", "react", "unreact"})
_NOTIFICATION_TYPES = frozenset({"REGULAR", "SILENT_PUSH", "NO_PUSH"})
_MESSAGE_KEYS = frozenset(
    {"text", "attachment", "attachments", "quick_replies", "metadata", "sticker_id", "template", "is_reusable"}
)
_CONTENT_KEYS = ("text", "attachment", "attachments", "sticker_id", "template")
_MEDIA_TYPES = frozenset({"image", "audio", "video", "file"})
_QUICK_REPLY_KEYS = frozenset({"content_type", "title", "payload", "image_url"})


def check_send(body: dict[str, Any], page: SandboxPage, *, has_file: bool = False) -> None:
    """Check a decoded Send API body; whether the recipient exists is not checked."""
    _check_recipient(body.get("recipient"))
    _check_envelope(body)
    action, message = body.get("sender_action"), body.get("message")
    if action is not None:
        refuse_unless(message is None, "Must send sender_action or message, but not both.")
        _check_action(action, body)
        return
    refuse_unless(message is not None, "param message must be non-empty.")
    _check_message(message, page, has_file=has_file)


def _check_recipient(recipient: Any) -> None:
    refuse_unless(recipient is not None, "The parameter recipient is required")
    refuse_unless(isinstance(recipient, dict) and recipient, "param recipient must be non-empty.")
    named = [name for name in RECIPIENT_KEYS if recipient.get(name)]
    refuse_unless(len(named) == 1, "param recipient must name exactly one person.")
    refuse_unless(isinstance(recipient[named[0]], (str, int)), f"param recipient[{named[0]}] must be a string.")


def _check_envelope(body: dict[str, Any]) -> None:
    kind, tag = body.get("messaging_type"), body.get("tag")
    if kind is not None:
        need_one_of("messaging_type", kind, _MESSAGING_TYPES)
        refuse_unless(kind != "MESSAGE_TAG" or tag, "param tag is required for messaging_type MESSAGE_TAG.")
    if tag is not None:
        need_one_of("tag", tag, LIVE_TAGS)
    notification = body.get("notification_type")
    if notification is not None:
        need_one_of("notification_type", notification, _NOTIFICATION_TYPES)
    reply_to = body.get("reply_to")
    if reply_to is not None:
        refuse_unless(isinstance(reply_to, dict) and reply_to.get("mid"), "param reply_to[mid] must be non-empty.")


def _check_action(action: Any, body: dict[str, Any]) -> None:
    need_one_of("sender_action", action, _SENDER_ACTIONS)
    if action in ("react", "unreact"):
        payload = body.get("payload")
        refuse_unless(isinstance(payload, dict) and payload.get("message_id"), "param payload[message_id] is required.")


def _check_message(message: Any, page: SandboxPage, *, has_file: bool) -> None:
    """Check the ``message`` of a send or an upload."""
    refuse_other_keys("message", message, _MESSAGE_KEYS)
    contents = [name for name in _CONTENT_KEYS if message.get(name) is not None]
    refuse_unless(len(contents) == 1, "param message must have either text or attachment.")
    if "text" in contents:
        _check_text(message["text"], page)
    if "attachment" in contents:
        check_attachment(message["attachment"], page, has_file=has_file)
    if "attachments" in contents:
        refuse_unless(page.instagram, 'Invalid keys "attachments" were found in param "message".')
        need_list("message[attachments]", message["attachments"], 10)
        for attachment in message["attachments"]:
            check_attachment(attachment, page, has_file=has_file)
    if message.get("quick_replies") is not None:
        _check_quick_replies(message["quick_replies"], page)
    if message.get("metadata") is not None:
        need_text("message[metadata]", message["metadata"], MAXIMUM_METADATA)


def _check_text(text: Any, page: SandboxPage) -> None:
    need_text("message[text]", text, MAXIMUM_TEXT)
    if page.instagram:
        size = len(text.encode("utf-8", "surrogatepass"))
        refuse_unless(
            size <= MAXIMUM_INSTAGRAM_TEXT_BYTES,
            f"Length of param message[text] must be less than or equal to {MAXIMUM_INSTAGRAM_TEXT_BYTES} bytes",
        )


def check_attachment(attachment: Any, page: SandboxPage, *, has_file: bool = False) -> None:
    """Check an attachment: a template, or media from an address, an upload or the file of the call."""
    refuse_unless(isinstance(attachment, dict), "param message[attachment] must be an object.")
    kind, payload = attachment.get("type"), attachment.get("payload")
    if kind == "template":
        check_template(payload, page)
        return
    if page.instagram and kind in ("MEDIA_SHARE", "like_heart"):
        return
    need_one_of("message[attachment][type]", kind, _MEDIA_TYPES)
    if has_file:
        return
    refuse_unless(isinstance(payload, dict), "param message[attachment][payload] must be an object.")
    if payload.get("attachment_id") is not None:
        owned = str(payload["attachment_id"]) in page.attachment_ids
        refuse_unless(owned, "Attachment is not owned by this page", subcode=ATTACHMENT_NOT_OWNED)
        return
    need_web_url("message[attachment][payload][url]", payload.get("url"))


def _check_quick_replies(replies: Any, page: SandboxPage) -> None:
    need_list("message[quick_replies]", replies, MAXIMUM_QUICK_REPLIES)
    for index, reply in enumerate(replies):
        param = f"message[quick_replies][{index}]"
        refuse_other_keys(param, reply, _QUICK_REPLY_KEYS)
        kind = reply.get("content_type")
        known = ("text",) if page.instagram else ("text", "user_phone_number", "user_email")
        refuse_unless(kind in known, f"param {param}[content_type] is not supported.")
        if kind == "text":
            need_text(f"{param}[payload]", reply.get("payload"), MAXIMUM_PAYLOAD)
            if not reply.get("image_url"):
                need_text(f"{param}[title]", reply.get("title"), MAXIMUM_TITLE)
            elif reply.get("title"):
                need_text(f"{param}[title]", reply["title"], MAXIMUM_TITLE)
