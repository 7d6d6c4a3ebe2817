"""
Many units in one transaction: read once what they depend on, decide each in memory, write once what they change.

Each unit is decided against what the units before it left, so a unit that is refused has written nothing, and no
savepoint is needed.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import orjson

from . import sqlite_statements as sql
from .contract import Claim, Committed, Condition, Entry, Lease, Mark, Outcome, Settlement, Unit, Verdict
from .settings import NewToken
from .sqlite_counts import Counts, next_place, set_next_place


@attrs.define(kw_only=True)
class _Head:
    """
    A lane's first entry, as the units so far leave it.
    """

    entry: Entry
    place: int
    due_at: float
    token: str | None = None
    attempts: int = 0


@attrs.define(kw_only=True)
class _Leased:
    """
    A head somebody claims to own, and the entry that follows it in its lane.
    """

    queue: str
    lane: str
    place: int
    token: str | None
    successor: _Head | None


class CommitGroup:
    """
    The units of one transaction, which its caller begins and ends.

    Args:
        connection: In a write transaction.
        now: Wall-clock seconds since the epoch.
        new_token: Gives the token of each lease.
        dedupe_seconds: See `StoreSettings`.
    """

    def __init__(
        self, connection: sqlite3.Connection, *, now: float, new_token: NewToken, dedupe_seconds: float
    ) -> None:
        self._connection = connection
        self._now = now
        self._new_token = new_token
        self._remember_until = now + dedupe_seconds
        self._seen: set[str] = set()
        self._busy_lanes: set[tuple[str, str]] = set()
        self._behind: dict[tuple[str, str], deque[_Head]] = {}
        self._leased: dict[str, _Leased] = {}
        self._marks: dict[str, bytes] = {}
        self._written_marks: dict[str, Mark] = {}
        self._new_entries: list[tuple[object, ...]] = []
        self._new_heads: list[_Head] = []
        self._kept_heads: list[tuple[object, ...]] = []
        self._ended: list[tuple[object, ...]] = []
        self._settled: list[tuple[str, str, int]] = []
        self._counts = Counts()
        self._place = self._first_place = 0

    def run(self, units: Sequence[Unit]) -> list[Committed]:
        """
        Decide and write all *units*, in order.
        """
        self._read(units)
        answers = [self._decide(unit) for unit in units]
        self._write()
        return answers

    def _read(self, units: Sequence[Unit]) -> None:
        execute = self._connection.execute
        appends = [entry for unit in units for entry in unit.appends]
        if appends:
            self._seen = {
                entry_id for (entry_id,) in execute(sql.SEEN, (_json(entry.id for entry in appends), self._now))
            }
            for queue in {entry.queue for entry in appends}:
                lanes = _json({entry.lane for entry in appends if entry.queue == queue})
                self._busy_lanes.update((queue, lane) for (lane,) in execute(sql.BUSY_LANES, (lanes, queue)))
            self._place = self._first_place = next_place(self._connection)
        settled = [settlement.claim.entry.id for unit in units for settlement in unit.settlements]
        if settled:
            for entry_id, queue, lane, place, token, *successor in execute(sql.LEASED, (_json(settled),)):
                self._leased[entry_id] = _Leased(
                    queue=queue, lane=lane, place=place, token=token, successor=self._head_of(successor)
                )
                self._busy_lanes.add((queue, lane))
        keys = {mark.key for unit in units for mark in unit.marks if mark.condition is not Condition.ALWAYS}
        if keys:
            self._marks = dict(execute(sql.RECALL, (_json(keys), self._now)))

    def _head_of(self, row: Sequence[Any]) -> _Head | None:
        place, *columns = row
        if not isinstance(place, int):
            return None
        entry = entry_of(columns)
        return _Head(entry=entry, place=place, due_at=self._due_at(entry))

    def _decide(self, unit: Unit) -> Committed:
        refusal = self._refusal(unit)
        if refusal is not None:
            return refusal
        claimable = [head for settlement in unit.settlements if (head := self._settle(settlement)) is not None]
        appended: list[str] = []
        repeated: list[str] = []
        for entry in unit.appends:
            if entry.id in self._seen:
                repeated.append(entry.id)
                continue
            appended.append(entry.id)
            head = self._append(entry)
            if head is not None:
                claimable.append(head)
        for mark in unit.marks:
            self._write_mark(mark)
        return Committed(
            verdict=Verdict.COMMITTED,
            appended=tuple(appended),
            repeated=tuple(repeated),
            leased=() if unit.lease is None else tuple(self._lease(claimable, unit.lease)),
        )

    def _refusal(self, unit: Unit) -> Committed | None:
        if unit.settlements:
            settled: set[str] = set()
            for settlement in unit.settlements:
                entry_id = settlement.claim.entry.id
                leased = self._leased.get(entry_id)
                if leased is None or leased.token != settlement.claim.token or entry_id in settled:
                    return Committed(verdict=Verdict.LEASE_LOST, failed_key=entry_id)
                settled.add(entry_id)
        for mark in unit.marks:
            if mark.condition is Condition.ALWAYS:
                continue
            expected = None if mark.condition is Condition.IF_ABSENT else mark.expected
            if self._marks.get(mark.key) != expected:
                return Committed(verdict=Verdict.CONDITION_FAILED, failed_key=mark.key)
        return None

    def _settle(self, settlement: Settlement) -> _Head | None:
        """
        End a claim; returns the head this made claimable.
        """
        entry_id = settlement.claim.entry.id
        leased = self._leased.pop(entry_id)
        if settlement.outcome is Outcome.RELEASE:
            self._kept_heads.append((self._now, 1, None, None, leased.queue, leased.place))
            return None
        if settlement.outcome is Outcome.RETRY:
            due_at = max(self._now, settlement.retry_at or self._now)
            self._kept_heads.append((due_at, 0, settlement.reason, settlement.detail, leased.queue, leased.place))
            return None
        self._settled.append((entry_id, leased.queue, leased.place))
        self._counts.add(leased.queue, settlement.outcome.value)
        if settlement.outcome is not Outcome.DONE:
            keeps_body = settlement.outcome is Outcome.DEAD
            about = (settlement.outcome.value, settlement.reason, settlement.detail, self._now)
            self._ended.append((keeps_body, *about, leased.place))
        return self._successor(leased)

    def _successor(self, leased: _Leased) -> _Head | None:
        lane = (leased.queue, leased.lane)
        behind = self._behind.get(lane)
        head = leased.successor or (behind.popleft() if behind else None)
        if head is None:
            self._busy_lanes.discard(lane)
        else:
            self._new_heads.append(head)
        return head

    def _append(self, entry: Entry) -> _Head | None:
        """
        Add an entry; returns it as a head if its lane was empty.
        """
        place = self._place
        self._place += 1
        self._seen.add(entry.id)
        self._counts.add(entry.queue, "accepted")
        self._new_entries.append(
            (place, entry.id, entry.queue, entry.lane, entry.schema, entry.created_at, entry.due_at, entry.body)
        )
        head = _Head(entry=entry, place=place, due_at=self._due_at(entry))
        lane = (entry.queue, entry.lane)
        if lane in self._busy_lanes:
            self._behind.setdefault(lane, deque()).append(head)
            return None
        self._busy_lanes.add(lane)
        self._new_heads.append(head)
        return head

    def _due_at(self, entry: Entry) -> float:
        return self._now if entry.due_at is None else max(self._now, entry.due_at)

    def _write_mark(self, mark: Mark) -> None:
        self._written_marks[mark.key] = mark
        if mark.value is None or (mark.expires_at is not None and mark.expires_at <= self._now):
            self._marks.pop(mark.key, None)
        else:
            self._marks[mark.key] = mark.value

    def _lease(self, claimable: Sequence[_Head], lease: Lease) -> Iterable[Claim]:
        for head in claimable:
            if head.entry.queue == lease.queue and head.due_at <= self._now:
                head.token = self._new_token()
                head.attempts = 1
                head.due_at = self._now + lease.seconds
                yield Claim(entry=head.entry, token=head.token, expires_at=head.due_at, attempt=1)

    def _write(self) -> None:
        many = self._connection.executemany
        if self._new_entries:
            many(sql.INSERT_ENTRY, self._new_entries)
            set_next_place(self._connection, self._place)
        if self._ended:
            many(sql.END_ENTRY, self._ended)
        if self._settled:
            many(sql.REMEMBER, [(entry_id, self._remember_until, place) for entry_id, _, place in self._settled])
            many(sql.DELETE_HEAD, [(queue, place) for _, queue, place in self._settled])
            many(sql.DELETE_ENTRY, [(place,) for _, _, place in self._settled])
        if self._new_heads:
            many(sql.INSERT_HEAD, map(_head_row, self._new_heads))
        if self._kept_heads:
            many(sql.KEEP_HEAD, self._kept_heads)
        if self._written_marks:
            write_marks(self._connection, self._written_marks.values())
        self._counts.write(self._connection)


def write_marks(connection: sqlite3.Connection, marks: Iterable[Mark]) -> None:
    """
    Put and delete *marks*, whatever their conditions.
    """
    marks = list(marks)
    put = [(mark.key, mark.value, mark.expires_at) for mark in marks if mark.value is not None]
    if put:
        connection.executemany(sql.PUT_MARK, put)
    if len(put) < len(marks):
        connection.executemany(sql.DELETE_MARK, [(mark.key,) for mark in marks if mark.value is None])


def entry_of(columns: Sequence[Any]) -> Entry:
    """
    The entry whose columns a statement of `sqlite_statements` has read.
    """
    entry_id, queue, lane, schema, created_at, due_at, body = columns
    return Entry(id=entry_id, queue=queue, lane=lane, schema=schema, created_at=created_at, due_at=due_at, body=body)


def _head_row(head: _Head) -> tuple[object, ...]:
    entry = head.entry
    return (entry.queue, head.place, entry.created_at, head.token is not None, head.due_at, head.token, head.attempts)


def _json(texts: Iterable[str]) -> str:
    return orjson.dumps(list(texts)).decode()
