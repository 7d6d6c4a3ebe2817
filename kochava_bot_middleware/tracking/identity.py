"""
Who a record is about, and what makes two records the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs

from ..messenger.events import Channel
from ..settings import not_empty


@attrs.frozen(kw_only=True)
class IdentitySettings:
    """
    Under which names a person's ids travel to Kochava.

    A page-scoped id (PSID) is not the app-scoped id of Facebook Login: the same person has another id for each Page,
    each app, and on Instagram.

    Attributes:
        messenger_device_id_key: Member of ``device_ids`` for a PSID.
        instagram_device_id_key: Member of ``device_ids`` for an Instagram-scoped id.
        messenger_link_key: The same of an identity link; ``None``: as in events. Kochava's page on identity links
            writes ``fb_userid`` where its bot page writes ``fb_user_id``.
        instagram_link_key: Likewise.
        identities_in_events: Names of identities that, once linked, are also members of every event's ``device_ids``.
        identify_on_linking: A callable of an account-linking event, plain or async, that gives the identities to link,
            or ``None``.
        wait_for_first_record: An identity link of somebody Kochava has no record of waits for their first one, since
            Kochava would not tie it.
    """

    messenger_device_id_key: str = attrs.field(default="fb_user_id", validator=not_empty)
    instagram_device_id_key: str = attrs.field(default="ig_user_id", validator=not_empty)
    messenger_link_key: str | None = attrs.field(default=None, validator=not_empty)
    instagram_link_key: str | None = attrs.field(default=None, validator=not_empty)
    identities_in_events: tuple[str, ...] = ()
    identify_on_linking: Callable[[Any], Any] | None = None
    wait_for_first_record: bool = True

    def device_ids(self, channel: Channel, user_id: str) -> Mapping[str, str]:
        """
        What Kochava knows the person by.
        """
        messenger = channel is Channel.MESSENGER
        return {self.messenger_device_id_key if messenger else self.instagram_device_id_key: user_id}

    def link_ids(self, channel: Channel, user_id: str) -> Mapping[str, str]:
        """
        What an identity link names the person by.
        """
        key = self.messenger_link_key if channel is Channel.MESSENGER else self.instagram_link_key
        return self.device_ids(channel, user_id) if key is None else {key: user_id}


@attrs.frozen(kw_only=True)
class Person:
    """
    Whom a record is about.

    Attributes:
        user_id: PSID, IGSID or `user_ref`.
        page_id: The Page they wrote to; ``None`` when unknown.
        channel: Where.
        is_hashed: `user_id` is the keyed hash under which the person is told to Kochava.
    """

    user_id: str
    page_id: str | None = None
    channel: Channel = Channel.MESSENGER
    is_hashed: bool = False


def record_id(*parts: str | int | None) -> str:
    """
    The id of a happening: the same parts give the same id, in every process and after every restart.
    """
    material = "\x1f".join("" if part is None else str(part) for part in parts)
    return hashlib.blake2b(material.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def usertime(timestamp: datetime | None, now: float) -> int:
    """
    When it happened, in whole seconds: the webhook's time, or *now* when that is missing or in the future.
    """
    if timestamp is None:
        return int(now)
    return int(min(timestamp.timestamp(), now))
