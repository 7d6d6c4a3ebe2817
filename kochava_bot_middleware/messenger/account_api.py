"""The methods of pymessenger's main branch, which was never released, with that branch's bodies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Unpack
from urllib.parse import quote

from ..exceptions import SendError
from .events import Channel
from .outgoing import Endpoint
from .send_options import Notification, NotificationType, SendKeywords, To, recipient_body
from .sender import MessageSender


class UnreleasedMethods(MessageSender):
    """Bodies always name the notification type, as there; pass ``None`` to leave it out."""

    async def send_recipient(
        self,
        recipient_id: To,
        payload: Mapping[str, Any],
        notification_type: Notification = NotificationType.REGULAR,
        **options: Unpack[SendKeywords],
    ) -> Any:
        """A Send API body without its recipient, which is put in; *payload* itself stays as it is."""
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

    async def get_user_info(self, recipient_id: str, fields: Sequence[str] | None = None) -> Any:
        """Profile of a person, or ``None`` where Facebook gives none. See `get_user_profile` for the reason."""
        params = {} if fields is None else {"fields": fields if isinstance(fields, str) else ",".join(fields)}
        try:
            return await self.call("GET", quote(str(recipient_id), safe=""), params=params)
        except SendError as error:
            if self.raise_errors or error.status is None:
                raise
            return None

    async def set_get_started(self, gs_obj: Mapping[str, Any]) -> Any:
        """Set the profile's get-started button: ``{"get_started": {"payload": "…"}}``."""
        return await self._answer(self._outgoing(Endpoint.MESSENGER_PROFILE, gs_obj))

    async def set_persistent_menu(self, pm_obj: Mapping[str, Any]) -> Any:
        """Set the profile's menu: ``{"persistent_menu": […]}``."""
        return await self._answer(self._outgoing(Endpoint.MESSENGER_PROFILE, pm_obj))

    async def remove_get_started(self) -> Any:
        """Remove the get-started button; refused by Facebook while there is a menu."""
        return await self._remove("get_started")

    async def remove_persistent_menu(self) -> Any:
        """Remove the menu."""
        return await self._remove("persistent_menu")

    async def _remove(self, field: str) -> Any:
        return await self._answer(self._outgoing(Endpoint.MESSENGER_PROFILE, {"fields": [field]}, method="DELETE"))


PROFILE_FIELDS: Final = (
    "get_started",
    "greeting",
    "ice_breakers",
    "persistent_menu",
    "whitelisted_domains",
    "account_linking_url",
    "commands",
)
"""Properties of the messenger profile that can be set; Instagram knows ``ice_breakers`` and ``persistent_menu``."""


class AccountMethods(MessageSender):
    """
    All methods raise `SendError` for what Facebook refuses and return its decoded answer otherwise.

    What changes something that people see (profile, menus, personas) passes the send chain.
    """

    async def set_messenger_profile(
        self, profile: Mapping[str, Any], *, platform: str | None = None, creative: str | None = None
    ) -> Any:
        """
        Set the named properties; others stay. Ten calls in ten minutes are allowed.

        Args:
            platform: ``instagram`` or ``messenger``; ``None`` takes the bot's channel.
            creative: Name of what is shown, for tracking.
        """
        params = self._platform(platform)
        outgoing = self._outgoing(Endpoint.MESSENGER_PROFILE, profile, params=params, creative=creative)
        return await self.send(outgoing)

    async def get_messenger_profile(
        self, fields: Sequence[str] = PROFILE_FIELDS, *, platform: str | None = None
    ) -> Any:
        """Read properties of the profile."""
        params = {"fields": ",".join(fields), **self._platform(platform)}
        return await self.call("GET", f"me/{Endpoint.MESSENGER_PROFILE}", params=params)

    async def delete_messenger_profile(self, fields: Sequence[str], *, platform: str | None = None) -> Any:
        """Remove properties of the profile."""
        body = {"fields": list(fields)}
        outgoing = self._outgoing(Endpoint.MESSENGER_PROFILE, body, method="DELETE", params=self._platform(platform))
        return await self.send(outgoing)

    async def set_user_menu(
        self, user_id: str, persistent_menu: Sequence[Mapping[str, Any]], *, creative: str | None = None
    ) -> Any:
        """
        Give one person a menu of their own. Ten calls in ten minutes for each person are allowed; not on Instagram.
        """
        body = {"psid": user_id, "persistent_menu": list(persistent_menu)}
        return await self.send(self._outgoing(Endpoint.CUSTOM_USER_SETTINGS, body, creative=creative))

    async def get_user_menu(self, user_id: str) -> Any:
        """The menus that one person sees."""
        return await self.call("GET", f"me/{Endpoint.CUSTOM_USER_SETTINGS}", params={"psid": user_id})

    async def delete_user_menu(self, user_id: str) -> Any:
        """Give one person the Page's menu again."""
        params = {"psid": user_id, "params": json.dumps(["persistent_menu"])}
        outgoing = self._outgoing(Endpoint.CUSTOM_USER_SETTINGS, None, method="DELETE", params=params)
        return await self.send(outgoing)

    async def create_persona(self, name: str, profile_picture_url: str) -> Any:
        """A persona that messages can be sent as; the answer has its ``id``."""
        body = {"name": name, "profile_picture_url": profile_picture_url}
        return await self.send(self._outgoing(Endpoint.PERSONAS, body))

    async def get_persona(self, persona_id: str) -> Any:
        """Name and picture of a persona."""
        return await self.call("GET", _segment(persona_id))

    async def list_personas(self) -> Any:
        """The Page's personas, a page of them at a time."""
        return await self.call("GET", f"me/{Endpoint.PERSONAS}")

    async def delete_persona(self, persona_id: str) -> Any:
        """Remove a persona; its messages stay."""
        return await self.call("DELETE", _segment(persona_id))

    async def get_user_profile(
        self, user_id: str, fields: Sequence[str] = ("first_name", "last_name", "profile_pic")
    ) -> Any:
        """What a person lets the Page know of them; an empty object where they do not."""
        return await self.call("GET", _segment(user_id), params={"fields": ",".join(fields)})

    async def pass_thread_control(self, recipient_id: To, target_app_id: str, metadata: str | None = None) -> Any:
        """Hand the conversation to another app; the Page's inbox has id 263902037430900."""
        return await self._thread("pass", recipient_id, target_app_id=target_app_id, metadata=metadata)

    async def take_thread_control(self, recipient_id: To, metadata: str | None = None) -> Any:
        """Take the conversation; only the default app may."""
        return await self._thread("take", recipient_id, metadata=metadata)

    async def request_thread_control(self, recipient_id: To, metadata: str | None = None) -> Any:
        """Ask the app that owns the conversation for it."""
        return await self._thread("request", recipient_id, metadata=metadata)

    async def release_thread_control(self, recipient_id: To, metadata: str | None = None) -> Any:
        """Let the conversation go, to the default app or to nobody."""
        return await self._thread("release", recipient_id, metadata=metadata)

    async def extend_thread_control(self, recipient_id: To, duration_seconds: int) -> Any:
        """Keep the conversation for longer than the usual 24 hours, seven days at most."""
        return await self._thread("extend", recipient_id, duration=duration_seconds)

    async def get_thread_owner(self, user_id: str) -> Any:
        """Which app owns the conversation with a person."""
        return await self.call("GET", "me/thread_owner", params={"recipient": user_id})

    async def _thread(self, verb: str, recipient_id: To, **members: Any) -> Any:
        body = {"recipient": recipient_body(recipient_id)}
        body |= {name: value for name, value in members.items() if value is not None}
        return await self.call("POST", f"me/{verb}_thread_control", body=body)

    def _platform(self, platform: str | None) -> dict[str, str]:
        if platform is None and self.channel is Channel.INSTAGRAM:
            platform = Channel.INSTAGRAM.value
        return {} if platform is None else {"platform": platform}


def _segment(identifier: str) -> str:
    return quote(str(identifier), safe="")
