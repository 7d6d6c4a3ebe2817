"""What callables of the settings answer: whether anything may be sent of a person, and what of a record."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs

from ..settings import Rule, Secret, at_least, check_rules, kind_of, needed_by, one_of
from .people import keyed_hash, one_parameter

MOST_REASON_CHARACTERS = 100


class Suppression(enum.StrEnum):
    """Why nothing of a person is sent; the value is the reason with which records are dropped."""

    OPTED_OUT = "opted out"
    FORGOTTEN = "forgotten"
    CONSENT_REFUSED = "consent refused"
    CONSENT_UNKNOWN = "consent unknown"


@attrs.frozen(kw_only=True)
class Consent:
    """
    What a person agreed to, as Kochava's ``gdpr_privacy_consent`` wants it.

    Attributes:
        gdpr_applies: Needed when no IP address of the person is sent.
        ad_user_data: May their data be used for advertising? Needed, with `ad_personalization`, without a `tc_string`.
        ad_personalization: May advertising be personalised for them?
        tc_string: Of a consent management platform; needed without the other two.

    Raises:
        ValueError: Neither a `tc_string` nor both of the others; or one is of another type.
    """

    gdpr_applies: bool = True
    ad_user_data: bool | None = None
    ad_personalization: bool | None = None
    tc_string: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.tc_string is None and (self.ad_user_data is None or self.ad_personalization is None):
            msg = "a Consent needs a tc_string, or both ad_user_data and ad_personalization"
            raise ValueError(msg)
        for name in ("gdpr_applies", "ad_user_data", "ad_personalization"):
            if getattr(self, name) not in (True, False, None):
                msg = f"{name} of a Consent is True or False, got {kind_of(getattr(self, name))}"
                raise ValueError(msg)
        if self.tc_string is not None and not isinstance(self.tc_string, str):
            msg = f"tc_string of a Consent is text, got {kind_of(self.tc_string)}"
            raise ValueError(msg)

    def as_body(self) -> dict[str, int | str]:
        """The object on the wire, its flags 0 or 1."""
        members: dict[str, bool | str | None] = attrs.asdict(self)
        return {
            name: int(value) if isinstance(value, bool) else value
            for name, value in members.items()
            if value is not None
        }


@attrs.frozen(kw_only=True)
class PrivacySettings:
    """
    Whose records are not sent, and how people are named.

    Attributes:
        consent: A callable of the person's id, async or plain (then called in another thread), that answers a
            `Consent` (sent along), ``True``, ``False`` (nothing is sent) or ``None`` (not known).
        consent_unknown: What ``None``, or a callable that keeps failing or does not answer, means: ``withhold`` or
            ``send``.
        consent_timeout_seconds: How long an answer is waited for in all, further tries included. The person's next
            message waits no longer for it.
        consent_seconds: For how long an answer is reused where a record is about to be sent.
        user_id_hash: Everything that leaves names people by a keyed hash (hex HMAC-SHA256) of their id: events,
            identity links, pings and SmartLinks. Then ids of apps cannot be joined unless these hash alike.
        user_id_hash_key: Its key. Leave it here when you switch `user_id_hash` off: by it, opt-outs and deletions find
            what is kept under hashes.
        tombstone_key: Key of the hashes under which opted-out and forgotten people are remembered; by default the
            App GUID. Changing it forgets them.
    """

    consent: Callable[[str], Any] | None = attrs.field(default=None, validator=one_parameter)
    consent_unknown: str = attrs.field(default="withhold", validator=one_of("withhold", "send"))
    consent_timeout_seconds: float = attrs.field(default=1.0, validator=at_least(0, exclusive=True))
    consent_seconds: float = attrs.field(default=60.0, validator=at_least(0))
    user_id_hash: bool = False
    user_id_hash_key: Secret | None = None
    tombstone_key: Secret | None = None

    RULES: ClassVar[tuple[Rule, ...]] = (needed_by("user_id_hash", "user_id_hash_key"),)

    def __attrs_post_init__(self) -> None:
        check_rules(self)

    def named(self, user_id: str) -> str:
        """A person's id as it leaves: itself, or its keyed hash."""
        if not self.user_id_hash or self.user_id_hash_key is None:
            return user_id
        return keyed_hash(self.user_id_hash_key.value, user_id)

    def names(self, user_id: str) -> tuple[str, ...]:
        """The ids under which a person may be kept, `named` first: `user_id_hash` may have been another before."""
        if self.user_id_hash_key is None:
            return (user_id,)
        hashed = keyed_hash(self.user_id_hash_key.value, user_id)
        return (hashed, user_id) if self.user_id_hash else (user_id, hashed)


@attrs.frozen
class Drop:
    """
    What `KochavaSettings.before_record` answers for a record that shall not be stored.

    Attributes:
        reason: One short constant phrase, which is counted and logged: never anything private.

    Raises:
        ValueError: `reason` is no such phrase.
    """

    reason: str

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.reason, str) or not self.reason.strip() or len(self.reason) > MOST_REASON_CHARACTERS:
            wanted = f"a text of 1 to {MOST_REASON_CHARACTERS} characters"
            msg = f"the reason of a Drop is {wanted}, got {kind_of(self.reason)}"
            raise ValueError(msg)

    @property
    def counted_as(self) -> str:
        """The reason among those of this package."""
        return f"before_record: {self.reason}"


@attrs.frozen(kw_only=True)
class HookAnswers:
    """
    What the callables of the settings answered about a person.

    Attributes:
        suppression: Why nothing may be sent; ``None`` when it may.
        device: Facts of their device.
        extra: Further members of a record's ``data``: those facts, and the consent.
        installs: Whether their first record is preceded by an install; ``None`` when that is not known now.
    """

    suppression: Suppression | None = None
    device: Mapping[str, str] = attrs.field(factory=dict)
    extra: Mapping[str, Any] = attrs.field(factory=dict)
    installs: bool | None = False


NOT_ASKED = HookAnswers()
"""The answers before the callables were called, or where there are none."""
