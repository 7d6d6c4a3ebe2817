"""
Files on their way to a person, or to Facebook for later use.

pymessenger has these methods, but not one of them works there.
"""

from __future__ import annotations

from typing import Any, Unpack

from .events import Channel
from .outgoing import Endpoint
from .send_options import Notification, NotificationType, SendKeywords, SendOptions, To, recipient_body
from .sender import MessageSender
from .uploads import Source, Upload


class UploadMethods(MessageSender):
    """
    A source is a path, bytes, or an open binary file; *filename* is for sources that have none.

    All methods raise `FileNotFoundError` for a missing file before anything leaves.
    """

    async def send_image(
        self,
        recipient_id: To,
        image_path: Source,
        notification_type: Notification = None,
        *,
        filename: str | None = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """An image of at most 8 MB."""
        return await self._send_file(recipient_id, "image", image_path, filename, notification_type, options)

    async def send_audio(
        self,
        recipient_id: To,
        audio_path: Source,
        notification_type: Notification = None,
        *,
        filename: str | None = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """A sound of at most 25 MB."""
        return await self._send_file(recipient_id, "audio", audio_path, filename, notification_type, options)

    async def send_video(
        self,
        recipient_id: To,
        video_path: Source,
        notification_type: Notification = None,
        *,
        filename: str | None = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """A video of at most 25 MB."""
        return await self._send_file(recipient_id, "video", video_path, filename, notification_type, options)

    async def send_file(
        self,
        recipient_id: To,
        file_path: Source,
        notification_type: Notification = None,
        *,
        filename: str | None = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """Any file of at most 25 MB."""
        return await self._send_file(recipient_id, "file", file_path, filename, notification_type, options)

    async def send_attachment(
        self,
        recipient_id: To,
        attachment_type: str,
        attachment_path: Source,
        notification_type: Notification = NotificationType.REGULAR,
        *,
        filename: str | None = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """A file as *attachment_type*: ``image``, ``audio``, ``video`` or ``file``."""
        return await self._send_file(
            recipient_id, attachment_type, attachment_path, filename, notification_type, options
        )

    async def upload_attachment(
        self,
        attachment_type: str,
        source: Source,
        *,
        filename: str | None = None,
        is_reusable: bool = True,
        creative: str | None = None,
        greeting: bool = False,
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
        marks = SendOptions(creative=creative, greeting=greeting).marks
        return await self.send(self._outgoing(Endpoint.MESSAGE_ATTACHMENTS, body, upload=upload, **marks))

    async def _send_file(
        self,
        recipient_id: To,
        attachment_type: str,
        source: Source,
        filename: str | None,
        notification_type: Notification,
        keywords: SendKeywords,
    ) -> Any:
        upload = Upload.of(source, filename=filename)
        options = SendOptions.of(keywords, notification_type=notification_type)
        message = {"attachment": {"type": attachment_type, "payload": {}}}
        body = options.applied_to({"recipient": recipient_body(recipient_id), "message": message})
        return await self._answer(self._outgoing(Endpoint.MESSAGES, body, upload=upload, **options.marks))


def is_web_address(source: object) -> bool:
    """Whether *source* is an address for Facebook to fetch rather than a file to send."""
    return isinstance(source, str) and source.lower().startswith(("https://", "http://"))
