"""One outgoing message or call: recipient, options, and `Outgoing`, which passes the send chain."""

from __future__ import annotations

import difflib
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self, TypedDict

import attrs
import orjson

from ..exceptions import TrackingError
from ..settings import kind_of
from .events import Channel
from .uploads import Upload


class Endpoint(enum.StrEnum):
    """The Graph API paths for what a person will see; the value is the last part of the path."""

    MESSAGES = "messages"
    MESSENGER_PROFILE = "messenger_profile"
    CUSTOM_USER_SETTINGS = "custom_user_settings"
    MESSAGE_ATTACHMENTS = "message_attachments"
    PERSONAS = "personas"
    BATCH = "batch"


_RECIPIENT_KEYS: Final = {
    "user_id": "id",
    "user_ref": "user_ref",
    "comment_id": "comment_id",
    "post_id": "post_id",
    "token": "notification_messages_token",
    "one_time_notif_token": "one_time_notif_token",
    "phone_number": "phone_number",
}
"""Members of the ``recipient`` object, by the fields of `Recipient`."""


MESSAGE_KEYS = frozenset(("text", "attachment", "attachments", "quick_replies"))
"""Keys of a message, none of which a Send API body has."""


@attrs.frozen(kw_only=True, slots=False)
class Recipient:
    """
    The recipient of a body; at most one of the fields is set. All ``None``: a call for the whole Page.

    Attributes:
        user_id: PSID or IGSID.
        user_ref: From the checkbox or chat plugin; connected with a PSID only by the person's next event.
        comment_id: Private reply to a comment.
        post_id: Private reply to a visitor's post.
        token: ``notification_messages_token``.
        one_time_notif_token: For one message that a person requested (removed from the platform, still used).
        phone_number: Customer matching (removed from the platform, still used by old code).
    """

    user_id: str | None = None
    user_ref: str | None = None
    comment_id: str | None = None
    post_id: str | None = None
    token: str | None = None
    one_time_notif_token: str | None = None
    phone_number: str | None = attrs.field(default=None, repr=False)

    def as_body(self) -> dict[str, str]:
        """The ``recipient`` object of a Send API body. Raises `ValueError` when no field is set."""
        members = {key: getattr(self, name) for name, key in _RECIPIENT_KEYS.items()}
        given = {key: value for key, value in members.items() if value is not None}
        if not given:
            msg = f"a recipient needs one of {', '.join(_RECIPIENT_KEYS)}"
            raise ValueError(msg)
        return given

    @classmethod
    def of(cls, body: Any) -> Self:
        """
        Read the ``recipient`` of a Send API body (object or JSON text), or the ``psid`` of the menu of one person.

        Never raises: a body that Facebook would refuse gives an empty recipient.
        """
        if not isinstance(body, Mapping):
            return cls()
        recipient = body.get("recipient")
        if isinstance(recipient, (str, bytes)):
            try:
                recipient = orjson.loads(recipient)
            except orjson.JSONDecodeError:
                recipient = None
        if not isinstance(recipient, Mapping):
            return cls(user_id=id_text(body.get("psid")))
        if len(recipient) == 1 and "id" in recipient:
            # Nearly all are, and the recipient of a send is read several times.
            return cls(user_id=id_text(recipient["id"]))
        fields = {name: id_text(recipient.get(key)) for name, key in _RECIPIENT_KEYS.items()}
        if not recipient.get("notification_messages_token"):
            fields["token"] = id_text(recipient.get("notification_message_token"))
        return cls(**fields)


def id_text(value: Any) -> str | None:
    """An id as text; ``None`` for none or an empty one."""
    return None if value is None or value == "" else str(value)


To = str | int | Mapping[str, Any] | Recipient
"""A PSID or IGSID, a ``recipient`` object, or a `Recipient`."""


def recipient_body(recipient: To) -> Mapping[str, Any]:
    """The ``recipient`` object."""
    if isinstance(recipient, Recipient):
        return recipient.as_body()
    return recipient if isinstance(recipient, Mapping) else {"id": recipient}


class NotificationType(enum.StrEnum):
    """How the person's device announces a message. The lower-case names are those of pymessenger."""

    REGULAR = "REGULAR"
    SILENT_PUSH = "SILENT_PUSH"
    NO_PUSH = "NO_PUSH"

    regular = REGULAR
    silent_push = SILENT_PUSH
    no_push = NO_PUSH


Notification = str | enum.Enum | None
"""A `NotificationType`, its text, or the same enum of another library; ``None`` is the platform's default."""


class MessagingType(enum.StrEnum):
    """Why a message is sent."""

    RESPONSE = "RESPONSE"
    UPDATE = "UPDATE"
    MESSAGE_TAG = "MESSAGE_TAG"
    UTILITY = "UTILITY"


class PlainKeywords(TypedDict, total=False):
    """Keywords of `SendOptions` for the signatures of methods that have *quick_replies* as a parameter."""

    messaging_type: str | None
    tag: str | None
    persona_id: str | None
    reply_to: str | Mapping[str, Any] | None
    creative: str | None
    greeting: bool
    tracker: str | None


class SendKeywords(PlainKeywords, total=False):
    """Keywords of `SendOptions`, for signatures."""

    quick_replies: Sequence[Mapping[str, Any]] | None


class FileKeywords(SendKeywords, total=False):
    """Keywords of methods that send a file."""

    filename: str | None


@attrs.frozen(kw_only=True)
class SendOptions:
    """
    Options of one send. Options that are ``None`` are left out of the body.

    Attributes:
        notification_type: A `NotificationType` or its text.
        messaging_type: A `MessagingType` or its text.
        tag: Why the message may be sent outside of the 24 hours; `messaging_type` is ``MESSAGE_TAG`` if not given.
        persona_id: The persona that sends the message.
        reply_to: The message to quote: its mid, or the object of the platform.
        quick_replies: At most 13, with title, payload and optionally a picture.
        creative: Name of the creative shown, for tracking; never sent to Facebook.
        greeting: The message is a greeting; never sent to Facebook.
        tracker: Name of the greeting's tracker, which makes the message a greeting; never sent to Facebook.
    """

    notification_type: Notification = None
    messaging_type: str | None = None
    tag: str | None = None
    persona_id: str | None = None
    reply_to: str | Mapping[str, Any] | None = None
    quick_replies: Sequence[Mapping[str, Any]] | None = None
    creative: str | None = None
    greeting: bool = False
    tracker: str | None = None

    @classmethod
    def of(cls, keywords: PlainKeywords, *, notification_type: Notification = None) -> Self:
        """The options with which a method was called. For an unknown one, `TypeError` suggests the nearest."""
        unknown = next((name for name in keywords if name not in _OPTIONS), None)
        if unknown is not None:
            near = difflib.get_close_matches(unknown, _OPTIONS, n=1)
            known = f"did you mean `{near[0]}`?" if near else f"the options are {', '.join(sorted(_OPTIONS))}"
            msg = f"unknown option `{unknown}` of a send: {known}"
            raise TypeError(msg)
        given: dict[str, Any] = {"notification_type": notification_type, **keywords}
        return cls(**given)

    def applied_to(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of *body* with the options in it."""
        reply_to = {"mid": self.reply_to} if isinstance(self.reply_to, str) else self.reply_to
        messaging_type = MessagingType.MESSAGE_TAG if self.tag and self.messaging_type is None else self.messaging_type
        members = {
            "notification_type": _text_of(self.notification_type),
            "messaging_type": _text_of(messaging_type),
            "tag": self.tag,
            "persona_id": self.persona_id,
            "reply_to": reply_to,
        }
        changed = {**body, **{key: value for key, value in members.items() if value is not None}}
        if self.quick_replies is not None:
            changed["message"] = _with_quick_replies(body.get("message"), list(self.quick_replies))
        return changed

    @property
    def tracking(self) -> dict[str, Any]:
        """The options that are fields of `Outgoing`, not members of the body; only those that are set."""
        fields = {"creative": self.creative, "greeting": self.greeting, "tracker": self.tracker}
        return {name: value for name, value in fields.items() if value}


_OPTIONS = frozenset(field.name for field in attrs.fields(SendOptions))


def _text_of(value: str | enum.Enum | None) -> str | None:
    # Also for an enum of another package, such as the one of pymessenger's later releases.
    return value if value is None or type(value) is str else str(value.value if isinstance(value, enum.Enum) else value)


def _with_quick_replies(message: Any, quick_replies: list[Mapping[str, Any]]) -> Any:
    """The message with quick replies, as an object or JSON text like the original."""
    if isinstance(message, str):
        return json.dumps({**json.loads(message), "quick_replies": quick_replies})
    if not isinstance(message, Mapping):
        msg = "quick replies need a message"
        raise ValueError(msg)  # noqa: TRY004 - the call is at fault, not a type
    return {**message, "quick_replies": quick_replies}


def text_or_none(name: str, value: object) -> None:
    """Raise a `TrackingError` if the argument *name* is neither a text nor ``None``."""
    if value is not None and not isinstance(value, str):
        msg = f'`{name}` is a name, as a text, got {kind_of(value)}; write for example `{name}="spring"`'
        raise TrackingError(msg)


def _name(_instance: Any, attribute: Any, value: object) -> None:
    text_or_none(attribute.name, value)


@attrs.frozen(kw_only=True, slots=False)
class Outgoing:
    """
    What a send middleware is given. Change it with `attrs.evolve`; never write into `body`.

    Attributes:
        endpoint: Last part of the Graph path, usually an `Endpoint`.
        node: The part of the path before it, such as ``act_<id>`` for a marketing message; ``None`` for the Page or
            account that sends.
        body: The JSON object as the caller gave it: dicts, lists, attrs instances, or JSON text in its members.
        page_id: The Page (or Instagram account) that sends; ``None`` when the bot was created without one and does not
            reply to an event.
        channel: The platform that delivers it; ``None`` where `kochava.send` was told neither that nor a known Page.
        method: HTTP method; ``DELETE`` removes something, so nothing is shown.
        params: Query parameters, such as ``platform`` of a profile call.
        upload: The file of a multipart request, whose ``recipient`` and ``message`` are in `body`; else ``None``.
        creative: Name of the creative shown, given by the caller; ``None`` if not.
        greeting: The caller marked this message as a greeting.
        tracker: Name of the tracker of this greeting, given by the caller; ``None`` if not.

    Raises:
        TrackingError: `creative` or `tracker` is no text.
    """

    endpoint: str = Endpoint.MESSAGES
    body: Any
    page_id: str | None = None
    channel: Channel | None = None
    method: str = "POST"
    params: Mapping[str, str] = attrs.field(factory=dict)
    upload: Upload | None = None
    creative: str | None = attrs.field(default=None, validator=_name)
    greeting: bool = False
    node: str | None = None
    tracker: str | None = attrs.field(default=None, validator=_name)

    @property
    def recipient(self) -> Recipient:
        """The recipient in the body."""
        return Recipient.of(self.body)

    @property
    def has_message(self) -> bool:
        """Whether the body has a message, rather than an action."""
        return isinstance(self.body, Mapping) and self.body.get("message") is not None


def is_same(sent: Any, body: Any) -> bool:
    """Whether *body* is what *sent* becomes beneath: as an object or as JSON, with members that a sender adds."""
    try:
        return bool(_content(sent) == _content(body))
    except Exception:  # noqa: BLE001 - a body may be anything, even endless
        return False


def _content(body: Any) -> Any:
    if not isinstance(body, Mapping) or "recipient" not in body:
        return body
    message = body.get("message")
    if isinstance(message, (str, bytes)):
        message = orjson.loads(message)
    return Recipient.of(body), message, body.get("sender_action")
