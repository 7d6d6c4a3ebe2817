"""`AsyncBot`: pymessenger's `Bot` for asyncio, with the send chain around all that it sends."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from pymessenger.bot import Bot

from .message_methods import MessageMethods
from .outgoing import Notification, SendKeywords, To, recipient_body
from .page_methods import PageMethods


class _Builder(Bot):  # type: ignore[misc]
    """pymessenger's methods without network: each returns the body it would have sent."""

    def send_raw(self, payload: Any) -> Any:
        return payload


_BUILDER = _Builder("")


class AsyncBot(MessageMethods, PageMethods, Bot):  # type: ignore[misc]
    """
    The Messenger bot of pymessenger, for asyncio.

    Methods that pymessenger has return Facebook's decoded answer also when it is an error, as there; with
    *raise_errors*, and when there is no answer, they raise `SendError`. Other methods always raise.

    Each send accepts the keywords of `SendOptions`; *recipient_id* may also be a ``recipient`` object or a `Recipient`.

    Args:
        access_token: Page or Instagram access token; sent in the ``Authorization`` header.
        app_secret: Adds ``appsecret_proof`` to each call.
        api_version: Such as ``"v26.0"``, ``"26.0"`` or ``26.0``.
        graph_url: Scheme and host of the Graph API, ``https://graph.instagram.com`` for Instagram Login.
        page_id: The Page or Instagram account that sends, for the send chain.
        channel: The platform that delivers.
        addressed_by_id: Call the Page or Instagram account by *page_id* in place of ``me``.
        timeout_seconds: For a whole call; at least 90 s for calls with media.
        raise_errors: Raise `SendError` also in the methods that pymessenger has.
        session: An HTTP session to use; it is not closed.
        middlewares: Layers of the send chain, outermost first.
        clock: For pace and waits; ``None`` is the machine's.
        rng: For the jitter of waits before a call is repeated; ``None`` is a new one.

    Raises:
        ValueError: The token is empty or contains white space, *graph_url* is not an address, or there is no *page_id*
            to address by.
        RegistrationError: One of *middlewares* cannot be used as one.
    """

    @property
    def auth_args(self) -> dict[str, str]:
        """Token and proof as query parameters, for code that makes its own calls."""
        proof = self._token_proof()
        return {"access_token": self.access_token} | ({} if proof is None else {"appsecret_proof": proof})

    async def _send_payload(self, payload: Mapping[str, Any]) -> Any:
        return await self.send_raw(payload)

    async def send_text_message(
        self, recipient_id: To, message: str, notification_type: Notification = None, **options: Unpack[SendKeywords]
    ) -> Any:
        """Plain text."""
        body = _built(_BUILDER.send_text_message, recipient_id, message)
        return await self._send_raw_with(body, notification_type, options)

    async def send_message(
        self,
        recipient_id: To,
        message: Mapping[str, Any],
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """A whole ``message`` object."""
        body = _built(_BUILDER.send_message, recipient_id, message)
        return await self._send_raw_with(body, notification_type, options)

    async def send_generic_message(
        self,
        recipient_id: To,
        elements: Sequence[Mapping[str, Any]],
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """Generic template: up to ten cards."""
        body = _built(_BUILDER.send_generic_message, recipient_id, elements)
        return await self._send_raw_with(body, notification_type, options)

    async def send_button_message(
        self,
        recipient_id: To,
        text: str,
        buttons: Sequence[Mapping[str, Any]],
        notification_type: Notification = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """Button template: text with up to three buttons."""
        body = _built(_BUILDER.send_button_message, recipient_id, text, buttons)
        return await self._send_raw_with(body, notification_type, options)

    async def send_action(
        self,
        recipient_id: To,
        action: str,
        notification_type: Notification = None,
        *,
        payload: Mapping[str, Any] | None = None,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """A sender action: ``typing_on``, ``typing_off``, ``mark_seen``; ``react`` and ``unreact`` with a *payload*."""
        body = _built(_BUILDER.send_action, recipient_id, action)
        if payload is not None:
            body["payload"] = payload
        return await self._send_raw_with(body, notification_type, options)

    async def send_image_url(
        self, recipient_id: To, image_url: str, notification_type: Notification = None, **options: Unpack[SendKeywords]
    ) -> Any:
        """An image that Facebook fetches."""
        body = _built(_BUILDER.send_image_url, recipient_id, image_url)
        return await self._send_raw_with(body, notification_type, options)

    async def send_audio_url(
        self, recipient_id: To, audio_url: str, notification_type: Notification = None, **options: Unpack[SendKeywords]
    ) -> Any:
        """An audio file that Facebook fetches."""
        body = _built(_BUILDER.send_audio_url, recipient_id, audio_url)
        return await self._send_raw_with(body, notification_type, options)

    async def send_video_url(
        self, recipient_id: To, video_url: str, notification_type: Notification = None, **options: Unpack[SendKeywords]
    ) -> Any:
        """A video that Facebook fetches."""
        body = _built(_BUILDER.send_video_url, recipient_id, video_url)
        # pymessenger 0.0.7.0 sends it as ``audio``.
        body["message"] = json.dumps({"attachment": {"type": "video", "payload": {"url": video_url}}})
        return await self._send_raw_with(body, notification_type, options)

    async def send_file_url(
        self, recipient_id: To, file_url: str, notification_type: Notification = None, **options: Unpack[SendKeywords]
    ) -> Any:
        """A file that Facebook fetches."""
        body = _built(_BUILDER.send_file_url, recipient_id, file_url)
        return await self._send_raw_with(body, notification_type, options)


def _built(build: Callable[..., dict[str, Any]], recipient_id: To, *content: Any) -> dict[str, Any]:
    """The body of pymessenger's method *build*, for any form of recipient."""
    if isinstance(recipient_id, (str, int)):
        return build(recipient_id, *content)
    body = build("", *content)
    recipient = dict(recipient_body(recipient_id))
    body["recipient"] = json.dumps(recipient) if isinstance(body["recipient"], str) else recipient
    return body
