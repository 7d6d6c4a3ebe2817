"""What the store's tests share: a clock they own, and short ways to say what they commit."""

from __future__ import annotations

import itertools
from typing import Any

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import Claim, Committed, Entry, Lease, Mark, Outcome, Settlement, Unit

START = 1_700_000_000.0

TOMBSTONE = Mark(lane="ann", key="tombstone:ann", value=b"1")


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
    entry_id: str, *, lane: str = "ann", queue: str = "track", body: bytes = b"{}", wait_seconds: float | None = None
) -> Entry:
    return Entry(
        id=entry_id, queue=queue, lane=lane, created_at=START + next(_NUMBERS), body=body, wait_seconds=wait_seconds
    )


async def append(store: Store, *entries: Entry, lease: Lease | None = None) -> Committed:
    return await store.commit(Unit(appends=entries, lease=lease))


async def settle(
    store: Store,
    claim: Claim,
    outcome: Outcome = Outcome.DONE,
    *,
    retry_after_seconds: float | None = None,
    lease: Lease | None = None,
) -> Committed:
    settlement = Settlement(
        claim=claim, outcome=outcome, retry_after_seconds=retry_after_seconds, reason="a reason", detail="a detail"
    )
    return await store.commit(Unit(settlements=[settlement], lease=lease))


async def claim_one(store: Store, queue: str = "track") -> Claim:
    (claim,) = await store.claim(queue, 1, 60.0)
    return claim


async def claimed_ids(store: Store, queue: str = "track") -> list[str]:
    return [claim.entry.id for claim in await store.claim(queue, 100, 60.0)]


def mark(key: str, value: bytes | None, **changes: Any) -> Mark:
    return Mark(lane="ann", key=key, value=value, **changes)


async def recalled(store: Store, *keys: str) -> dict[str, bytes]:
    return dict(await store.recall([("ann", key) for key in keys]))


async def put(store: Store, *marks: Mark) -> Committed:
    return await store.commit(Unit(marks=marks))
