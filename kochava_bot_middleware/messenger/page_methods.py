"""Methods of the bot for the Page: profile, menus, personas, thread control, people's profiles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from ..exceptions import SendError
from .events import Channel
from .outgoing import Endpoint, To, recipient_body
from .sender import MessageSender

PROFILE_FIELDS: Final = (
    "get_started",
    "greeting",
    "ice_breakers",
    "persistent_menu",
    "whitelisted_domains",
    "account_linking_url",
    "commands",
)
"""Properties of the messenger profile that can be set; on Instagram only ``ice_breakers`` and ``persistent_menu``."""


class PageMethods(MessageSender):
    """
    What changes something that people see (profile, menus, personas) passes the send chain.

    The methods of pymessenger's main branch return Facebook's answer also when it is an error, unless `raise_errors`;
    these are `get_user_info`, and the setting and removing of get-started and menu. All others raise `SendError`.
    """

    async def get_user_info(self, recipient_id: str, fields: Sequence[str] | None = None) -> Any:
        """Profile of a person, or ``None`` where Facebook gives none; `get_user_profile` raises the reason."""
        params = {} if fields is None else {"fields": fields if isinstance(fields, str) else ",".join(fields)}
        try:
            return await self.call("GET", _segment(recipient_id), params=params)
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

    async def set_messenger_profile(
        self, profile: Mapping[str, Any], *, platform: str | None = None, creative: str | None = None
    ) -> Any:
        """
        Set the given properties; others stay. Ten calls in ten minutes are allowed.

        Args:
            platform: ``instagram`` or ``messenger``; ``None`` is the bot's channel.
            creative: Name of the creative shown, for tracking.
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
        """Set a menu for one person. Ten calls in ten minutes for each person are allowed; not on Instagram."""
        body = {"psid": user_id, "persistent_menu": list(persistent_menu)}
        return await self.send(self._outgoing(Endpoint.CUSTOM_USER_SETTINGS, body, creative=creative))

    async def get_user_menu(self, user_id: str) -> Any:
        """The menus of one person."""
        return await self.call("GET", f"me/{Endpoint.CUSTOM_USER_SETTINGS}", params={"psid": user_id})

    async def delete_user_menu(self, user_id: str) -> Any:
        """Remove the menu of one person, who then sees the Page's."""
        params = {"psid": user_id, "params": json.dumps(["persistent_menu"])}
        outgoing = self._outgoing(Endpoint.CUSTOM_USER_SETTINGS, None, method="DELETE", params=params)
        return await self.send(outgoing)

    async def create_persona(self, name: str, profile_picture_url: str) -> Any:
        """Create a persona that can send messages; the answer has its ``id``."""
        body = {"name": name, "profile_picture_url": profile_picture_url}
        return await self.send(self._outgoing(Endpoint.PERSONAS, body))

    async def get_persona(self, persona_id: str) -> Any:
        """Name and picture of a persona."""
        return await self.call("GET", _segment(persona_id))

    async def list_personas(self) -> Any:
        """The first page of the personas of the Page."""
        return await self.call("GET", f"me/{Endpoint.PERSONAS}")

    async def delete_persona(self, persona_id: str) -> Any:
        """Delete a persona; its messages stay."""
        return await self.call("DELETE", _segment(persona_id))

    async def get_user_profile(
        self, user_id: str, fields: Sequence[str] = ("first_name", "last_name", "profile_pic")
    ) -> Any:
        """What a person shares with the Page; an empty object where they share nothing."""
        return await self.call("GET", _segment(user_id), params={"fields": ",".join(fields)})

    async def pass_thread_control(self, recipient_id: To, target_app_id: str, metadata: str | None = None) -> Any:
        """Pass control to another app; the Page's inbox has id 263902037430900."""
        return await self._thread("pass", recipient_id, target_app_id=target_app_id, metadata=metadata)

    async def take_thread_control(self, recipient_id: To, metadata: str | None = None) -> Any:
        """Take control; only the default app may."""
        return await self._thread("take", recipient_id, metadata=metadata)

    async def request_thread_control(self, recipient_id: To, metadata: str | None = None) -> Any:
        """Request control from the app that has it."""
        return await self._thread("request", recipient_id, metadata=metadata)

    async def release_thread_control(self, recipient_id: To, metadata: str | None = None) -> Any:
        """Release control, to the default app or to none."""
        return await self._thread("release", recipient_id, metadata=metadata)

    async def extend_thread_control(self, recipient_id: To, duration_seconds: int) -> Any:
        """Keep control for longer than 24 hours, seven days at most."""
        return await self._thread("extend", recipient_id, duration=duration_seconds)

    async def get_thread_owner(self, user_id: str) -> Any:
        """The app that has control of the thread with a person."""
        return await self.call("GET", "me/thread_owner", params={"recipient": user_id})

    async def _thread(self, verb: str, recipient_id: To, **members: Any) -> Any:
        body = {"recipient": recipient_body(recipient_id)}
        body |= {name: value for name, value in members.items() if value is not None}
        return await self.call("POST", f"me/{verb}_thread_control", body=body)

    async def unsubscribe_from_marketing_messages(self, people: Sequence[Mapping[str, str]]) -> Any:
        """
        End the subscription of people to the Page's marketing messages; the answer has their ``invalid_rows_count``.

        Args:
            people: One object for each: ``{"psid": …}``, ``{"subscriber_token": …}``, or ``phone``, ``email`` or both
                of these, plain or as SHA-256.
        """
        path = f"{_segment(self.page_id or 'me')}/messaging_customer_base/unsubscribe"
        return await self.call("POST", path, body={"data": list(people)})

    def _platform(self, platform: str | None) -> dict[str, str]:
        if platform is None and self.channel is Channel.INSTAGRAM:
            platform = Channel.INSTAGRAM.value
        return {} if platform is None else {"platform": platform}


def _segment(identifier: str) -> str:
    return quote(str(identifier), safe="")
