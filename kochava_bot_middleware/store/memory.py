"""
The store without durability, for tests and trials. It is also the model the durable stores are compared with.

So it is written to be read, not to be fast: a claim looks at every lane.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

import attrs

from ..clock import Clock, SystemClock
from ..exceptions import StoreUnavailable
from .contract import (
    Claim,
    Committed,
    Condition,
    Entry,
    Listed,
    Mark,
    Outcome,
    Queue,
    QueueStats,
    Settlement,
    State,
    Unit,
    Verdict,
)
from .settings import NewToken, StoreSettings, unique_tokens


@attrs.define(kw_only=True)
class _Row:
    entry: Entry
    place: int
    due_at: float = 0.0
    token: str | None = None
    attempts: int = 0
    reason: str = ""
    detail: str = ""


@attrs.define(kw_only=True)
class _Ended:
    row: _Row
    state: State
    ended_at: float


@attrs.define
class _Counts:
    accepted: int = 0
    done: int = 0
    dead: int = 0
    dropped: int = 0


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
        self._settings = settings or StoreSettings()
        self._clock = clock or SystemClock()
        self._new_token = new_token or unique_tokens()
        self._lanes: dict[tuple[str, str], list[_Row]] = {}
        self._rows: dict[str, _Row] = {}
        self._ended: dict[str, _Ended] = {}
        self._remembered: dict[str, tuple[float, int]] = {}
        self._marks: dict[str, Mark] = {}
        self._counts: dict[str, _Counts] = {}
        self._places = 0
        self._closed = False

    async def open(self) -> None:
        self._now()

    async def close(self) -> None:
        self._closed = True

    async def commit(self, unit: Unit) -> Committed:
        now = self._now()
        refusal = self._refusal(unit, now)
        if refusal is not None:
            return refusal
        claimable: list[_Row] = []
        for settlement in unit.settlements:
            claimable += self._settle(settlement, now)
        appended = []
        repeated = []
        for entry in unit.appends:
            if self._is_seen(entry.id, now):
                repeated.append(entry.id)
                continue
            appended.append(entry.id)
            self._counts.setdefault(entry.queue, _Counts()).accepted += 1
            claimable += self._append(entry, now)
        for mark in unit.marks:
            self._write_mark(mark)
        lease = unit.lease
        leased = [
            self._lease(row, now, lease.seconds)
            for row in claimable
            if lease is not None and row.entry.queue == lease.queue and row.due_at <= now
        ]
        return Committed(
            verdict=Verdict.COMMITTED, appended=tuple(appended), repeated=tuple(repeated), leased=tuple(leased)
        )

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        now = self._now()
        due = [row for row in self._heads(queue) if row.due_at <= now]
        chosen = heapq.nsmallest(limit, due, key=lambda row: (row.due_at, row.place))
        return [self._lease(row, now, lease_seconds) for row in chosen]

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        expires_at = self._now() + lease_seconds
        kept = [claim for claim in claims if self._owned(claim) is not None]
        for claim in kept:
            self._rows[claim.entry.id].due_at = expires_at
        return [attrs.evolve(claim, expires_at=expires_at) for claim in kept]

    async def recall(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        now = self._now()
        values = {key: self._value(key, now) for key in keys}
        return {key: value for key, value in values.items() if value is not None}

    async def next_due_at(self, queue: str) -> float | None:
        self._now()
        return min((row.due_at for row in self._heads(queue)), default=None)

    async def stats(self) -> Mapping[str, QueueStats]:
        now = self._now()
        return {queue: self._queue_stats(queue, counts, now) for queue, counts in self._counts.items()}

    async def browse(
        self, queue: str, *, state: State | None = None, lane: str | None = None, limit: int = 100, after: str | None = None
    ) -> list[Listed]:
        now = self._now()
        place = -1 if after is None else self._place_of(after)
        if place is None:
            return []
        found = [(row.place, self._listed(row, now)) for row in self._rows.values()]
        found += [(ended.row.place, _listed_ended(ended)) for ended in self._ended.values()]
        return [
            listed
            for at, listed in sorted(found, key=lambda pair: pair[0])
            if at > place
            and listed.entry.queue == queue
            and lane in (None, listed.entry.lane)
            and state in (None, listed.state)
        ][:limit]

    async def retry_dead(self, ids: Sequence[str]) -> int:
        now = self._now()
        retried = 0
        for id in ids:
            ended = self._ended.get(id)
            if ended is not None and ended.state is State.DEAD:
                del self._ended[id]
                self._counts[ended.row.entry.queue].dead -= 1
                self._append(attrs.evolve(ended.row.entry, due_at=None), now)
                retried += 1
        return retried

    async def purge(self, *, dead_before: float) -> int:
        self._now()
        old = [id for id, ended in self._ended.items() if ended.ended_at < dead_before]
        for id in old:
            del self._ended[id]
        return len(old)

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        now = self._now()
        living = [row for row in self._rows.values() if row.entry.lane in lanes]
        dead = [
            ended.row
            for ended in self._ended.values()
            if ended.state is State.DEAD and ended.row.entry.lane in lanes
        ]
        for row in living:
            self._lanes.pop((row.entry.queue, row.entry.lane), None)
            del self._rows[row.entry.id]
        for row in dead:
            self._counts[row.entry.queue].dead -= 1
        for row in living + dead:
            row.reason, row.detail = reason, ""
            self._end(row, State.DROPPED, now)
        self._write_mark(tombstone)
        return len(living) + len(dead)

    async def sweep(self) -> None:
        now = self._now()
        self._marks = {key: mark for key, mark in self._marks.items() if not _has_expired(mark, now)}
        self._remembered = {id: seen for id, seen in self._remembered.items() if seen[0] > now}

    def _now(self) -> float:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return self._clock.now()

    def _refusal(self, unit: Unit, now: float) -> Committed | None:
        settled: set[str] = set()
        for settlement in unit.settlements:
            id = settlement.claim.entry.id
            if self._owned(settlement.claim) is None or id in settled:
                return Committed(verdict=Verdict.LEASE_LOST, failed_key=id)
            settled.add(id)
        for mark in unit.marks:
            value = self._value(mark.key, now)
            if (mark.condition is Condition.IF_ABSENT and value is not None) or (
                mark.condition is Condition.IF_EQUAL and value != mark.expected
            ):
                return Committed(verdict=Verdict.CONDITION_FAILED, failed_key=mark.key)
        return None

    def _settle(self, settlement: Settlement, now: float) -> list[_Row]:
        row = self._rows[settlement.claim.entry.id]
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
        del self._rows[row.entry.id]
        self._end(row, State(settlement.outcome.value), now)
        if not lane:
            del self._lanes[row.entry.queue, row.entry.lane]
            return []
        lane[0].due_at = max(now, lane[0].entry.due_at or now)
        return [lane[0]]

    def _append(self, entry: Entry, now: float) -> list[_Row]:
        self._places += 1
        row = _Row(entry=entry, place=self._places, due_at=max(now, entry.due_at or now))
        lane = self._lanes.setdefault((entry.queue, entry.lane), [])
        lane.append(row)
        self._rows[entry.id] = row
        return [row] if len(lane) == 1 else []

    def _end(self, row: _Row, state: State, now: float) -> None:
        row.token = None
        self._remembered[row.entry.id] = (now + self._settings.dedupe_seconds, row.place)
        counts = self._counts[row.entry.queue]
        if state is State.DONE:
            counts.done += 1
            return
        if state is State.DEAD:
            counts.dead += 1
        else:
            counts.dropped += 1
            row.entry = attrs.evolve(row.entry, body=b"")
        self._ended[row.entry.id] = _Ended(row=row, state=state, ended_at=now)

    def _lease(self, row: _Row, now: float, seconds: float) -> Claim:
        row.token = self._new_token()
        row.attempts += 1
        row.due_at = now + seconds
        return Claim(entry=row.entry, token=row.token, expires_at=row.due_at, attempt=row.attempts)

    def _heads(self, queue: str) -> list[_Row]:
        return [rows[0] for (of, _), rows in self._lanes.items() if of == queue]

    def _owned(self, claim: Claim) -> _Row | None:
        row = self._rows.get(claim.entry.id)
        return row if row is not None and row.token == claim.token else None

    def _is_seen(self, id: str, now: float) -> bool:
        remembered_until = self._remembered.get(id, (now, 0))[0]
        return id in self._rows or id in self._ended or remembered_until > now

    def _place_of(self, id: str) -> int | None:
        if id in self._rows:
            return self._rows[id].place
        if id in self._ended:
            return self._ended[id].row.place
        return self._remembered[id][1] if id in self._remembered else None

    def _value(self, key: str, now: float) -> bytes | None:
        mark = self._marks.get(key)
        return None if mark is None or _has_expired(mark, now) else mark.value

    def _write_mark(self, mark: Mark) -> None:
        if mark.value is None:
            self._marks.pop(mark.key, None)
        else:
            self._marks[mark.key] = mark

    def _queue_stats(self, queue: str, counts: _Counts, now: float) -> QueueStats:
        heads = self._heads(queue)
        in_flight = sum(1 for row in heads if row.token is not None and row.due_at > now)
        living = sum(1 for row in self._rows.values() if row.entry.queue == queue)
        first = min(heads, key=lambda row: row.place, default=None)
        return QueueStats(
            accepted=counts.accepted,
            waiting=living - in_flight,
            in_flight=in_flight,
            done=counts.done,
            dead=counts.dead,
            dropped=counts.dropped,
            oldest_waiting_at=None if first is None else first.entry.created_at,
        )

    def _listed(self, row: _Row, now: float) -> Listed:
        in_flight = row.token is not None and row.due_at > now
        is_head = self._lanes[row.entry.queue, row.entry.lane][0] is row
        return Listed(
            entry=_without_private_body(row.entry),
            state=State.IN_FLIGHT if in_flight else State.WAITING,
            attempts=row.attempts,
            due_at=row.due_at if is_head else row.entry.due_at,
            reason=row.reason,
            detail=row.detail,
        )


def _listed_ended(ended: _Ended) -> Listed:
    row = ended.row
    return Listed(
        entry=_without_private_body(row.entry),
        state=ended.state,
        attempts=row.attempts,
        reason=row.reason,
        detail=row.detail,
        ended_at=ended.ended_at,
    )


def _without_private_body(entry: Entry) -> Entry:
    return attrs.evolve(entry, body=b"") if entry.queue == Queue.INBOX else entry


def _has_expired(mark: Mark, now: float) -> bool:
    return mark.expires_at is not None and mark.expires_at <= now
