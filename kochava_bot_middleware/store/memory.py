"""The lanes of the memory store: what waits, what is leased, what has ended, and the counts of it."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from ..clock import Clock, SystemClock
from ..exceptions import StoreUnavailable
from .page import without_private_body
from .records import (
    Claim,
    Committed,
    CommitVerdict,
    Condition,
    Entry,
    EntryState,
    Listed,
    Mark,
    Outcome,
    QueueStats,
    Settlement,
    Unit,
)
from .settings import NewToken, StoreSettings, unique_tokens


@attrs.define(kw_only=True)
class Row:
    """An entry, and what became of it. `place` is its rank among all that was appended."""

    entry: Entry
    place: int
    due_at: float = 0.0
    token: str | None = None
    attempts: int = 0
    reason: str = ""
    detail: str = ""
    ended: EntryState | None = None
    ended_at: float | None = None

    def is_in_flight(self, now: float) -> bool:
        return self.token is not None and self.due_at > now


@attrs.define
class _Counts:
    accepted: int = 0
    done: int = 0
    dead: int = 0
    dropped: int = 0


class Lanes:
    """All lanes of all queues. Only the first row of a lane is ever leased."""

    def __init__(self, *, new_token: NewToken, dedupe_seconds: float) -> None:
        self._new_token = new_token
        self._dedupe_seconds = dedupe_seconds
        self._lanes: dict[tuple[str, str], list[Row]] = {}
        self._living: dict[str, Row] = {}
        self._ended: dict[str, Row] = {}
        self._remembered: dict[str, tuple[float, int]] = {}
        self._counts: dict[str, _Counts] = {}
        self._places = 0

    def accept(self, entry: Entry, now: float) -> list[Row]:
        """Append a new entry; returns it if its lane was empty."""
        self._counts.setdefault(entry.queue, _Counts()).accepted += 1
        return self._append(entry, now)

    def settle(self, settlement: Settlement, now: float) -> list[Row]:
        """End a claim; returns the head this made claimable."""
        row = self._living[settlement.claim.entry.id]
        row.token = None
        if settlement.outcome is Outcome.RELEASE:
            row.attempts -= 1
            row.due_at = now
            return []
        row.reason, row.detail = settlement.reason, settlement.detail
        if settlement.outcome is Outcome.RETRY:
            row.due_at = max(now, settlement.retry_at or now)
            return []
        lane = self._lanes[row.entry.queue, row.entry.lane]
        lane.remove(row)
        self._end(row, EntryState(settlement.outcome.value), now)
        if not lane:
            del self._lanes[row.entry.queue, row.entry.lane]
            return []
        lane[0].due_at = max(now, lane[0].entry.due_at or now)
        return [lane[0]]

    def lease(self, row: Row, now: float, seconds: float) -> Claim:
        """Give a head to whoever asked."""
        row.token = self._new_token()
        row.attempts += 1
        row.due_at = now + seconds
        return Claim(entry=row.entry, token=row.token, expires_at=row.due_at, attempt=row.attempts)

    def owned(self, claim: Claim) -> Row | None:
        """The row, if its token is still that of *claim*."""
        row = self._living.get(claim.entry.id)
        return row if row is not None and row.token == claim.token else None

    def heads(self, queue: str) -> list[Row]:
        return [rows[0] for (of, _), rows in self._lanes.items() if of == queue]

    def is_seen(self, entry_id: str, now: float) -> bool:
        remembered_until = self._remembered.get(entry_id, (now, 0))[0]
        return entry_id in self._living or entry_id in self._ended or remembered_until > now

    def retry(self, entry_id: str, now: float) -> bool:
        """Put a dead entry back; returns whether there is such a one."""
        row = self._ended.get(entry_id)
        if row is None or row.ended is not EntryState.DEAD:
            return False
        del self._ended[entry_id]
        self._counts[row.entry.queue].dead -= 1
        self._append(attrs.evolve(row.entry, due_at=None), now)
        return True

    def purge(self, ended_before: float) -> int:
        old = [row for row in self._ended.values() if row.ended_at is not None and row.ended_at < ended_before]
        for row in old:
            del self._ended[row.entry.id]
        return len(old)

    def drop(self, lanes: Iterable[str], reason: str, now: float) -> int:
        """Drop what lives or is dead in *lanes* of every queue."""
        gone = [row for row in self._rows() if row.entry.lane in lanes and row.ended is not EntryState.DROPPED]
        for row in gone:
            if row.ended is EntryState.DEAD:
                self._counts[row.entry.queue].dead -= 1
            self._lanes.pop((row.entry.queue, row.entry.lane), None)
            row.reason, row.detail = reason, ""
            self._end(row, EntryState.DROPPED, now)
        return len(gone)

    def sweep(self, now: float) -> None:
        self._remembered = {id_: seen for id_, seen in self._remembered.items() if seen[0] > now}

    def stats(self, now: float) -> dict[str, QueueStats]:
        return {queue: self._queue_stats(queue, counts, now) for queue, counts in self._counts.items()}

    def listed(self, after: str | None, now: float) -> Iterator[Listed]:
        """All rows behind that of the id *after*, in order."""
        place = -1 if after is None else self._place_of(after)
        for row in sorted(self._rows(), key=lambda row: row.place):
            if place is not None and row.place > place:
                yield self._listed(row, now)

    def find(self, entry_id: str, now: float) -> Listed | None:
        """The row of that id."""
        row = self._living.get(entry_id) or self._ended.get(entry_id)
        return None if row is None else self._listed(row, now)

    def _rows(self) -> list[Row]:
        return [*self._living.values(), *self._ended.values()]

    def _append(self, entry: Entry, now: float) -> list[Row]:
        self._places += 1
        row = Row(entry=entry, place=self._places, due_at=max(now, entry.due_at or now))
        lane = self._lanes.setdefault((entry.queue, entry.lane), [])
        lane.append(row)
        self._living[entry.id] = row
        return [row] if len(lane) == 1 else []

    def _end(self, row: Row, state: EntryState, now: float) -> None:
        self._living.pop(row.entry.id, None)
        self._remembered[row.entry.id] = (now + self._dedupe_seconds, row.place)
        counts = self._counts[row.entry.queue]
        if state is EntryState.DONE:
            counts.done += 1
            return
        if state is EntryState.DEAD:
            counts.dead += 1
        else:
            counts.dropped += 1
            row.entry = attrs.evolve(row.entry, body=b"")
        row.token, row.ended, row.ended_at = None, state, now
        self._ended[row.entry.id] = row

    def _place_of(self, entry_id: str) -> int | None:
        row = self._living.get(entry_id) or self._ended.get(entry_id)
        if row is not None:
            return row.place
        return self._remembered[entry_id][1] if entry_id in self._remembered else None

    def _queue_stats(self, queue: str, counts: _Counts, now: float) -> QueueStats:
        heads = self.heads(queue)
        in_flight = sum(1 for row in heads if row.is_in_flight(now))
        first = min(heads, key=lambda row: row.place, default=None)
        return QueueStats(
            accepted=counts.accepted,
            waiting=sum(1 for row in self._living.values() if row.entry.queue == queue) - in_flight,
            in_flight=in_flight,
            done=counts.done,
            dead=counts.dead,
            dropped=counts.dropped,
            oldest_waiting_at=None if first is None else first.entry.created_at,
        )

    def _listed(self, row: Row, now: float) -> Listed:
        return Listed(
            entry=without_private_body(row.entry),
            state=row.ended or (EntryState.IN_FLIGHT if row.is_in_flight(now) else EntryState.WAITING),
            attempts=row.attempts,
            due_at=self._listed_due_at(row),
            reason=row.reason,
            detail=row.detail,
            ended_at=row.ended_at,
        )

    def _listed_due_at(self, row: Row) -> float | None:
        if row.ended is not None:
            return None
        is_head = self._lanes[row.entry.queue, row.entry.lane][0] is row
        return row.due_at if is_head else row.entry.due_at


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
            verdict=CommitVerdict.COMMITTED, appended=tuple(appended), repeated=tuple(repeated), leased=tuple(leased)
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
        state: EntryState | None = None,
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
                return Committed(verdict=CommitVerdict.LEASE_LOST, failed_key=entry_id)
            settled.add(entry_id)
        for mark in unit.marks:
            value = self._value(mark.key, now)
            if (mark.condition is Condition.IF_ABSENT and value is not None) or (
                mark.condition is Condition.IF_EQUAL and value != mark.expected
            ):
                return Committed(verdict=CommitVerdict.CONDITION_FAILED, failed_key=mark.key)
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
