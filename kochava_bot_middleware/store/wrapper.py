"""A store around another one, which passes every call through until a subclass overrides it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .contract import AnnouncesAppends, Store
from .records import Claim, Committed, DayCount, EntryState, Listed, Mark, QueueStats, Unit


class StoreWrapper:
    """
    A `Store` that passes each call on; the base of stores that observe, count or disturb the calls of another.

    Attributes:
        inner: The wrapped store.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.durable = inner.durable
        self.is_one_part = inner.is_one_part

    def on_append(self, callback: Callable[[], None]) -> None:
        """Does nothing when the wrapped store does not announce appends."""
        if isinstance(self.inner, AnnouncesAppends):
            self.inner.on_append(callback)

    async def open(self) -> None:
        await self.inner.open()

    async def commit(self, unit: Unit) -> Committed:
        return await self.inner.commit(unit)

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        return await self.inner.claim(queue, limit, lease_seconds)

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        return await self.inner.renew(claims, lease_seconds)

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        return await self.inner.recall(keys)

    async def next_due_in(self, queue: str) -> float | None:
        return await self.inner.next_due_in(queue)

    async def stats(self) -> Mapping[str, QueueStats]:
        return await self.inner.stats()

    async def counts(self, *, since: int | None = None, until: int | None = None) -> list[DayCount]:
        return await self.inner.counts(since=since, until=until)

    async def forget_counts(self, before: int) -> None:
        await self.inner.forget_counts(before)

    async def browse(
        self,
        queue: str,
        *,
        state: EntryState | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        return await self.inner.browse(queue, state=state, lane=lane, limit=limit, after=after)

    async def find(self, entry_id: str) -> Listed | None:
        return await self.inner.find(entry_id)

    async def history(self, lanes: Sequence[str], *, limit: int = 1_000) -> list[Listed]:
        return await self.inner.history(lanes, limit=limit)

    async def retry_dead(self, ids: Sequence[str]) -> int:
        return await self.inner.retry_dead(ids)

    async def purge(self, *, ended_for_seconds: float) -> int:
        return await self.inner.purge(ended_for_seconds=ended_for_seconds)

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        return await self.inner.forget(lanes, reason=reason, tombstone=tombstone)

    async def sweep(self, longest_waits: Mapping[str, float] | None = None) -> None:
        await self.inner.sweep(longest_waits)

    async def close(self) -> None:
        await self.inner.close()
