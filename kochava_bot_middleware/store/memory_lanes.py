"""
The lanes of the memory store: what waits, what is leased, what has ended, and the counts of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from .listing import Listed, QueueStats, State
from .page import without_private_body
from .settings import NewToken
from .unit import Claim, Entry, Outcome, Settlement


@attrs.define(kw_only=True)
class Row:
    """
    An entry, and what became of it. `place` is its rank among all that was appended.
    """

    entry: Entry
    place: int
    due_at: float = 0.0
    token: str | None = None
    attempts: int = 0
    reason: str = ""
    detail: str = ""
    ended: State | None = None
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
    """
    All lanes of all queues. Only the first row of a lane is ever leased.
    """

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
        """
        Append a new entry; returns it if its lane was empty.
        """
        self._counts.setdefault(entry.queue, _Counts()).accepted += 1
        return self._append(entry, now)

    def settle(self, settlement: Settlement, now: float) -> list[Row]:
        """
        End a claim; returns the head this made claimable.
        """
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
        self._end(row, State(settlement.outcome.value), now)
        if not lane:
            del self._lanes[row.entry.queue, row.entry.lane]
            return []
        lane[0].due_at = max(now, lane[0].entry.due_at or now)
        return [lane[0]]

    def lease(self, row: Row, now: float, seconds: float) -> Claim:
        """
        Give a head to whoever asked.
        """
        row.token = self._new_token()
        row.attempts += 1
        row.due_at = now + seconds
        return Claim(entry=row.entry, token=row.token, expires_at=row.due_at, attempt=row.attempts)

    def owned(self, claim: Claim) -> Row | None:
        """
        The row, if its token is still that of *claim*.
        """
        row = self._living.get(claim.entry.id)
        return row if row is not None and row.token == claim.token else None

    def heads(self, queue: str) -> list[Row]:
        return [rows[0] for (of, _), rows in self._lanes.items() if of == queue]

    def is_seen(self, entry_id: str, now: float) -> bool:
        remembered_until = self._remembered.get(entry_id, (now, 0))[0]
        return entry_id in self._living or entry_id in self._ended or remembered_until > now

    def retry(self, entry_id: str, now: float) -> bool:
        """
        Put a dead entry back; returns whether there is such a one.
        """
        row = self._ended.get(entry_id)
        if row is None or row.ended is not State.DEAD:
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
        """
        Drop what lives or is dead in *lanes* of every queue.
        """
        gone = [row for row in self._rows() if row.entry.lane in lanes and row.ended is not State.DROPPED]
        for row in gone:
            if row.ended is State.DEAD:
                self._counts[row.entry.queue].dead -= 1
            self._lanes.pop((row.entry.queue, row.entry.lane), None)
            row.reason, row.detail = reason, ""
            self._end(row, State.DROPPED, now)
        return len(gone)

    def sweep(self, now: float) -> None:
        self._remembered = {id_: seen for id_, seen in self._remembered.items() if seen[0] > now}

    def stats(self, now: float) -> dict[str, QueueStats]:
        return {queue: self._queue_stats(queue, counts, now) for queue, counts in self._counts.items()}

    def listed(self, after: str | None, now: float) -> Iterator[Listed]:
        """
        All rows behind that of the id *after*, in order.
        """
        place = -1 if after is None else self._place_of(after)
        for row in sorted(self._rows(), key=lambda row: row.place):
            if place is not None and row.place > place:
                yield self._listed(row, now)

    def find(self, entry_id: str, now: float) -> Listed | None:
        """
        The row of that id.
        """
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

    def _end(self, row: Row, state: State, now: float) -> None:
        self._living.pop(row.entry.id, None)
        self._remembered[row.entry.id] = (now + self._dedupe_seconds, row.place)
        counts = self._counts[row.entry.queue]
        if state is State.DONE:
            counts.done += 1
            return
        if state is State.DEAD:
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
            state=row.ended or (State.IN_FLIGHT if row.is_in_flight(now) else State.WAITING),
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
