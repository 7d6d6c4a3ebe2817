"""Events around messages: sent, edited, deleted, echoed, delivered, read, reacted to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import attrs

from .base import Event, Kind


@attrs.frozen(kw_only=True)
class Coordinates:
    """A place on Earth, in degrees."""

    lat: float
    long: float


@attrs.frozen(kw_only=True)
class Attachment:
    """
    One thing attached to a message.

    Attributes:
        type: The platform's word: ``image``, ``sticker``, ``fallback``, ``story_mention`` … New ones appear without
            notice, so it stays text.
        url: Where it is; links to the platform's own storage expire.
        title: Of shared links and posts.
        sticker_id: Of stickers, also of those that come as an image.
        coordinates: Of a location.
        payload: The platform's ``payload`` as it came: mostly an object, in old data a string, often missing.
    """

    type: str | None = None
    url: str | None = attrs.field(default=None, repr=False)
    title: str | None = attrs.field(default=None, repr=False)
    sticker_id: str | None = None
    coordinates: Coordinates | None = attrs.field(default=None, repr=False)
    payload: Any = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class Story:
    """An Instagram story that a message answers. Its media must not be stored."""

    id: str | None = None
    url: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class ReplyTo:
    """
    What a message answers.

    Attributes:
        mid: The message answered.
        is_self_reply: The person answers their own message.
        story: The story answered, on Instagram.
    """

    mid: str | None = None
    is_self_reply: bool = False
    story: Story | None = None


@attrs.frozen(kw_only=True)
class ContentEvent(Event):
    """
    What messages of a person and echoes of the Page have in common. Never made itself.

    Attributes:
        mid: Id of the message.
        text: What was written.
        attachments: Each thing once, also where the platform sends two forms of it.
        reply_to: What it answers, if so.
        sticker_id: The sticker, if it is one.
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


@attrs.frozen(kw_only=True)
class MessageEvent(ContentEvent):
    """
    A person wrote.

    Attributes:
        quick_reply_payload: The payload of the quick reply tapped, which may be the person's e-mail or phone number;
            ``None`` for a message that was typed.
        commands: Names of the slash commands in the text.
        nlp: What the platform's language processing found, as it came.
        tags: Sources named by old tags, such as ``customer_chat_plugin``.
    """

    kind: ClassVar[Kind] = Kind.MESSAGE

    quick_reply_payload: str | None = attrs.field(default=None, repr=False)
    commands: tuple[str, ...] = ()
    nlp: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    tags: tuple[str, ...] = ()

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None else (self.mid,)


@attrs.frozen(kw_only=True)
class QuickReplyEvent(MessageEvent):
    """A person tapped a quick reply; `text` is its title."""

    kind: ClassVar[Kind] = Kind.QUICK_REPLY


@attrs.frozen(kw_only=True)
class EchoEvent(ContentEvent):
    """
    The Page wrote to the person in `user_id`.

    Attributes:
        app_id: The app that sent it; the Page inbox has ids of its own. Instagram leaves it out.
        metadata: As the sender gave it.
        is_deleted: The Page took the message back; an echo of its own.
        is_unsupported: The platform has no form for what was sent.
    """

    kind: ClassVar[Kind] = Kind.ECHO

    app_id: str | None = None
    metadata: str | None = attrs.field(default=None, repr=False)
    is_deleted: bool = False
    is_unsupported: bool = False

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None else (self.mid, self.is_deleted)


@attrs.frozen(kw_only=True)
class MessageDeletedEvent(Event):
    """
    A person took a message back.

    Attributes:
        mid: Which one.
    """

    kind: ClassVar[Kind] = Kind.MESSAGE_DELETED

    mid: str | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None else (self.mid,)


@attrs.frozen(kw_only=True)
class MessageUnsupportedEvent(Event):
    """
    A person sent something that the platform does not hand to apps.

    Attributes:
        mid: Id of the message.
    """

    kind: ClassVar[Kind] = Kind.MESSAGE_UNSUPPORTED

    mid: str | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None else (self.mid,)


@attrs.frozen(kw_only=True)
class MessageEditEvent(Event):
    """
    A person changed a message.

    Attributes:
        mid: Which one.
        text: How it reads now.
        num_edit: 1 for the first edit. Instagram also sends 0, without a text and often without a sender, about a
            message that is merely new.
    """

    kind: ClassVar[Kind] = Kind.MESSAGE_EDIT

    mid: str | None = None
    text: str | None = attrs.field(default=None, repr=False)
    num_edit: int | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.mid is None or self.num_edit is None else (self.mid, self.num_edit)


@attrs.frozen(kw_only=True)
class DeliveryEvent(Event):
    """
    Messages of the Page reached the person's device. Instagram has no such event.

    Attributes:
        mids: The messages; often missing, then only `watermark` tells.
        watermark: All messages sent before this time were delivered.
    """

    kind: ClassVar[Kind] = Kind.DELIVERY

    mids: tuple[str, ...] = ()
    watermark: datetime | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.watermark is None else (self.user_id, self.watermark, self.mids)


@attrs.frozen(kw_only=True)
class ReadEvent(Event):
    """
    The person saw messages of the Page.

    Attributes:
        watermark: All messages sent before this time were seen; ``None`` on Instagram.
        mid: The message seen; Instagram only.
    """

    kind: ClassVar[Kind] = Kind.READ

    watermark: datetime | None = None
    mid: str | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        return None if self.watermark is None and self.mid is None else (self.user_id, self.watermark, self.mid)


@attrs.frozen(kw_only=True)
class ReactionEvent(Event):
    """
    The person reacted to a message, or took the reaction back.

    Attributes:
        mid: The message.
        action: ``react`` or ``unreact``.
        reaction: The platform's name of it, such as ``love``; may be missing when taken back.
        emoji: The character; may be missing when taken back.
    """

    kind: ClassVar[Kind] = Kind.REACTION

    mid: str | None = None
    action: str | None = None
    reaction: str | None = None
    emoji: str | None = None

    def _identity(self) -> tuple[Any, ...] | None:
        known = self.mid is not None and self.timestamp is not None
        return (self.mid, self.user_id, self.action, self.timestamp) if known else None
