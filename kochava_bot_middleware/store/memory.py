"""
The store without durability, for tests and trials. It is also the model the durable stores are compared with.

So it is written to be read, not to be fast: a claim looks at every lane.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence

import attrs

from ..clock import Clock, SystemClock
from ..exceptions import StoreUnavailable
from .listing import Listed, QueueStats, State
from .memory_lanes import Lanes, Row
from .settings import NewToken, StoreSettings, unique_tokens
from .unit import Claim, Committed, Condition, Mark, Unit, Verdict


class MemoryStore:
    """
    Keeps everything in dictionaries; a crash or the end of the process loses it all.

    Args:
        settings: Only `StoreSettings.dedupe_seconds` matters here.
        clock: Tells when leases lapse and entries are due.
        new_token: Gives the token of each lease.
    """

    durable = False

    def __init__(
        self, *, settings: StoreSettings | None = None, clock: Clock | None = None, new_token: NewToken | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self._lanes = Lanes(
            new_token=new_token or unique_tokens(), dedupe_seconds=(settings or StoreSettings()).dedupe_seconds
        )
        self._marks: dict[str, Mark] = {}
        self._closed = False

    async def open(self) -> None:
        self._closed = False
        self._now()

    async def close(self) -> None:
        self._closed = True

    async def commit(self, unit: Unit) -> Committed:
        now = self._now()
        refusal = self._refusal(unit, now)
        if refusal is not None:
            return refusal
        claimable: list[Row] = []
        for settlement in unit.settlements:
            claimable += self._lanes.settle(settlement, now)
        appended = []
        repeated = []
        for entry in unit.appends:
            if self._lanes.is_seen(entry.id, now):
                repeated.append(entry.id)
            else:
                appended.append(entry.id)
                claimable += self._lanes.accept(entry, now)
        for mark in unit.marks:
            self._write_mark(mark)
        lease = unit.lease
        leased = [
            self._lanes.lease(row, now, lease.seconds)
            for row in claimable
            if lease is not None and row.entry.queue == lease.queue and row.due_at <= now
        ]
        return Committed(
            verdict=Verdict.COMMITTED, appended=tuple(appended), repeated=tuple(repeated), leased=tuple(leased)
        )

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, at_most_ahead_seconds: float | None = None
    ) -> list[Claim]:
        now = self._now()
        furthest = math.inf if at_most_ahead_seconds is None else now + at_most_ahead_seconds
        heads = self._lanes.heads(queue)
        for row in heads:
            if row.token is not None:
                row.due_at = min(row.due_at, furthest)
        due = [row for row in heads if row.due_at <= now or row.due_at > furthest]
        chosen = heapq.nsmallest(limit, due, key=lambda row: (row.due_at, row.place))
        return [self._lanes.lease(row, now, lease_seconds) for row in chosen]

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        expires_at = self._now() + lease_seconds
        renewed = []
        for claim in claims:
            row = self._lanes.owned(claim)
            if row is not None:
                row.due_at = expires_at
                renewed.append(attrs.evolve(claim, expires_at=expires_at))
        return renewed

    async def recall(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        now = self._now()
        values = {key: self._value(key, now) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    async def next_due_at(self, queue: str, *, at_most_ahead_seconds: float | None = None) -> float | None:
        now = self._now()
        furthest = math.inf if at_most_ahead_seconds is None else now + at_most_ahead_seconds
        times = [row.due_at for row in self._lanes.heads(queue)]
        return min((now if due_at > furthest else due_at for due_at in times), default=None)

    async def stats(self) -> Mapping[str, QueueStats]:
        return self._lanes.stats(self._now())

    async def browse(
        self,
        queue: str,
        *,
        state: State | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        found = (
            listed
            for listed in self._lanes.listed(after, self._now())
            if listed.entry.queue == queue and lane in (None, listed.entry.lane) and state in (None, listed.state)
        )
        return list(itertools.islice(found, limit))

    async def find(self, entry_id: str) -> Listed | None:
        return self._lanes.find(entry_id, self._now())

    async def retry_dead(self, ids: Sequence[str]) -> int:
        now = self._now()
        return sum(self._lanes.retry(entry_id, now) for entry_id in ids)

    async def purge(self, *, dead_before: float) -> int:
        self._now()
        return self._lanes.purge(dead_before)

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        dropped = self._lanes.drop(lanes, reason, self._now())
        self._write_mark(tombstone)
        return dropped

    async def sweep(self) -> None:
        now = self._now()
        self._lanes.sweep(now)
        self._marks = {key: mark for key, mark in self._marks.items() if not _has_expired(mark, now)}

    def _now(self) -> float:
        if self._closed:
            message = "the memory store is closed; call `open` to use it again"
            raise StoreUnavailable(message)
        return self._clock.now()

    def _refusal(self, unit: Unit, now: float) -> Committed | None:
        settled: set[str] = set()
        for settlement in unit.settlements:
            entry_id = settlement.claim.entry.id
            if self._lanes.owned(settlement.claim) is None or entry_id in settled:
                return Committed(verdict=Verdict.LEASE_LOST, failed_key=entry_id)
            settled.add(entry_id)
        for mark in unit.marks:
            value = self._value(mark.key, now)
            if (mark.condition is Condition.IF_ABSENT and value is not None) or (
                mark.condition is Condition.IF_EQUAL and value != mark.expected
            ):
                return Committed(verdict=Verdict.CONDITION_FAILED, failed_key=mark.key)
        return None

    def _value(self, key: str, now: float) -> bytes | None:
        mark = self._marks.get(key)
        return None if mark is None or _has_expired(mark, now) else mark.value

    def _write_mark(self, mark: Mark) -> None:
        if mark.value is None:
            self._marks.pop(mark.key, None)
        else:
            self._marks[mark.key] = mark


def _has_expired(mark: Mark, now: float) -> bool:
    return mark.expires_at is not None and mark.expires_at <= now
