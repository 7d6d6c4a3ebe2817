"""What the store keeps of a person: the keys and stored forms of the state entries, and of the waits for deliveries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import attrs
import orjson

from ..kochava.records import GREETING, SCHEMA, Record, encode, stored_form
from ..messenger.events import Channel
from ..store.records import Condition, Entry, Mark, Queue
from .consent import PrivacySettings, Suppression
from .funnel import Sent, offers_from
from .people import Person, encodable, keyed_hash, record_id

MOST_VALUES = 10
"""Linked values of one key that are remembered; Kochava's own SDK keeps ten links a device."""

MOST_SENT_NAMES = 50
MOST_SENT_VALUES = 20
"""Ids of a person that are remembered for a deletion request: so many names, and so many values of each."""

StateKey: TypeAlias = tuple[str, str]
"""Lane and key of a state entry."""

_SUPPRESSIONS = {b"opted out": Suppression.OPTED_OUT, b"forgotten": Suppression.FORGOTTEN}


class Keys:
    """
    The keys of one person's state entries.

    Args:
        app_id: The Kochava app.
        name: The person's id as it leaves. Ids are page-scoped, so the Page is not needed.
        prefix: Put before all, so that a dry run leaves no traces in what counts.
    """

    __slots__ = ("app_id", "funnel", "identities", "known", "lane", "name", "prefix", "referral")

    def __init__(self, app_id: str, name: str, prefix: str = "") -> None:
        self.app_id = app_id
        self.name = name
        self.prefix = prefix
        self.lane = lane = f"{app_id}/{name}"
        self.funnel: StateKey = (lane, f"{prefix}funnel:{app_id}:{name}")
        """The greeting that was shown, if any."""
        self.referral: StateKey = (lane, f"{prefix}referral:{app_id}:{name}")
        """Where they came from."""
        self.identities: StateKey = (lane, f"{prefix}identities:{app_id}:{name}")
        """What was linked."""
        self.known: StateKey = (lane, f"{prefix}known:{app_id}:{name}")
        """What Kochava was told of them."""

    @property
    def all(self) -> tuple[StateKey, ...]:
        """Each of them."""
        return self.funnel, self.referral, self.identities, self.known


def reference_name(user_ref: str, tracker: str) -> str:
    """The name under which a greeting to a `user_ref` is stored until its person is known, for `greeting_key`."""
    return f"user_ref:{user_ref}" if tracker == GREETING else f"user_ref:{user_ref}:{tracker}"


def greeting_key(app_id: str, sent_to: str, prefix: str) -> StateKey:
    """The key of a greeting to a person whose id was not known; *sent_to* is ``mid:…`` or ``user_ref:…``."""
    return f"{app_id}/{sent_to}", f"{prefix}join:{app_id}:{sent_to}"


def comment_key(app_id: str, comment_id: str, prefix: str) -> StateKey:
    """The key of the ad that a comment was made on, until a private reply names the person."""
    return f"{app_id}/comment:{comment_id}", f"{prefix}comment:{app_id}:{comment_id}"


def page_key(page_id: str | None, prefix: str) -> StateKey:
    """The key of the fact that a Page has delivery events."""
    return page_id or "", f"{prefix}deliveries:{page_id or ''}"


def channel_key(page_id: str, prefix: str) -> StateKey:
    """The key of the channel of a Page, kept where it is another than the first."""
    return page_id, f"{prefix}channel:{page_id}"


def channel_of(stored: bytes | None) -> Channel | None:
    """Read the value under a `channel_key`; ``None`` when there is none, or it cannot be read."""
    return next((channel for channel in Channel if stored == channel.encode()), None)


def suppression_key(settings: PrivacySettings, app_id: str, name: str) -> StateKey:
    """
    The key of the fact that nothing of a person is sent, made from their id as it leaves.

    Args:
        app_id: The App GUID at the top of the settings, which is the default of `PrivacySettings.tombstone_key`.
    """
    # The word is that of stores written by the first release.
    key = app_id if settings.tombstone_key is None else settings.tombstone_key.value
    return f"{app_id}/{name}", "barred:" + keyed_hash(key, name)


def suppression_of(stored: bytes | None) -> Suppression | None:
    """Read the value under a `suppression_key`."""
    return None if stored is None else _SUPPRESSIONS.get(stored, Suppression.OPTED_OUT)


def values_of(keys: Iterable[StateKey], stored: Mapping[str, bytes]) -> dict[StateKey, bytes]:
    """The answer of `Store.recall` to *keys*, by lane and key."""
    return {key: stored[key[1]] for key in keys if key[1] in stored}


def change(
    key: StateKey, value: bytes | None, stored: Mapping[StateKey, bytes], *, expires_after_seconds: float | None = None
) -> Mark:
    """A new value. Where another process changed the stored one in between, the commit fails, to be planned anew."""
    return Mark(
        lane=key[0],
        key=key[1],
        value=value,
        expires_after_seconds=expires_after_seconds,
        condition=Condition.IF_EQUAL,
        expected=stored.get(key),
    )


def create(key: StateKey, value: bytes) -> Mark:
    """A value that is written once. Where another process wrote it before, the commit fails, to be planned anew."""
    return Mark(lane=key[0], key=key[1], value=value, condition=Condition.IF_ABSENT)


def require_absent(key: StateKey) -> Mark:
    """Write nothing, and let the commit fail when there is a value under *key* by then."""
    return Mark(lane=key[0], key=key[1], value=None, condition=Condition.IF_ABSENT)


def write(key: StateKey, value: bytes | None, *, expires_after_seconds: float | None = None) -> Mark:
    """A value, whatever was stored before; ``None`` deletes."""
    return Mark(lane=key[0], key=key[1], value=value, expires_after_seconds=expires_after_seconds)


@attrs.frozen(kw_only=True)
class IdentityState:
    """
    What is known of a person's identities.

    Attributes:
        linked: By key, hashes of the values that were linked, newest last.
        pending: Values that wait for the person's first record, before which Kochava ties no link to them.
        values: By key, the newest value, of those keys that go into events.
    """

    linked: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    pending: Mapping[str, str] = attrs.field(factory=dict)
    values: Mapping[str, str] = attrs.field(factory=dict)

    def learn(self, identities: Mapping[str, str], *, kept: Iterable[str]) -> IdentityState:
        """The state with further identities; of those under the keys *kept*, the value is needed again later."""
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
        return stored_form(attrs.asdict(self, recurse=False))

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> IdentityState:
        """Read the stored form; what is missing or not readable is a fresh state."""
        if stored is None:
            return NO_IDENTITIES
        try:
            fields = orjson.loads(stored)
            fields["linked"] = {key: tuple(digests) for key, digests in fields["linked"].items()}
            return cls(**fields)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return cls()


def _digest(value: str) -> str:
    return hashlib.blake2b(value.encode(), digest_size=12).hexdigest()


NO_IDENTITIES = IdentityState()


@attrs.define(kw_only=True)
class KnownState:
    """
    What Kochava was told of a person.

    Attributes:
        first_record: ``installed`` or ``seen``: the person's first record came with an install, or without; empty when
            there is none, but at most pings.
        ids: By name, the values that were sent, newest last: what a deletion request names.
        is_user_ref: They are known by a reference, which a call outside of handling does not say.
        user_refs: Names of the references that are the same person.
        session_at: When their last session began, in seconds; 0.0 for none.
    """

    first_record: str = ""
    ids: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    is_user_ref: bool = False
    user_refs: tuple[str, ...] = ()
    session_at: float = 0.0

    def with_ids(self, ids: Mapping[str, str]) -> KnownState:
        """The state after records with these ids."""
        new = {
            name: value
            for name, value in ids.items()
            if value and value not in self.ids.get(name, ()) and encodable(name + value)
        }
        if not new:
            return self
        kept = dict(self.ids)
        for name, value in new.items():
            if name in kept or len(kept) < MOST_SENT_NAMES:
                kept[name] = (*kept.get(name, ()), value)[-MOST_SENT_VALUES:]
        return attrs.evolve(self, ids=kept)

    def joined(self, user_refs: Iterable[str]) -> KnownState:
        """The state after these references turned out to be the person."""
        new = tuple(user_ref for user_ref in user_refs if user_ref not in self.user_refs)
        return attrs.evolve(self, user_refs=(*self.user_refs, *new)[-MOST_SENT_VALUES:]) if new else self

    def to_bytes(self) -> bytes:
        """The stored form."""
        return stored_form(attrs.asdict(self, recurse=False))

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> KnownState:
        """Read the stored form. One that cannot be read says at least that there is a record."""
        if stored is None:
            return cls()
        try:
            fields = orjson.loads(stored)
            ids = fields["ids"]
            for name, values in ids.items():
                ids[name] = tuple(values)
            fields["user_refs"] = tuple(fields["user_refs"])
            return cls(**fields)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return cls(first_record="seen")


@attrs.frozen(kw_only=True)
class ReferralState:
    """A person's first and last referral, as of `events.referral_facts`, and when they came, in seconds."""

    first: Mapping[str, str] = attrs.field(factory=dict)
    last: Mapping[str, str] = attrs.field(factory=dict)
    first_at: float = 0.0
    last_at: float = 0.0

    def with_referral(self, facts: Mapping[str, str], at: float) -> ReferralState:
        """The state after one more referral; empty facts are none."""
        if not facts:
            return self
        if not self.first:
            return ReferralState(first=facts, last=facts, first_at=at, last_at=at)
        return attrs.evolve(self, last=facts, last_at=at) if at >= self.last_at else self

    def facts(self, which: str, *, since: float, until: float | None = None) -> Mapping[str, str]:
        """The ``first`` or ``last`` one, unless it is older than *since* or came after *until*."""
        facts, at = (self.first, self.first_at) if which == "first" else (self.last, self.last_at)
        return facts if at >= since and (until is None or at < until) else {}

    def to_bytes(self) -> bytes:
        """The stored form."""
        return stored_form(attrs.asdict(self, recurse=False))

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> ReferralState:
        """Read the stored form; what is missing or not readable is a fresh state."""
        if stored is None:
            return NO_REFERRAL
        try:
            return cls(**orjson.loads(stored))
        except (orjson.JSONDecodeError, TypeError):
            return NO_REFERRAL


NO_REFERRAL = ReferralState()


def sent_to_bytes(sent: Sent) -> bytes:
    """The stored form of a greeting whose person is not known yet."""
    return stored_form(attrs.asdict(sent))


def sent_from_bytes(stored: bytes | None) -> Sent | None:
    """Read that form; ``None`` when there is none, or it cannot be read."""
    if stored is None:
        return None
    try:
        fields = orjson.loads(stored)
        return Sent(**{**fields, "offers": offers_from(fields["offers"])})
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def record_entry(record: Record, now: float, *, label: str, lane: str | None = None) -> Entry:
    """The entry of a record; raises a `TypeError` or `ValueError` if it holds something that has no stored form."""
    return Entry(
        id=record.id,
        queue=record.queue,
        lane=lane or record.lane,
        schema=SCHEMA,
        created_at=now,
        body=encode(record),
        kind=record.kind,
        name=getattr(record, "event_name", ""),
        label=label,
    )


@attrs.frozen(kw_only=True)
class Timer:
    """
    One greeting's wait for a delivery event that may never come. After it, the greeting counts as shown.

    Attributes:
        name: The person's id as it leaves; a hash if `is_hashed`, made from a `user_ref` if `is_by_reference`.
        due_at: When the wait is over, in seconds since the epoch.
    """

    app_id: str
    name: str
    is_hashed: bool
    page_id: str | None
    channel: Channel
    greeting: str
    due_at: float
    is_by_reference: bool = False

    @property
    def person(self) -> Person:
        """The person who was greeted."""
        return Person(
            user_id=self.name,
            page_id=self.page_id,
            channel=self.channel,
            is_hashed=self.is_hashed,
            is_by_reference=self.is_by_reference,
        )

    def entry(self, now: float, *, prefix: str) -> Entry:
        """For the store, in the lane of the person's records."""
        return Entry(
            id=prefix + record_id("timer", self.app_id, self.name, self.greeting),
            queue=Queue.TIMER,
            lane=f"{self.app_id}/{self.name}",
            created_at=now,
            body=stored_form(attrs.asdict(self, recurse=False)),
            wait_seconds=max(0.0, self.due_at - now),
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> Timer | None:
        """Read the stored form; ``None`` when it cannot be read."""
        try:
            fields = orjson.loads(body)
            return cls(**{**fields, "channel": Channel(fields["channel"])})
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None
