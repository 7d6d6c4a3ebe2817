"""What may be said about a message beside its content."""

from __future__ import annotations

import difflib
import enum
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypedDict

import attrs

from .outgoing import Recipient

To = str | int | Mapping[str, Any] | Recipient
"""Whom to send to: a PSID or IGSID, a ``recipient`` object, or a `Recipient`."""


class NotificationType(enum.StrEnum):
    """How the person's device announces a message. The lower-case names are those of pymessenger."""

    REGULAR = "REGULAR"
    SILENT_PUSH = "SILENT_PUSH"
    NO_PUSH = "NO_PUSH"

    regular = REGULAR
    silent_push = SILENT_PUSH
    no_push = NO_PUSH


Notification = str | enum.Enum | None
"""A `NotificationType`, its text, the same enum of another library, or nothing: the platform's default."""


class MessagingType(enum.StrEnum):
    """Why a message is sent."""

    RESPONSE = "RESPONSE"
    UPDATE = "UPDATE"
    MESSAGE_TAG = "MESSAGE_TAG"
    UTILITY = "UTILITY"


class PlainKeywords(TypedDict, total=False):
    """The keywords of `SendOptions` that no method has as a parameter of its own, for signatures."""

    messaging_type: str | None
    tag: str | None
    persona_id: str | None
    reply_to: str | Mapping[str, Any] | None
    creative: str | None
    greeting: bool


class SendKeywords(PlainKeywords, total=False):
    """The keywords of `SendOptions`, for signatures."""

    quick_replies: Sequence[Mapping[str, Any]] | None


@attrs.frozen(kw_only=True)
class SendOptions:
    """
    Options of one send. What is ``None`` stays out of the body.

    Attributes:
        notification_type: A `NotificationType` or its text.
        messaging_type: A `MessagingType` or its text.
        tag: Why the message may leave outside of the 24 hours; then `messaging_type` is ``MESSAGE_TAG`` if not given.
        persona_id: Who of the Page's personas speaks.
        reply_to: The message to quote: its mid, or the object the platform wants.
        quick_replies: At most 13, of title, payload and perhaps picture.
        creative: Name of what is shown, for tracking; never sent to Facebook.
        greeting: What is shown counts as a greeting; never sent to Facebook.
    """

    notification_type: Notification = None
    messaging_type: str | None = None
    tag: str | None = None
    persona_id: str | None = None
    reply_to: str | Mapping[str, Any] | None = None
    quick_replies: Sequence[Mapping[str, Any]] | None = None
    creative: str | None = None
    greeting: bool = False

    @classmethod
    def of(cls, keywords: PlainKeywords, *, notification_type: Notification = None) -> Self:
        """
        The options a method was called with.

        Raises:
            TypeError: There is no such option; the message says which was probably meant.
        """
        unknown = next((name for name in keywords if name not in _OPTIONS), None)
        if unknown is not None:
            near = difflib.get_close_matches(unknown, _OPTIONS, n=1)
            wanted = f"probably `{near[0]}`" if near else f"one of {', '.join(sorted(_OPTIONS))}"
            msg = f"a send has no option `{unknown}`: wanted {wanted}"
            raise TypeError(msg)
        given: dict[str, Any] = {"notification_type": notification_type, **keywords}
        return cls(**given)

    def applied_to(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """
        A copy of *body* with the options in it.

        Raises:
            ValueError: Quick replies for a body without a message.
        """
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
    def marks(self) -> dict[str, Any]:
        """What travels on the `Outgoing` beside the body; only what is set."""
        marks = {"creative": self.creative, "greeting": self.greeting}
        return {name: value for name, value in marks.items() if value}


_OPTIONS = frozenset(field.name for field in attrs.fields(SendOptions))


def recipient_body(to: To) -> Mapping[str, Any]:
    """
    The ``recipient`` object for *to*.

    Raises:
        ValueError: A `Recipient` that names nobody.
    """
    if isinstance(to, Recipient):
        return to.as_body()
    return to if isinstance(to, Mapping) else {"id": to}


def _text_of(value: str | enum.Enum | None) -> str | None:
    # Also of an enum that is not this package's, such as the one of pymessenger's later releases.
    return value if value is None or type(value) is str else str(value.value if isinstance(value, enum.Enum) else value)


def _with_quick_replies(message: Any, quick_replies: list[Mapping[str, Any]]) -> Any:
    """The message with quick replies, in the form it came: object or JSON text."""
    if isinstance(message, str):
        return json.dumps({**json.loads(message), "quick_replies": quick_replies})
    if not isinstance(message, Mapping):
        msg = "quick replies need a message to stand under"
        raise ValueError(msg)  # noqa: TRY004 - the call is at fault, not a type
    return {**message, "quick_replies": quick_replies}
