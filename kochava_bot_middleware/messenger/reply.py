"""`Reply`: sends to the person of one event, for handlers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, Unpack

import attrs

from ..exceptions import BadRequestError
from .events import Event
from .outgoing import Endpoint, MessagingType, Notification, Outgoing, SendKeywords, SendOptions
from .sender import MessageSender
from .uploads import Source, Upload, is_web_address


class ReplyKeywords(SendKeywords, total=False):
    """Keywords of `SendOptions` for the signatures of `Reply`."""

    notification_type: Notification


@attrs.frozen(kw_only=True)
class SendResult:
    """
    Facebook's answer to a message that it accepted.

    Attributes:
        message_id: The mid; ``None`` for a sender action, or when a middleware did not send the message.
        recipient_id: PSID or IGSID; ``None`` for a `user_ref`.
        attachment_id: Id of media that were saved for reuse.
        raw: The decoded answer.
    """

    message_id: str | None = None
    recipient_id: str | None = None
    attachment_id: str | None = None
    raw: Any = attrs.field(default=None, repr=False)

    @classmethod
    def of(cls, answer: Any) -> Self:
        """Read an answer; one that is not an object gives an empty result."""
        members = answer if isinstance(answer, Mapping) else {}
        return cls(
            message_id=members.get("message_id"),
            recipient_id=members.get("recipient_id"),
            attachment_id=members.get("attachment_id"),
            raw=answer,
        )


class Reply:
    """
    Sends to the person of an event, as a ``RESPONSE`` unless *messaging_type* or *tag* is given.

    Every method accepts the keywords of `SendOptions`, passes the send chain once, and raises `SendError` when Facebook
    does not accept the message, whatever the bot's `raise_errors` is.

    Messages are sent by the bot's Page, or by the Page of the event when the bot was created without one.

    Attributes:
        bot: The bot, for everything else.
    """

    def __init__(self, bot: MessageSender, event: Event) -> None:
        self.bot = bot
        self._event = event

    def __repr__(self) -> str:
        return f"<Reply to {self._event.kind.value} by {self.bot!r}>"

    async def text(self, text: str, **options: Unpack[ReplyKeywords]) -> SendResult:
        """Plain text."""
        return await self.raw({"text": text}, **options)

    async def quick_replies(
        self, text: str, replies: Sequence[Mapping[str, Any]], **options: Unpack[ReplyKeywords]
    ) -> SendResult:
        """Text with up to 13 quick replies."""
        return await self.raw({"text": text, "quick_replies": replies}, **options)

    async def buttons(
        self, text: str, buttons: Sequence[Mapping[str, Any]], **options: Unpack[ReplyKeywords]
    ) -> SendResult:
        """Button template: text with up to three buttons."""
        return await self.template({"template_type": "button", "text": text, "buttons": buttons}, **options)

    async def generic(self, elements: Sequence[Mapping[str, Any]], **options: Unpack[ReplyKeywords]) -> SendResult:
        """Generic template: up to ten cards."""
        return await self.template({"template_type": "generic", "elements": elements}, **options)

    async def media(self, elements: Sequence[Mapping[str, Any]], **options: Unpack[ReplyKeywords]) -> SendResult:
        """Media template: a picture or video on Facebook, with buttons."""
        return await self.template({"template_type": "media", "elements": elements}, **options)

    async def template(self, payload: Mapping[str, Any], **options: Unpack[ReplyKeywords]) -> SendResult:
        """Any template: *payload* is the object beside ``"type": "template"``."""
        return await self.raw({"attachment": {"type": "template", "payload": payload}}, **options)

    async def image(self, source: Source, **options: Unpack[ReplyKeywords]) -> SendResult:
        """An image, given as for `attachment`."""
        return await self.attachment("image", source, **options)

    async def audio(self, source: Source, **options: Unpack[ReplyKeywords]) -> SendResult:
        """An audio file, given as for `attachment`."""
        return await self.attachment("audio", source, **options)

    async def video(self, source: Source, **options: Unpack[ReplyKeywords]) -> SendResult:
        """A video, given as for `attachment`."""
        return await self.attachment("video", source, **options)

    async def file(self, source: Source, **options: Unpack[ReplyKeywords]) -> SendResult:
        """Any file, given as for `attachment`."""
        return await self.attachment("file", source, **options)

    async def attachment(
        self, attachment_type: str, source: Source, *, filename: str | None = None, **options: Unpack[ReplyKeywords]
    ) -> SendResult:
        """
        Media from an http(s) address that Facebook fetches, a path, bytes or an open binary file.

        Args:
            filename: Name of the file, where *source* has none.

        Raises:
            FileNotFoundError: There is no file at the path; nothing is sent.
        """
        if is_web_address(source):
            return await self.raw({"attachment": {"type": attachment_type, "payload": {"url": source}}}, **options)
        message = {"attachment": {"type": attachment_type, "payload": {}}}
        return await self._send({"message": message}, options, upload=Upload.of(source, filename=filename))

    async def raw(self, message: Mapping[str, Any], **options: Unpack[ReplyKeywords]) -> SendResult:
        """A whole ``message`` object."""
        return await self._send({"message": message}, options)

    async def typing(self, on: bool = True) -> SendResult:  # noqa: FBT001, FBT002  `typing(False)` is clear
        """Show or hide the typing indicator, which disappears after 20 seconds or with the next message."""
        return await self._deliver({"sender_action": "typing_on" if on else "typing_off"}, SendOptions())

    async def seen(self) -> SendResult:
        """Mark the conversation as read."""
        return await self._deliver({"sender_action": "mark_seen"}, SendOptions())

    async def _send(
        self, content: Mapping[str, Any], keywords: ReplyKeywords, *, upload: Upload | None = None
    ) -> SendResult:
        options = SendOptions.of(keywords)
        if options.messaging_type is None and options.tag is None:
            options = attrs.evolve(options, messaging_type=MessagingType.RESPONSE)
        return await self._deliver(content, options, upload)

    async def _deliver(
        self, content: Mapping[str, Any], options: SendOptions, upload: Upload | None = None
    ) -> SendResult:
        outgoing = Outgoing(
            endpoint=Endpoint.MESSAGES,
            body=options.applied_to({"recipient": _recipient_of(self._event), **content}),
            page_id=self._event.page_id if self.bot.page_id is None else self.bot.page_id,
            channel=self._event.channel,
            upload=upload,
            **options.tracking,
        )
        return SendResult.of(await self.bot.send(outgoing))


def _recipient_of(event: Event) -> dict[str, str]:
    """The person's id, or the `user_ref` of a plugin."""
    if event.user_id is None:
        msg = f"cannot reply: the {event.kind.value} event names no person"
        raise BadRequestError(msg)
    return {"user_ref" if event.is_by_reference else "id": event.user_id}
