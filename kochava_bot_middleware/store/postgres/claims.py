"""Leasing lane heads. Each function runs within a transaction of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import attrs

from ..records import Claim
from ..settings import NewToken
from . import statements as sql
from .rows import entry_of
from .session import Session
from .text import to_text
from .writes import columns


class Tokens:
    """Tokens for a claim, which does not know beforehand how many it needs. What it did not use is for the next."""

    def __init__(self, new_token: NewToken) -> None:
        self._new_token = new_token
        self._spare: deque[str] = deque()

    def __call__(self) -> str:
        return self._spare.popleft() if self._spare else self._new_token()

    def take(self, count: int) -> list[str]:
        return [self() for _ in range(count)]

    def give_back(self, tokens: Sequence[str]) -> None:
        """Only what was surely not used may come back."""
        self._spare.extendleft(reversed(tokens))


async def claim_heads(
    session: Session,
    *,
    queue: str,
    limit: int,
    lease_seconds: float,
    at_most_ahead_seconds: float | None,
    tokens: Tokens,
) -> list[Claim]:
    """Lease up to *limit* due heads, longest due first. What another process is just claiming is passed over."""
    given = tokens.take(limit)
    asked = (to_text(queue), limit, lease_seconds, given, session.given_now, at_most_ahead_seconds)
    rows = await session.fetch(sql.CLAIM, *asked)
    tokens.give_back(given[len(rows) :])
    return [
        Claim(entry=entry_of(entry), token=token, expires_at=expires_at, attempt=attempts)
        for token, expires_at, attempts, *entry in rows
    ]


async def renew_leases(session: Session, *, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
    """Extend the leases whose token is still the head's."""
    if not claims:
        return []
    owned = [
        (to_text(claim.entry.queue), to_text(claim.entry.lane), to_text(claim.entry.id), claim.token)
        for claim in claims
    ]
    rows = await session.fetch(sql.RENEW, *columns(owned), lease_seconds, session.given_now)
    ends = {token: expires_at for token, expires_at in rows}  # noqa: C416 - a row is no pair to mypy
    return [attrs.evolve(claim, expires_at=ends[claim.token]) for claim in claims if claim.token in ends]
