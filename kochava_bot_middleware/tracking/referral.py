"""Where a person came from, remembered for as long as it may explain what they do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from ..messenger.events import Referral

_MAIL_ADDRESS = re.compile(r"[^\s@]@[^\s@]+\.[^\s@]")


def facts_of(referral: Referral | None) -> dict[str, str]:
    """
    The members of a referral that are told to Kochava: ``ref``, ``source``, ``ad_id``, as far as it has them. A ``ref``
    is free text of whoever made the link; one with an e-mail address in it is not told.
    """
    if referral is None:
        return {}
    facts = {"ref": referral.ref, "source": referral.source, "ad_id": referral.ad_id}
    if referral.ref and _MAIL_ADDRESS.search(referral.ref):
        del facts["ref"]
    return {name: value for name, value in facts.items() if value}


def event_keys(facts: Mapping[str, str]) -> dict[str, str]:
    """Referral facts under their keys in ``event_data``."""
    keys = {"ref": "referral_from", "source": "referral_source", "ad_id": "referral_ad_id"}
    return {keys[name]: value for name, value in facts.items() if name in keys}


def attached(data: Any, facts: Mapping[str, str]) -> Any:
    """Event data with the referral in it. The author's own keys stay; data that is no object cannot carry it."""
    if not facts or not (data is None or isinstance(data, Mapping)):
        return data
    return {**(data or {}), **{key: value for key, value in event_keys(facts).items() if key not in (data or {})}}


@attrs.frozen(kw_only=True)
class ReferralState:
    """
    A person's first and last referral.

    Attributes:
        first: As of `facts_of`.
        last: As of `facts_of`.
        first_at: When the first came, in seconds since the epoch.
        last_at: When the last came.
    """

    first: Mapping[str, str] = attrs.field(factory=dict)
    last: Mapping[str, str] = attrs.field(factory=dict)
    first_at: float = 0.0
    last_at: float = 0.0

    def with_referral(self, facts: Mapping[str, str], at: float) -> ReferralState:
        """The state after one more referral."""
        if not self.first:
            return ReferralState(first=facts, last=facts, first_at=at, last_at=at)
        return attrs.evolve(self, last=facts, last_at=at) if at >= self.last_at else self

    def facts(self, which: str, *, since: float) -> Mapping[str, str]:
        """The ``first`` or ``last`` one, unless it is older than *since*."""
        facts, at = (self.first, self.first_at) if which == "first" else (self.last, self.last_at)
        return facts if at >= since else {}

    def to_bytes(self) -> bytes:
        """The stored form."""
        return orjson.dumps(attrs.asdict(self))

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> ReferralState:
        """Read the stored form; what is missing or not readable is a fresh state."""
        if stored is None:
            return _FRESH
        try:
            return cls(**orjson.loads(stored))
        except (orjson.JSONDecodeError, TypeError):
            return cls()


_FRESH = ReferralState()
