"""The store without durability, for tests and trials. It is written to be read, not to be fast."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import attrs

from ..clock import Clock, SystemClock
from ..exceptions import StoreUnavailable
from .day_counts import DayCounts, what_of
from .plan import CommitPlan, Lane, QueuedEntry, Snapshot, StoredHead
from .records import Claim, Committed, DayCount, Entry, EntryState, Listed, Mark, Outcome, QueueStats, Unit
from .settings import NewToken, StoreSettings, unique_tokens


@attrs.define(kw_only=True)
class _Row:
    """
    An entry, and what became of it.

    Attributes:
        place: Its rank among all that was appended.
        due_at: When it can be claimed, or until when it is leased.
        ended: ``None`` while it waits or is in flight.
        is_purged: Nothing but its id is kept.
    """

    entry: Entry
    place: int
    due_at: float
    token: str | None = None
    attempts: int = 0
    reason: str = ""
    detail: str = ""
    ended: EntryState | None = None
    ended_at: float = 0.0
    is_purged: bool = False

    def state(self, now: float) -> EntryState:
        if self.ended is not None:
            return self.ended
        return EntryState.IN_FLIGHT if self.token is not None and self.due_at > now else EntryState.WAITING


class MemoryStore:
    """
    Keeps everything in dictionaries; a crash or the end of the process loses it all.

    Args:
        settings: Only `StoreSettings.dedupe_seconds` matters here.
        clock: Tells when leases lapse and entries are due.
        new_token: Gives the token of each lease.
    """

    durable = False
    is_one_part = True

    def __init__(
        self, *, settings: StoreSettings | None = None, clock: Clock | None = None, new_token: NewToken | None = None
    ) -> None:
        self._dedupe_seconds = (settings or StoreSettings()).dedupe_seconds
        self._clock = clock or SystemClock()
        self._new_token = new_token or unique_tokens()
        self._rows: dict[str, _Row] = {}
        self._lanes: dict[Lane, list[_Row]] = {}
        self._values: dict[str, tuple[bytes, float | None]] = {}
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._day_counts = DayCounts()
        self._places = itertools.count(1)
        self._closed = False

    async def open(self) -> None:
        self._closed = False

    async def close(self) -> None:
        self._closed = True

    async def commit(self, unit: Unit) -> Committed:
        now = self._now()
        plan = CommitPlan(self._snapshot(unit, now), self._new_token)
        answer = plan.decide(unit)
        self._write(plan, now)
        return answer

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        now = self._now()
        due = [row for row in self._heads(queue) if row.due_at <= now]
        claims = []
        for row in heapq.nsmallest(limit, due, key=lambda row: (row.due_at, row.place)):
            is_takeover, row.token = row.token is not None, self._new_token()
            row.attempts += 1
            row.due_at = now + lease_seconds
            claims.append(Claim(entry=row.entry, token=row.token, attempt=row.attempts, is_takeover=is_takeover))
        return claims

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        expires_at = self._now() + lease_seconds
        renewed = []
        for claim in claims:
            row = self._rows.get(claim.entry.id)
            if row is not None and row.ended is None and row.token == claim.token:
                row.due_at = expires_at
                renewed.append(claim)
        return renewed

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        now = self._now()
        values = {key: self._value(key, now) for _, key in keys}
        return {key: value for key, value in values.items() if value is not None}

    async def next_due_in(self, queue: str) -> float | None:
        now = self._now()
        return min((max(0.0, row.due_at - now) for row in self._heads(queue)), default=None)

    async def stats(self) -> Mapping[str, QueueStats]:
        now = self._now()
        return {queue: self._queue_stats(queue, counts, now) for queue, counts in self._counts.items()}

    async def counts(self, *, since: int | None = None, until: int | None = None) -> list[DayCount]:
        self._now()
        return self._day_counts.between(since, until)

    async def forget_counts(self, before: int) -> None:
        self._now()
        self._day_counts.drop_before(before)

    async def browse(
        self,
        queue: str,
        *,
        state: EntryState | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        now = self._now()
        last = -1
        if after is not None:
            if not self._is_seen(after, now):
                return []
            last = self._rows[after].place
        found = (
            self._listed(row, now)
            for row in sorted(self._rows.values(), key=lambda row: row.place)
            if row.place > last and row.entry.queue == queue and lane in (None, row.entry.lane) and not row.is_purged
        )
        wanted = (
            listed
            for listed in found
            if listed.state is state or (state is None and listed.state is not EntryState.DONE)
        )
        return list(itertools.islice(wanted, limit))

    async def find(self, entry_id: str) -> Listed | None:
        now = self._now()
        row = self._rows.get(entry_id)
        return None if row is None or row.is_purged or not self._is_seen(entry_id, now) else self._listed(row, now)

    async def history(self, lanes: Sequence[str], *, limit: int = 1_000) -> list[Listed]:
        now = self._now()
        found = [
            row
            for entry_id, row in self._rows.items()
            if row.entry.lane in lanes and not row.is_purged and self._is_seen(entry_id, now)
        ]
        last = heapq.nlargest(limit, found, key=lambda row: row.place)
        return [self._listed(row, now) for row in reversed(last)]

    async def retry_dead(self, ids: Sequence[str]) -> int:
        now = self._now()
        retried = 0
        for entry_id in dict.fromkeys(ids):
            row = self._rows.get(entry_id)
            if row is not None and row.ended is EntryState.DEAD and not row.is_purged:
                self._counts[row.entry.queue]["dead"] -= 1
                self._uncount_dead(row)
                self._append(QueuedEntry(entry=row.entry, place=next(self._places), due_at=now))
                retried += 1
        return retried

    async def purge(self, *, ended_for_seconds: float) -> int:
        ended_before = self._now() - ended_for_seconds
        old = [
            row
            for row in self._rows.values()
            if row.ended in (EntryState.DEAD, EntryState.DROPPED) and not row.is_purged and row.ended_at < ended_before
        ]
        for row in old:
            row.is_purged = True
            row.entry = attrs.evolve(row.entry, body=b"", label="")
        return len(old)

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        now = self._now()
        dropped = 0
        for row in self._rows.values():
            if row.entry.lane not in lanes or row.is_purged:
                continue
            if row.ended in (None, EntryState.DEAD):
                if row.ended is EntryState.DEAD:
                    self._counts[row.entry.queue]["dead"] -= 1
                    self._uncount_dead(row)
                self._day_counts.add_entry(row.entry.label, what_of(EntryState.DROPPED, reason=reason))
                self._lanes.pop((row.entry.queue, row.entry.lane), None)
                self._end(row, EntryState.DROPPED, reason, "", now)
                dropped += 1
            row.detail = ""
            row.entry = attrs.evolve(row.entry, lane="", name="", body=b"", label="")
        self._write_mark(tombstone, now)
        return dropped

    async def sweep(self, longest_waits: Mapping[str, float] | None = None) -> None:
        now = self._now()
        self._rows = {entry_id: row for entry_id, row in self._rows.items() if self._is_seen(entry_id, now)}
        self._values = {key: held for key, held in self._values.items() if self._value(key, now) is not None}
        for queue, longest in (longest_waits or {}).items():
            for row in self._heads(queue):
                row.due_at = min(row.due_at, now + longest)

    def _now(self) -> float:
        if self._closed:
            message = "the memory store is closed; call `open` to use it again"
            raise StoreUnavailable(message)
        return self._clock.now()

    def _snapshot(self, unit: Unit, now: float) -> Snapshot:
        settled = {(s.claim.entry.queue, s.claim.entry.lane) for s in unit.settlements}
        lanes = settled | {(entry.queue, entry.lane) for entry in unit.appends}
        rows = {lane: self._lanes[lane] for lane in lanes if lane in self._lanes}
        return Snapshot(
            now=now,
            heads={
                lane: StoredHead(place=head.place, id=head.entry.id, token=head.token, attempts=head.attempts)
                for lane, (head, *_) in rows.items()
            },
            successors={
                lane: QueuedEntry(entry=behind[1].entry, place=behind[1].place, due_at=max(now, behind[1].due_at))
                for lane, behind in rows.items()
                if lane in settled and len(behind) > 1
            },
            seen=frozenset(entry.id for entry in unit.appends if self._is_seen(entry.id, now)),
            places=self._places,
            values={mark.key: value for mark in unit.marks if (value := self._value(mark.key, now)) is not None},
        )

    def _write(self, plan: CommitPlan, now: float) -> None:
        for head, settlement in plan.settled:
            row = self._rows[head.id]
            lane = (row.entry.queue, row.entry.lane)
            self._lanes[lane].remove(row)
            if not self._lanes[lane]:
                del self._lanes[lane]
            self._end(row, EntryState(settlement.outcome.value), settlement.reason, settlement.detail, now)
        for queued in plan.appended:
            self._append(queued)
        for lane, change in plan.lanes.items():
            if change.returned is not None:
                row = self._lanes[lane][0]
                row.token, row.due_at = None, change.returned.due_at
                row.attempts -= change.returned.is_uncounted
                if change.returned.reason is not None:
                    row.reason, row.detail = change.returned.reason, change.returned.detail or ""
            if change.head is not None:
                row = self._rows[change.head.entry.id]
                row.due_at, row.token, row.attempts = change.head.due_at, change.head.token, change.head.attempts
        for mark in plan.marks.values():
            self._write_mark(mark, now)
        for (queue, name), count in plan.counts.items():
            if name == "accepted":
                self._counts[queue][name] += count
        for each in plan.day_counts.rows():
            self._day_counts.add(each)

    def _append(self, queued: QueuedEntry) -> None:
        entry = attrs.evolve(queued.entry, wait_seconds=None)
        row = _Row(entry=entry, place=queued.place, due_at=queued.due_at)
        self._rows[entry.id] = row
        self._lanes.setdefault((entry.queue, entry.lane), []).append(row)

    def _end(self, row: _Row, state: EntryState, reason: str, detail: str, now: float) -> None:
        self._counts[row.entry.queue][state.value] += 1
        row.ended, row.ended_at, row.token = state, now, None
        row.reason, row.detail = reason, detail
        if state is not EntryState.DEAD:
            row.entry = row.entry.as_settled()

    def _uncount_dead(self, row: _Row) -> None:
        self._day_counts.add_entry(row.entry.label, what_of(EntryState.DEAD, reason=row.reason), -1)

    def _heads(self, queue: str) -> Iterator[_Row]:
        return (rows[0] for (of_queue, _), rows in self._lanes.items() if of_queue == queue)

    def _is_seen(self, entry_id: str, now: float) -> bool:
        row = self._rows.get(entry_id)
        if row is None:
            return False
        is_kept = row.ended in (EntryState.DEAD, EntryState.DROPPED) and not row.is_purged
        return row.ended is None or is_kept or row.ended_at + self._dedupe_seconds > now

    def _value(self, key: str, now: float) -> bytes | None:
        value, expires_at = self._values.get(key, (None, None))
        return None if expires_at is not None and expires_at <= now else value

    def _write_mark(self, mark: Mark, now: float) -> None:
        if mark.value is None:
            self._values.pop(mark.key, None)
            return
        after = mark.expires_after_seconds
        self._values[mark.key] = (mark.value, None if after is None else now + after)

    def _queue_stats(self, queue: str, counts: Counter[str], now: float) -> QueueStats:
        heads = list(self._heads(queue))
        in_flight = sum(1 for row in heads if row.state(now) is EntryState.IN_FLIGHT)
        ended = {outcome: counts[outcome.value] for outcome in (Outcome.DONE, Outcome.DEAD, Outcome.DROPPED)}
        first = min(heads, key=lambda row: row.place, default=None)
        return QueueStats(
            accepted=counts["accepted"],
            waiting=counts["accepted"] - sum(ended.values()) - in_flight,
            in_flight=in_flight,
            done=ended[Outcome.DONE],
            dead=ended[Outcome.DEAD],
            dropped=ended[Outcome.DROPPED],
            oldest_waiting_at=None if first is None else first.entry.created_at,
        )

    def _listed(self, row: _Row, now: float) -> Listed:
        return Listed(
            entry=row.entry.as_listed(),
            state=row.state(now),
            attempts=row.attempts,
            due_at=(row.due_at or None) if row.ended is None else None,
            reason=row.reason,
            detail=row.detail,
            ended_at=None if row.ended is None else row.ended_at,
            token=row.token,
        )
