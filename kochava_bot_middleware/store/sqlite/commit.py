"""
Many units in one transaction: read once what they depend on, decide each in memory, write once what they change.

Each unit is decided against what the units before it left, so a unit that is refused has written nothing, and no
savepoint is needed.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence

from ..records import Claim, Committed, CommitVerdict, Condition, Entry, Lease, Mark, Outcome, Settlement, Unit
from ..settings import NewToken
from . import statements as sql
from .counts import Counts, set_next_place
from .dependencies import Head, Leased, first_due_at, json_text, read_dependencies
from .rows import insert


class CommitGroup:
    """
    The units of one transaction, which its caller begins and ends.

    Args:
        connection: In a write transaction.
        units: In the order in which they came.
        now: Wall-clock seconds since the epoch.
        new_token: Gives the token of each lease.
        dedupe_seconds: See `StoreSettings`.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        units: Sequence[Unit],
        *,
        now: float,
        new_token: NewToken,
        dedupe_seconds: float,
    ) -> None:
        self._connection = connection
        self._units = units
        self._now = now
        self._new_token = new_token
        self._remember_until = now + dedupe_seconds
        self._found = read_dependencies(connection, units, now)
        self._behind: dict[tuple[str, str], deque[Head]] = {}
        self._written_marks: dict[str, Mark] = {}
        self._new_entries: list[tuple[object, ...]] = []
        self._new_heads: list[Head] = []
        self._kept_heads: list[tuple[object, ...]] = []
        self._ended: list[tuple[object, ...]] = []
        self._settled: list[int] = []
        self._counts = Counts()

    def run(self) -> list[Committed]:
        """Decide and write all units, in order."""
        answers = [self._decide(unit) for unit in self._units]
        self._write()
        return answers

    def _decide(self, unit: Unit) -> Committed:
        refusal = self._refusal(unit)
        if refusal is not None:
            return refusal
        claimable = [head for settlement in unit.settlements if (head := self._settle(settlement)) is not None]
        appended: list[str] = []
        repeated: list[str] = []
        for entry in unit.appends:
            if entry.id in self._found.seen:
                repeated.append(entry.id)
                continue
            appended.append(entry.id)
            head = self._append(entry)
            if head is not None:
                claimable.append(head)
        for mark in unit.marks:
            self._write_mark(mark)
        return Committed(
            verdict=CommitVerdict.COMMITTED,
            appended=tuple(appended),
            repeated=tuple(repeated),
            leased=() if unit.lease is None else tuple(self._lease(claimable, unit.lease)),
        )

    def _refusal(self, unit: Unit) -> Committed | None:
        if unit.settlements:
            settled: set[str] = set()
            for settlement in unit.settlements:
                entry_id = settlement.claim.entry.id
                leased = self._found.leased.get(entry_id)
                if leased is None or leased.token != settlement.claim.token or entry_id in settled:
                    return Committed(verdict=CommitVerdict.LEASE_LOST, failed_key=entry_id)
                settled.add(entry_id)
        for mark in unit.marks:
            if mark.condition is Condition.ALWAYS:
                continue
            expected = None if mark.condition is Condition.IF_ABSENT else mark.expected
            if self._found.marks.get(mark.key) != expected:
                return Committed(verdict=CommitVerdict.CONDITION_FAILED, failed_key=mark.key)
        return None

    def _settle(self, settlement: Settlement) -> Head | None:
        """End a claim; returns the head this made claimable."""
        entry_id = settlement.claim.entry.id
        leased = self._found.leased.pop(entry_id)
        if settlement.outcome is Outcome.RELEASE:
            self._kept_heads.append((self._now, 1, None, None, leased.queue, leased.place))
            return None
        if settlement.outcome is Outcome.RETRY:
            due_at = max(self._now, settlement.retry_at or self._now)
            self._kept_heads.append((due_at, 0, settlement.reason, settlement.detail, leased.queue, leased.place))
            return None
        self._settled.append(leased.place)
        self._counts.add(leased.queue, settlement.outcome.value)
        if settlement.outcome is not Outcome.DONE:
            keeps_body = settlement.outcome is Outcome.DEAD
            about = (settlement.outcome.value, settlement.reason, settlement.detail, self._now)
            self._ended.append((keeps_body, *about, leased.place))
        return self._successor(leased)

    def _successor(self, leased: Leased) -> Head | None:
        lane = (leased.queue, leased.lane)
        behind = self._behind.get(lane)
        head = leased.successor or (behind.popleft() if behind else None)
        if head is None:
            self._found.busy_lanes.discard(lane)
        else:
            self._new_heads.append(head)
        return head

    def _append(self, entry: Entry) -> Head | None:
        """Add an entry; returns it as a head if its lane was empty."""
        place = self._found.place
        self._found.place += 1
        self._found.seen.add(entry.id)
        self._counts.add(entry.queue, "accepted")
        self._new_entries.append(
            (place, entry.id, entry.queue, entry.lane, entry.schema, entry.created_at, entry.due_at, entry.body)
        )
        head = Head(entry=entry, place=place, due_at=first_due_at(entry, self._now))
        lane = (entry.queue, entry.lane)
        if lane in self._found.busy_lanes:
            self._behind.setdefault(lane, deque()).append(head)
            return None
        self._found.busy_lanes.add(lane)
        self._new_heads.append(head)
        return head

    def _write_mark(self, mark: Mark) -> None:
        self._written_marks[mark.key] = mark
        if mark.value is None or (mark.expires_at is not None and mark.expires_at <= self._now):
            self._found.marks.pop(mark.key, None)
        else:
            self._found.marks[mark.key] = mark.value

    def _lease(self, claimable: Sequence[Head], lease: Lease) -> Iterable[Claim]:
        for head in claimable:
            if head.entry.queue == lease.queue and head.due_at <= self._now:
                head.token = self._new_token()
                head.attempts = 1
                head.due_at = self._now + lease.seconds
                yield Claim(entry=head.entry, token=head.token, expires_at=head.due_at, attempt=1)

    def _write(self) -> None:
        execute = self._connection.execute
        if self._new_entries:
            insert(self._connection, "entries", self._new_entries)
            set_next_place(self._connection, self._found.place)
        if self._ended:
            self._connection.executemany(sql.END_ENTRY, self._ended)
        if self._settled:
            places = json_text(self._settled)
            execute(sql.REMEMBER_ENTRIES, (places, self._remember_until))
            execute(sql.DELETE_HEADS, (places,))
            execute(sql.DELETE_ENTRIES, (places,))
        if self._new_heads:
            insert(self._connection, sql.HEADS, map(_head_row, self._new_heads))
        if self._kept_heads:
            self._connection.executemany(sql.KEEP_HEAD, self._kept_heads)
        if self._written_marks:
            write_marks(self._connection, self._written_marks.values())
        self._counts.write(self._connection)


def write_marks(connection: sqlite3.Connection, marks: Iterable[Mark]) -> None:
    """Put and delete *marks*, whatever their conditions."""
    marks = list(marks)
    put = [(mark.key, mark.value, mark.expires_at) for mark in marks if mark.value is not None]
    if put:
        insert(connection, "marks", put, sql.REPLACE_MARK)
    if len(put) < len(marks):
        connection.executemany(sql.DELETE_MARK, [(mark.key,) for mark in marks if mark.value is None])


def _head_row(head: Head) -> tuple[object, ...]:
    entry = head.entry
    leased = head.token is not None
    return (entry.queue, head.place, entry.created_at, leased, head.due_at, head.token, head.attempts, "", "")
