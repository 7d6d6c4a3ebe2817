"""Methods of the bot that send messages and files, beside those of pymessenger 0.0.7.0 that work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack
from urllib.parse import quote

from .events import Channel
from .outgoing import (
    Endpoint,
    FileKeywords,
    Notification,
    NotificationType,
    PlainKeywords,
    SendKeywords,
    SendOptions,
    To,
    recipient_body,
)
from .sender import MessageSender
from .uploads import Source, Upload, is_web_address

Object = Mapping[str, Any]


class MessageMethods(MessageSender):
    """
    Messages, templates, files, reactions and batches.

    Methods that pymessenger has return Facebook's answer also when it is an error, unless `raise_errors`; these are the
    ones with a file, `send_recipient` and `send_attachment_url`. All others raise `SendError`.

    A file is given as a path, bytes, or an open binary file; *filename* is for sources without a name. A missing file
    raises `FileNotFoundError` before anything is sent.
    """

    async def send_recipient(
        self,
        recipient_id: To,
        payload: Object,
        notification_type: Notification = NotificationType.REGULAR,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """A Send API body without its recipient, which is added to a copy of *payload*."""
        body = {**payload, "recipient": recipient_body(recipient_id)}
        return await self._send_raw_with(body, notification_type, options)

    async def send_attachment_url(
        self,
        recipient_id: To,
        attachment_type: str,
        attachment_url: str,
        notification_type: Notification = NotificationType.REGULAR,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """Media that Facebook fetches, as *attachment_type*: ``image``, ``audio``, ``video`` or ``file``."""
        message = {"attachment": {"type": attachment_type, "payload": {"url": attachment_url}}}
        return await self.send_recipient(recipient_id, {"message": message}, notification_type, **options)

    async def send_quick_replies(
        self,
        recipient_id: To,
        text: str,
        quick_replies: Sequence[Object],
        notification_type: Notification = None,
        **options: Unpack[PlainKeywords],
    ) -> Any:
        """Text with up to 13 quick replies."""
        message = {"text": text, "quick_replies": quick_replies}
        return await self._send(recipient_id, {"message": message}, notification_type, options)

    async def send_template(
        self, recipient_id: To, payload: Object, notification_type: Notification = None, **options: Unpack[SendKeywords]
    ) -> Any:
        """Any template: *payload* is the object beside ``"type": "template"``, with its ``template_type``."""
        message = {"attachment": {"type": "template", "payload": payload}}
        return await self._send(recipient_id, {"message": message}, notification_type, options)

    async def send_media_message(
        self,
        recipient_id: To,
        elements: Sequence[Object],
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """Media template: a picture or video on Facebook, with buttons."""
        payload = {"template_type": "media", "elements": elements}
        return await self.send_template(recipient_id, payload, notification_type, **options)

    async def send_receipt_message(
        self, recipient_id: To, receipt: Object, notification_type: Notification = None, **options: Unpack[SendKeywords]
    ) -> Any:
        """Receipt template. Its ``order_number`` must be unique."""
        payload = {"template_type": "receipt", **receipt}
        return await self.send_template(recipient_id, payload, notification_type, **options)

    async def send_coupon_message(
        self, recipient_id: To, coupon: Object, notification_type: Notification = None, **options: Unpack[SendKeywords]
    ) -> Any:
        """Coupon template, with ``coupon_code`` or ``coupon_url``."""
        payload = {"template_type": "coupon", **coupon}
        return await self.send_template(recipient_id, payload, notification_type, **options)

    async def send_saved_attachment(
        self,
        recipient_id: To,
        attachment_type: str,
        attachment_id: str,
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """An attachment saved by `upload_attachment`; its id is valid for 90 days, for this Page."""
        message = {"attachment": {"type": attachment_type, "payload": {"attachment_id": attachment_id}}}
        return await self._send(recipient_id, {"message": message}, notification_type, options)

    async def send_reaction(
        self,
        recipient_id: To,
        message_id: str,
        reaction: str = "love",
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """React to the person's message *message_id*."""
        content = {"sender_action": "react", "payload": {"message_id": message_id, "reaction": reaction}}
        return await self._send(recipient_id, content, notification_type, options)

    async def remove_reaction(
        self, recipient_id: To, message_id: str, notification_type: Notification = None, **options: Unpack[SendKeywords]
    ) -> Any:
        """Remove the reaction to *message_id*."""
        content = {"sender_action": "unreact", "payload": {"message_id": message_id}}
        return await self._send(recipient_id, content, notification_type, options)

    async def send_private_reply(
        self,
        message: str | Object,
        notification_type: Notification = None,
        *,
        comment_id: str | None = None,
        post_id: str | None = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """
        One message to the author of a comment or a visitor's post, within seven days.

        Raises:
            TypeError: Not exactly one of *comment_id* and *post_id* is given.
        """
        if (comment_id is None) == (post_id is None):
            msg = "a private reply needs either comment_id or post_id"
            raise TypeError(msg)
        recipient = {"post_id": post_id} if comment_id is None else {"comment_id": comment_id}
        content = {"text": message} if isinstance(message, str) else message
        return await self._send(recipient, {"message": content}, notification_type, options)

    async def send_marketing_message(
        self,
        ad_account_id: str | int,
        message_id: str | int,
        subscription_token: str,
        message: Object,
        *,
        min_conversation_gap_seconds: int | None = None,
        creative: str | None = None,
        greeting: bool = False,
        tracker: str | None = None,
    ) -> Any:
        """
        A paid marketing message to one subscriber; the token must be that of the ad account's system user.

        Args:
            ad_account_id: With or without ``act_``.
            message_id: Of the message campaign.
            message: As elsewhere: text, or an attachment with a template. The person's id is not known, so SmartLinks
                carry none.
            min_conversation_gap_seconds: Not sent when the person and the Page wrote to each other more recently; then
                Facebook answers with error 2300052.
            creative: As of `send_raw`, like *greeting* and *tracker*.
        """
        body: dict[str, Any] = {
            "message_id": str(message_id),
            "messenger_delivery_data": {"subscription_token": subscription_token},
            "message": message,
        }
        if min_conversation_gap_seconds is not None:
            body["min_conversation_gap_seconds"] = min_conversation_gap_seconds
        node = "act_" + quote(str(ad_account_id).removeprefix("act_"), safe="")
        tracking = {"creative": creative, "greeting": greeting, "tracker": tracker}
        return await self.send(self._outgoing(Endpoint.MESSAGES, body, node=node, **tracking))

    async def send_batch(self, requests: Sequence[Object], *, creative: str | None = None) -> Any:
        """
        Up to 50 Graph requests in one, each with ``method``, ``relative_url`` and a form string as ``body``.

        Their links become SmartLinks; no message of a batch is counted as a greeting: send greetings one by one.

        The answer is a list; a request that failed is in it with its code and raises nothing. `batch_items` reads the
        list, and gives each failure the error that it would have raised alone. With `addressed_by_id`, ``me`` at the
        beginning of a path becomes the id.
        """
        body = {"batch": [self._addressed(request) for request in requests]}
        return await self.send(self._outgoing(Endpoint.BATCH, body, creative=creative))

    def _addressed(self, request: Object) -> Object:
        url = request.get("relative_url") if isinstance(request, Mapping) else None
        return {**request, "relative_url": self._own_path(url)} if isinstance(url, str) else request

    async def send_image(
        self,
        recipient_id: To,
        image_path: Source,
        notification_type: Notification = None,
        **options: Unpack[FileKeywords],
    ) -> Any:
        """An image of at most 8 MB."""
        return await self.send_attachment(recipient_id, "image", image_path, notification_type, **options)

    async def send_audio(
        self,
        recipient_id: To,
        audio_path: Source,
        notification_type: Notification = None,
        **options: Unpack[FileKeywords],
    ) -> Any:
        """An audio file of at most 25 MB."""
        return await self.send_attachment(recipient_id, "audio", audio_path, notification_type, **options)

    async def send_video(
        self,
        recipient_id: To,
        video_path: Source,
        notification_type: Notification = None,
        **options: Unpack[FileKeywords],
    ) -> Any:
        """A video of at most 25 MB."""
        return await self.send_attachment(recipient_id, "video", video_path, notification_type, **options)

    async def send_file(
        self,
        recipient_id: To,
        file_path: Source,
        notification_type: Notification = None,
        **options: Unpack[FileKeywords],
    ) -> Any:
        """Any file of at most 25 MB."""
        return await self.send_attachment(recipient_id, "file", file_path, notification_type, **options)

    async def send_attachment(
        self,
        recipient_id: To,
        attachment_type: str,
        attachment_path: Source,
        notification_type: Notification = NotificationType.REGULAR,
        **options: Unpack[FileKeywords],
    ) -> Any:
        """A file as *attachment_type*: ``image``, ``audio``, ``video`` or ``file``."""
        upload = Upload.of(attachment_path, filename=options.pop("filename", None))
        send_options = SendOptions.of(options, notification_type=notification_type)
        message = {"attachment": {"type": attachment_type, "payload": {}}}
        body = send_options.applied_to({"recipient": recipient_body(recipient_id), "message": message})
        return await self._answer(self._outgoing(Endpoint.MESSAGES, body, upload=upload, **send_options.tracking))

    async def upload_attachment(
        self,
        attachment_type: str,
        source: Source,
        *,
        filename: str | None = None,
        is_reusable: bool = True,
        creative: str | None = None,
    ) -> Any:
        """
        Save a file at Facebook for `send_saved_attachment`; the answer has its ``attachment_id``.

        Args:
            source: Also an http(s) address, which Facebook fetches.

        Raises:
            SendError: Facebook refused it.
        """
        payload: dict[str, Any] = {"is_reusable": is_reusable}
        upload = None
        if is_web_address(source):
            payload = {"url": source, **payload}
        else:
            upload = Upload.of(source, filename=filename)
        body: dict[str, Any] = {"message": {"attachment": {"type": attachment_type, "payload": payload}}}
        if self.channel is Channel.INSTAGRAM:
            body["platform"] = "instagram"
        return await self.send(self._outgoing(Endpoint.MESSAGE_ATTACHMENTS, body, upload=upload, creative=creative))

    async def _send(
        self, recipient_id: To, content: Object, notification_type: Notification, keywords: PlainKeywords
    ) -> Any:
        options = SendOptions.of(keywords, notification_type=notification_type)
        body = options.applied_to({"recipient": recipient_body(recipient_id), **content})
        return await self.send(self._outgoing(Endpoint.MESSAGES, body, **options.tracking))
