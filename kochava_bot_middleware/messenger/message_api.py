"""Messages of today's platform that pymessenger never had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from .outgoing import Endpoint
from .send_options import Notification, PlainKeywords, SendKeywords, SendOptions, To, recipient_body
from .sender import MessageSender

Template = Mapping[str, Any]


class MessageMethods(MessageSender):
    """All methods raise `SendError` for what Facebook refuses and return its decoded answer otherwise."""

    async def send_quick_replies(
        self,
        recipient_id: To,
        text: str,
        quick_replies: Sequence[Mapping[str, Any]],
        notification_type: Notification = None,
        **options: Unpack[PlainKeywords],
    ) -> Any:
        """Text with up to 13 quick replies under it."""
        message = {"text": text, "quick_replies": quick_replies}
        return await self._send_content(recipient_id, message, notification_type, options)

    async def send_template(
        self,
        recipient_id: To,
        payload: Template,
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """Any template: *payload* is what stands beside ``"type": "template"``, with its ``template_type``."""
        message = {"attachment": {"type": "template", "payload": payload}}
        return await self._send_content(recipient_id, message, notification_type, options)

    async def send_media_message(
        self,
        recipient_id: To,
        elements: Sequence[Mapping[str, Any]],
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """Media template: a picture or video on Facebook, with buttons."""
        payload = {"template_type": "media", "elements": elements}
        return await self.send_template(recipient_id, payload, notification_type, **options)

    async def send_receipt_message(
        self,
        recipient_id: To,
        receipt: Template,
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """Receipt template. Its ``order_number`` must be unique."""
        return await self.send_template(
            recipient_id, {"template_type": "receipt", **receipt}, notification_type, **options
        )

    async def send_coupon_message(
        self,
        recipient_id: To,
        coupon: Template,
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """Coupon template, with ``coupon_code`` or ``coupon_url``."""
        return await self.send_template(
            recipient_id, {"template_type": "coupon", **coupon}, notification_type, **options
        )

    async def send_saved_attachment(
        self,
        recipient_id: To,
        attachment_type: str,
        attachment_id: str,
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """What `upload_attachment` saved; its id is good for 90 days, for this Page."""
        message = {"attachment": {"type": attachment_type, "payload": {"attachment_id": attachment_id}}}
        return await self._send_content(recipient_id, message, notification_type, options)

    async def send_reaction(
        self,
        recipient_id: To,
        message_id: str,
        reaction: str = "love",
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """React to the person's message *message_id*."""
        action = {"sender_action": "react", "payload": {"message_id": message_id, "reaction": reaction}}
        return await self._send_body({"recipient": recipient_body(recipient_id), **action}, notification_type, options)

    async def remove_reaction(
        self,
        recipient_id: To,
        message_id: str,
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """Take the reaction to *message_id* back."""
        action = {"sender_action": "unreact", "payload": {"message_id": message_id}}
        return await self._send_body({"recipient": recipient_body(recipient_id), **action}, notification_type, options)

    async def send_private_reply(
        self,
        message: str | Mapping[str, Any],
        notification_type: Notification = None,
        *,
        comment_id: str | None = None,
        post_id: str | None = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """
        One message to who wrote a comment or a visitor's post, within seven days.

        Raises:
            TypeError: Not exactly one of *comment_id* and *post_id* is given.
        """
        if (comment_id is None) == (post_id is None):
            msg = "a private reply answers one of comment_id and post_id"
            raise TypeError(msg)
        recipient = {"post_id": post_id} if comment_id is None else {"comment_id": comment_id}
        content = {"text": message} if isinstance(message, str) else message
        return await self._send_content(recipient, content, notification_type, options)

    async def send_batch(
        self, requests: Sequence[Mapping[str, Any]], *, creative: str | None = None, greeting: bool = False
    ) -> Any:
        """
        Up to 50 Graph requests in one, each with ``method``, ``relative_url`` and a form string as ``body``.

        The answer is a list; a request that failed stands in it with its code and raises nothing. `batch_items` reads
        it, and gives each failure the error it would have raised alone.
        """
        marks = SendOptions(creative=creative, greeting=greeting).marks
        return await self.send(self._outgoing(Endpoint.BATCH, {"batch": list(requests)}, **marks))

    async def _send_content(
        self,
        recipient_id: To,
        message: Any,
        notification_type: Notification,
        keywords: PlainKeywords,
    ) -> Any:
        body = {"recipient": recipient_body(recipient_id), "message": message}
        return await self._send_body(body, notification_type, keywords)

    async def _send_body(
        self, body: Mapping[str, Any], notification_type: Notification, keywords: PlainKeywords
    ) -> Any:
        options = SendOptions.of(keywords, notification_type=notification_type)
        return await self.send(self._outgoing(Endpoint.MESSAGES, options.applied_to(body), **options.marks))
