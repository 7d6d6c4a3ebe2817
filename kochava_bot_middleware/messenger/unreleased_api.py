"""
The methods of pymessenger's main branch, which was never released, with that branch's bodies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack
from urllib.parse import quote

from ..exceptions import SendError
from .outgoing import Endpoint
from .send_options import Notification, NotificationType, SendKeywords, To, recipient_body
from .sender import Sender


class UnreleasedMethods(Sender):
    """
    Bodies always name the notification type, as there; pass ``None`` to leave it out.
    """

    async def send_recipient(
        self,
        recipient_id: To,
        payload: Mapping[str, Any],
        notification_type: Notification = NotificationType.REGULAR,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """
        A Send API body without its recipient, which is put in; *payload* itself stays as it is.
        """
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
        """
        Media that Facebook fetches, as *attachment_type*: ``image``, ``audio``, ``video`` or ``file``.
        """
        message = {"attachment": {"type": attachment_type, "payload": {"url": attachment_url}}}
        return await self.send_recipient(recipient_id, {"message": message}, notification_type, **options)

    async def get_user_info(self, recipient_id: str, fields: Sequence[str] | None = None) -> Any:
        """
        Profile of a person, or ``None`` where Facebook gives none. See `get_user_profile` for the reason.
        """
        params = {} if fields is None else {"fields": fields if isinstance(fields, str) else ",".join(fields)}
        try:
            return await self.call("GET", quote(str(recipient_id), safe=""), params=params)
        except SendError as error:
            if self.raise_errors or error.status is None:
                raise
            return None

    async def set_get_started(self, gs_obj: Mapping[str, Any]) -> Any:
        """
        Set the profile's get-started button: ``{"get_started": {"payload": "…"}}``.
        """
        return await self._answer(self._outgoing(Endpoint.MESSENGER_PROFILE, gs_obj))

    async def set_persistent_menu(self, pm_obj: Mapping[str, Any]) -> Any:
        """
        Set the profile's menu: ``{"persistent_menu": […]}``.
        """
        return await self._answer(self._outgoing(Endpoint.MESSENGER_PROFILE, pm_obj))

    async def remove_get_started(self) -> Any:
        """
        Remove the get-started button; refused by Facebook while there is a menu.
        """
        return await self._remove("get_started")

    async def remove_persistent_menu(self) -> Any:
        """
        Remove the menu.
        """
        return await self._remove("persistent_menu")

    async def _remove(self, field: str) -> Any:
        return await self._answer(self._outgoing(Endpoint.MESSENGER_PROFILE, {"fields": [field]}, method="DELETE"))
