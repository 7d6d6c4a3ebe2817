"""Events about messages and buttons: sent, tapped, edited, deleted, echoed, delivered, read, reacted to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import attrs

from .base import Event, Kind


@attrs.frozen(kw_only=True)
class Coordinates:
    """A location, in degrees."""

    lat: float
    long: float


@attrs.frozen(kw_only=True)
class Attachment:
    """
    One attachment of a message.

    Attributes:
        type: The platform's type: ``image``, ``sticker``, ``fallback``, ``story_mention`` … New types appear without
            notice, so it is text.
        url: Address of the content; links to the platform's own storage expire.
        title: Title of a shared link or post.
        sticker_id: Id of a sticker, also of one that is sent as an image.
        coordinates: Coordinates of a location.
        payload: The platform's ``payload`` as received: usually an object, a string in old data, often missing.
    """

    type: str | None = None
    url: str | None = attrs.field(default=None, repr=False)
    title: str | None = attrs.field(default=None, repr=False)
    sticker_id: str | None = None
    coordinates: Coordinates | None = attrs.field(default=None, repr=False)
    payload: Any = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class Story:
    """An Instagram story that a message replies to. Its media must not be stored."""

    id: str | None = None
    url: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class ReplyTo:
    """
    What a message replies to.

    Attributes:
        mid: Id of the message.
        is_self_reply: The person replies to their own message.
        story: The story, on Instagram.
    """

    mid: str | None = None
    is_self_reply: bool = False
    story: Story | None = None


@attrs.frozen(kw_only=True, slots=False)
class ContentEvent(Event):
    """
    Base class of messages from a person and echoes of messages from the Page.

    Attributes:
        mid: Id of the message.
        text: The text.
        attachments: The attachments; one that the platform sends in two forms appears once.
        reply_to: What it replies to; ``None`` when it is not a reply.
        sticker_id: Id of the sticker; ``None`` when it is not a sticker.
    """

    mid: str | None = None
    text: str | None = attrs.field(default=None, repr=False)
    attachments: tuple[Attachment, ...] = ()
    reply_to: ReplyTo | None = None
    sticker_id: str | None = None

    @property
    def is_sticker(self) -> bool:
        """Whether the message is a sticker, the thumb-up included."""
        return self.sticker_id is not None


@attrs.frozen(kw_only=True, slots=False)
class MessageEvent(ContentEvent):
    """
    A message from a person.

    Attributes:
        quick_reply_payload: The payload of the quick reply tapped, which may be the person's e-mail or phone number;
            ``None`` for a message that was typed.
        commands: Names of the slash commands in the text.
        nlp: Result of the platform's language processing, as received.
        tags: Sources named by obsolete tags, such as ``customer_chat_plugin``.
    """

    kind: ClassVar[Kind] = Kind.MESSAGE

    quick_reply_payload: str | None = attrs.field(default=None, repr=False)
    commands: tuple[str, ...] = ()
    nlp: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    tags: tuple[str, ...] = ()

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None else (self.mid,)


@attrs.frozen(kw_only=True, slots=False)
class QuickReplyEvent(MessageEvent):
    """A tap on a quick reply; `text` is its title."""

    kind: ClassVar[Kind] = Kind.QUICK_REPLY


@attrs.frozen(kw_only=True, slots=False)
class EchoEvent(ContentEvent):
    """
    A message from the Page to the person in `user_id`.

    Attributes:
        app_id: The app that sent it; the Page inbox has its own ids. Missing on Instagram.
        metadata: As given by the sender.
        is_deleted: The Page deleted the message; this is a separate echo.
        is_unsupported: The platform does not show the content to apps.
    """

    kind: ClassVar[Kind] = Kind.ECHO

    app_id: str | None = None
    metadata: str | None = attrs.field(default=None, repr=False)
    is_deleted: bool = False
    is_unsupported: bool = False

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None else (self.mid, self.is_deleted)


@attrs.frozen(kw_only=True, slots=False)
class PostbackEvent(Event):
    """
    A tap on a postback button, get-started, a menu item or an ice breaker. `referral` is set for a first contact.

    Attributes:
        payload: Payload of the button; only for the app that sent it, so always missing in standby.
        title: Title of the button.
        mid: Id of the tap; only from Graph v11.0 on.
    """

    kind: ClassVar[Kind] = Kind.POSTBACK

    payload: str | None = None
    title: str | None = None
    mid: str | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None else (self.mid,)


@attrs.frozen(kw_only=True, slots=False)
class MessageDeletedEvent(Event):
    """
    A person deleted a message.

    Attributes:
        mid: Id of the message.
    """

    kind: ClassVar[Kind] = Kind.MESSAGE_DELETED

    mid: str | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None else (self.mid,)


@attrs.frozen(kw_only=True, slots=False)
class MessageUnsupportedEvent(Event):
    """
    A person sent something that the platform does not show to apps.

    Attributes:
        mid: Id of the message.
    """

    kind: ClassVar[Kind] = Kind.MESSAGE_UNSUPPORTED

    mid: str | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None else (self.mid,)


@attrs.frozen(kw_only=True, slots=False)
class MessageEditEvent(Event):
    """
    A person edited a message.

    Attributes:
        mid: Id of the message.
        text: The new text.
        num_edit: 1 for the first edit. Instagram also sends 0, without a text and often without a sender, for a new
            message.
    """

    kind: ClassVar[Kind] = Kind.MESSAGE_EDIT

    mid: str | None = None
    text: str | None = attrs.field(default=None, repr=False)
    num_edit: int | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None or self.num_edit is None else (self.mid, self.num_edit)


@attrs.frozen(kw_only=True, slots=False)
class DeliveryEvent(Event):
    """
    A delivery receipt: messages of the Page reached the person's device. Not on Instagram.

    Attributes:
        mids: Ids of the messages; often missing.
        watermark: All messages sent before this time were delivered.
    """

    kind: ClassVar[Kind] = Kind.DELIVERY

    mids: tuple[str, ...] = ()
    watermark: datetime | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.watermark is None else (self._sender, self.watermark, self.mids)


@attrs.frozen(kw_only=True, slots=False)
class ReadEvent(Event):
    """
    The person read messages of the Page.

    Attributes:
        watermark: All messages sent before this time were read; ``None`` on Instagram.
        mid: Id of the message read; Instagram only.
    """

    kind: ClassVar[Kind] = Kind.READ

    watermark: datetime | None = None
    mid: str | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.watermark is None and self.mid is None else (self._sender, self.watermark, self.mid)


@attrs.frozen(kw_only=True, slots=False)
class ReactionEvent(Event):
    """
    The person reacted to a message, or removed the reaction.

    Attributes:
        mid: Id of the message.
        action: ``react`` or ``unreact``.
        reaction: The platform's name of the reaction, such as ``love``; may be missing for ``unreact``.
        emoji: The character; may be missing for ``unreact``.
    """

    kind: ClassVar[Kind] = Kind.REACTION

    mid: str | None = None
    action: str | None = None
    reaction: str | None = None
    emoji: str | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        known = self.mid is not None and self.timestamp is not None
        return (self.mid, self._sender, self.action, self.timestamp) if known else None
