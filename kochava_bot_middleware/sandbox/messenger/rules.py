"""The rules of the Send API; each check raises `GraphRefusal` for what Facebook would refuse."""

from __future__ import annotations

from typing import Any

from .buttons import PAYLOAD, TITLE
from .fields import anything, filled, given, identifier, items, members, one_of, text, web_url
from .graph import ATTACHMENT_NOT_OWNED, refuse_unless
from .page import SandboxPage
from .templates import check_template

# messenger.md 3, `message` [SAPI]: fewer than 2000 and fewer than 1000 characters.
MAXIMUM_TEXT = 1999
MAXIMUM_METADATA = 999
# messenger.md 6, text [IGS].
MAXIMUM_INSTAGRAM_TEXT_BYTES = 1000

# messenger.md 3, `recipient` [SAPI, CPN].
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

_CONTENT_KEYS = ("text", "attachment", "attachments", "sticker_id", "template")


def _tag(param: str, value: Any, page: SandboxPage) -> None:
    # messenger.md 3, `tag` [SAPI, SND]: all others are error 100 since 2026-04-27. 6, tags [SAPI]: Instagram has one.
    one_of("HUMAN_AGENT", *(() if page.instagram else ("CUSTOMER_FEEDBACK",)))(param, value, page)


def _persona(param: str, value: Any, page: SandboxPage) -> None:
    # messenger.md 3, `persona_id`; 5, `personas` [PER].
    identifier(param, value, page)
    refuse_unless(str(value) in page.personas, f"param {param} must be the id of a persona of this Page.")


_ENVELOPE = {
    # messenger.md 3, `messaging_type`, `tag`, `notification_type` [SAPI, UTL].
    "messaging_type": given(one_of("RESPONSE", "UPDATE", "MESSAGE_TAG", "UTILITY")),
    "tag": given(_tag),
    "notification_type": given(one_of("REGULAR", "SILENT_PUSH", "NO_PUSH")),
    "persona_id": given(_persona),
    # messenger.md 3, `reply_to` and `thread_control` [SAPI, CR].
    "reply_to": given(members({"mid": identifier})),
    "thread_control": given(members({"control_type": one_of("pass", "release")}, {"app_id": given(identifier)})),
}


def check_send(body: dict[str, Any], page: SandboxPage, *, has_file: bool = False) -> None:
    """Check a decoded Send API body; whether the recipient exists is not checked."""
    _check_recipient(body.get("recipient"))
    for name, check in _ENVELOPE.items():
        check(name, body.get(name), page)
    _check_utility(body, page)
    _check_feedback_tag(body)
    # messenger.md 3, `tag` [SAPI].
    has_tag = body.get("messaging_type") != "MESSAGE_TAG" or body.get("tag")
    refuse_unless(has_tag, "param tag is required for messaging_type MESSAGE_TAG.")
    # messenger.md 3, `sender_action` [SAPI, SACT].
    action, message = body.get("sender_action"), body.get("message")
    if action is not None:
        refuse_unless(message is None, "Must send sender_action or message, but not both.")
        _check_action(action, body.get("payload"), page)
        return
    check_message(message, page, has_file=has_file)


def check_message(message: Any, page: SandboxPage, *, has_file: bool = False) -> None:
    """Check the ``message`` of a body."""
    refuse_unless(message is not None, "param message must be non-empty.")
    _MESSAGE("message", message, page)
    assert isinstance(message, dict)
    # messenger.md 3, `message` [SAPI, UTL].
    contents = [name for name in _CONTENT_KEYS if message.get(name) is not None]
    refuse_unless(len(contents) == 1, "param message must have either text or attachment.")
    if "attachment" in contents:
        check_attachment(message["attachment"], page, has_file=has_file)
    for attachment in message.get("attachments") or ():
        check_attachment(attachment, page, has_file=has_file)


def _check_recipient(recipient: Any) -> None:
    # messenger.md 3, `recipient` [SAPI].
    refuse_unless(recipient is not None, "The parameter recipient is required")
    refuse_unless(isinstance(recipient, dict) and recipient, "param recipient must be non-empty.")
    named = [name for name in RECIPIENT_KEYS if recipient.get(name)]
    refuse_unless(len(named) == 1, "param recipient must name exactly one person.")
    refuse_unless(isinstance(recipient[named[0]], (str, int)), f"param recipient[{named[0]}] must be a string.")


def _check_utility(body: dict[str, Any], page: SandboxPage) -> None:
    """Check that ``UTILITY``, which needs no open window, is used with a utility template and on Messenger only."""
    # messenger.md 3, `messaging_type` and `message` [UTL]; 6, tags [SAPI]: Instagram has no utility templates.
    is_utility = body.get("messaging_type") == "UTILITY"
    refuse_unless(not (is_utility and page.instagram), "messaging_type UTILITY is not supported on Instagram.")
    has_template = isinstance(body.get("message"), dict) and body["message"].get("template") is not None
    refuse_unless(not is_utility or has_template, "param message[template] is required for messaging_type UTILITY.")


def _check_feedback_tag(body: dict[str, Any]) -> None:
    """Check that ``CUSTOMER_FEEDBACK``, which extends the window, is used with the template of that name."""
    if body.get("tag") != "CUSTOMER_FEEDBACK":
        return
    # messenger.md 3, `tag` [SAPI].
    place: Any = body
    for name in ("message", "attachment", "payload", "template_type"):
        place = place.get(name) if isinstance(place, dict) else None
    is_template = place == "customer_feedback"
    refuse_unless(is_template, "param tag CUSTOMER_FEEDBACK is allowed for the customer_feedback template only.")


def _check_action(action: Any, payload: Any, page: SandboxPage) -> None:
    # messenger.md 3, `sender_action` [SAPI, SACT].
    one_of("typing_on", "typing_off", "mark_seen", "react", "unreact")("sender_action", action, page)
    names_message = isinstance(payload, dict) and payload.get("message_id")
    refuse_unless(names_message or "react" not in action, "param payload[message_id] is required.")


def _text(param: str, value: Any, page: SandboxPage) -> None:
    # messenger.md 3, `message` [SAPI]; 6, text [IGS].
    text(MAXIMUM_TEXT)(param, value, page)
    too_long = page.instagram and len(value.encode("utf-8", "surrogatepass")) > MAXIMUM_INSTAGRAM_TEXT_BYTES
    limit = f"must be less than or equal to {MAXIMUM_INSTAGRAM_TEXT_BYTES} bytes"
    refuse_unless(not too_long, f"Length of param {param} {limit}")


def _attachments(param: str, value: Any, page: SandboxPage) -> None:
    # messenger.md 6, images [IGS, IGCL].
    refuse_unless(page.instagram, 'Invalid keys "attachments" were found in param "message".')
    items(10)(param, value, page)


# messenger.md 4.26, utility template [UTL]: text that was not approved has no place in it.
_TEMPLATE = members({"name": text(512)}, dict.fromkeys(("language", "components"), anything))


def _template(param: str, value: Any, page: SandboxPage) -> None:
    # messenger.md 6, tags [SAPI].
    refuse_unless(not page.instagram, 'Invalid keys "template" were found in param "message".')
    _TEMPLATE(param, value, page)


def check_attachment(attachment: Any, page: SandboxPage, *, has_file: bool = False) -> None:
    """Check an attachment: a template, or media from an address, an upload or the file of the call."""
    refuse_unless(isinstance(attachment, dict), "param message[attachment] must be an object.")
    kind, payload = attachment.get("type"), attachment.get("payload")
    if kind == "template":
        check_template(payload, page)
        return
    # messenger.md 6, own posts, heart [IGS, IGAT].
    if page.instagram and kind in ("MEDIA_SHARE", "like_heart"):
        return
    # messenger.md 4.19, media send [SAV]; 3, errors, 2018074 [SAV].
    one_of("image", "audio", "video", "file")("message[attachment][type]", kind, page)
    if has_file:
        return
    refuse_unless(isinstance(payload, dict), "param message[attachment][payload] must be an object.")
    if payload.get("attachment_id") is not None:
        owned = str(payload["attachment_id"]) in page.attachment_ids
        refuse_unless(owned, "Attachment is not owned by this page", subcode=ATTACHMENT_NOT_OWNED)
        return
    web_url("message[attachment][payload][url]", payload.get("url"), page)


_QUICK_REPLY = members({}, dict.fromkeys(("content_type", "title", "payload", "image_url"), anything))


def _quick_reply(param: str, reply: Any, page: SandboxPage) -> None:
    _QUICK_REPLY(param, reply, page)
    # messenger.md 3, `message` [QR]; 4.18 [QR]; 6, quick replies [IGQ].
    kind = reply.get("content_type")
    known = ("text",) if page.instagram else ("text", "user_phone_number", "user_email")
    refuse_unless(kind in known, f"param {param}[content_type] is not supported.")
    if kind == "text":
        PAYLOAD(f"{param}[payload]", reply.get("payload"), page)
        # Instagram cuts a title where Messenger refuses it.
        title = text(1000) if page.instagram else TITLE
        title = filled(title) if reply.get("image_url") else title
        title(f"{param}[title]", reply.get("title"), page)


# messenger.md 3, `message` [SAPI, QR]; 1, ids [STK].
_MESSAGE = members(
    {
        "text": given(_text),
        "attachments": given(_attachments),
        "quick_replies": given(items(13, _quick_reply)),
        "metadata": given(text(MAXIMUM_METADATA)),
        "template": given(_template),
        "sticker_id": given(identifier),
    },
    dict.fromkeys(("attachment", "is_reusable"), anything),
)
