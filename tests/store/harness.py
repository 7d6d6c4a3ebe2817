"""What the store's tests share: a clock they own, and short ways to say what they commit."""

from __future__ import annotations

import itertools

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import Claim, Committed, Entry, Lease, Mark, Outcome, Settlement, Unit

START = 1_700_000_000.0

TOMBSTONE = Mark(key="tombstone:ann", value=b"1")


class ManualClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self._now += seconds


_NUMBERS = itertools.count(1)


def entry(
    entry_id: str, *, lane: str = "ann", queue: str = "track", body: bytes = b"{}", due_at: float | None = None
) -> Entry:
    return Entry(id=entry_id, queue=queue, lane=lane, created_at=START + next(_NUMBERS), body=body, due_at=due_at)


async def append(store: Store, *entries: Entry, lease: Lease | None = None) -> Committed:
    return await store.commit(Unit(appends=entries, lease=lease))


async def settle(
    store: Store,
    claim: Claim,
    outcome: Outcome = Outcome.DONE,
    *,
    retry_at: float | None = None,
    lease: Lease | None = None,
) -> Committed:
    settlement = Settlement(claim=claim, outcome=outcome, retry_at=retry_at, reason="a reason", detail="a detail")
    return await store.commit(Unit(settlements=[settlement], lease=lease))


async def claim_one(store: Store, queue: str = "track") -> Claim:
    (claim,) = await store.claim(queue, 1, 60.0)
    return claim


async def claimed_ids(store: Store, queue: str = "track", *, at_most_ahead_seconds: float | None = None) -> list[str]:
    claims = await store.claim(queue, 100, 60.0, at_most_ahead_seconds=at_most_ahead_seconds)
    return [claim.entry.id for claim in claims]


async def put(store: Store, *marks: Mark) -> Committed:
    return await store.commit(Unit(marks=marks))
