"""
A person's identities elsewhere: each value is linked once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import orjson

MOST_VALUES = 10
"""Linked values of one key that are remembered; Kochava's own SDK keeps ten links a device."""


def clean_identities(identities: Any) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """
    The members that can be linked, and (key, reason) of the others.
    """
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
        """
        The state after all that is pending was linked.
        """
        linked = dict(self.linked)
        for key, value in self.pending.items():
            linked[key] = (*linked.get(key, ()), _digest(value))[-MOST_VALUES:]
        return attrs.evolve(self, linked=linked, pending={})

    def to_bytes(self) -> bytes:
        """
        The stored form.
        """
        return orjson.dumps(attrs.asdict(self))

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> IdentityState:
        """
        Read the stored form; what is missing or not readable is a fresh state.
        """
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
