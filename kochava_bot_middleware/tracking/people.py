"""Who a record is about, and what makes two records the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs
import orjson

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
        """What Kochava knows the person by."""
        messenger = channel is Channel.MESSENGER
        return {self.messenger_device_id_key if messenger else self.instagram_device_id_key: user_id}

    def link_ids(self, channel: Channel, user_id: str) -> Mapping[str, str]:
        """What an identity link names the person by."""
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
    """The id of a happening: the same parts give the same id, in every process and after every restart."""
    material = "\x1f".join("" if part is None else str(part) for part in parts)
    return hashlib.blake2b(material.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def usertime(timestamp: datetime | None, now: float) -> int:
    """When it happened, in whole seconds: the webhook's time, or *now* when that is missing or in the future."""
    if timestamp is None:
        return int(now)
    return int(min(timestamp.timestamp(), now))


MOST_VALUES = 10
"""Linked values of one key that are remembered; Kochava's own SDK keeps ten links a device."""


def clean_identities(identities: Any) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """The members that can be linked, and (key, reason) of the others."""
    if not isinstance(identities, Mapping):
        return {}, (("", "is not a mapping"),)
    clean: dict[str, str] = {}
    problems: list[tuple[str, str]] = []
    for key, value in identities.items():
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(key, str) or not key.strip() or not key.isprintable():
            problems.append((f"(a key of type {type(key).__name__})", "is not a name"))
        elif not isinstance(text, str) or not text.strip():
            problems.append((key[:100], "has no text as value"))
        elif not _encodable(key + text):
            problems.append((key[:100], "holds half a character (a lone surrogate)"))
        else:
            clean[key] = text
    return clean, tuple(problems)


@attrs.frozen(kw_only=True)
class IdentityState:
    """
    What is known of a person's identities.

    Attributes:
        linked: By key, hashes of the values that were linked, newest last.
        pending: Values that wait for the person's first record: Kochava does not tie a link to somebody unknown.
        values: By key, the newest value, of those keys that go into events.
    """

    linked: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    pending: Mapping[str, str] = attrs.field(factory=dict)
    values: Mapping[str, str] = attrs.field(factory=dict)

    def learn(self, identities: Mapping[str, str], *, kept: Iterable[str]) -> IdentityState:
        """
        Take identities in; those that were linked before change nothing.

        Args:
            kept: Keys whose value is needed again later.
        """
        if not identities:
            return self
        new = {key: value for key, value in identities.items() if _digest(value) not in self.linked.get(key, ())}
        values = {**self.values, **{key: value for key, value in identities.items() if key in kept}}
        return attrs.evolve(self, pending={**self.pending, **new}, values=values)

    def link(self) -> IdentityState:
        """The state after all that is pending was linked."""
        linked = dict(self.linked)
        for key, value in self.pending.items():
            linked[key] = (*linked.get(key, ()), _digest(value))[-MOST_VALUES:]
        return attrs.evolve(self, linked=linked, pending={})

    def to_bytes(self) -> bytes:
        """The stored form."""
        return orjson.dumps(attrs.asdict(self))

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> IdentityState:
        """Read the stored form; what is missing or not readable is a fresh state."""
        if stored is None:
            return _FRESH
        try:
            fields = orjson.loads(stored)
            fields["linked"] = {key: tuple(digests) for key, digests in fields["linked"].items()}
            return cls(**fields)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return cls()


_FRESH = IdentityState()


def _digest(value: str) -> str:
    return hashlib.blake2b(value.encode(), digest_size=12).hexdigest()


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
