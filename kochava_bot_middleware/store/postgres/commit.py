"""
Many units in one transaction: lock and read once what they depend on, decide in memory, write once what they change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from ..day_counts import DayCounts
from ..plan import CommitPlan, Lane, QueuedEntry, Snapshot, StoredHead
from ..records import Committed, Condition, Mark, Outcome, Unit
from ..settings import NewToken
from . import statements as sql
from .session import CombinedStatement, PostgresSession, columns, entry_of, from_text


async def commit_units(session: PostgresSession, units: Sequence[Unit], new_token: NewToken) -> list[Committed]:
    """
    Decide and write all *units*, in order.

    Raises:
        Raced: Another process changed what the decisions depend on.
    """
    plan = CommitPlan(await _read(session, units), new_token)
    answers = [plan.decide(unit) for unit in units]
    writes = CombinedStatement()
    _add_entries(writes, plan)
    _add_lanes(writes, plan)
    _add_planned_marks(writes, plan)
    add_counts(writes, plan.counts)
    add_day_counts(writes, plan.day_counts)
    await writes.run(session)
    return answers


async def lock_heads(
    session: PostgresSession, statement: str, *arguments: Sequence[str]
) -> tuple[float, dict[Lane, StoredHead]]:
    """Lock heads, so that no other transaction changes their lanes; returns the time and the heads there are."""
    rows = await session.fetch(statement, *arguments)
    heads = {
        (from_text(queue), from_text(lane)): StoredHead(place=place, id=from_text(id_), token=token, attempts=attempts)
        for _, queue, lane, place, id_, token, attempts in rows
        if queue is not None
    }
    return rows[0][0], heads


async def take_places(session: PostgresSession, ids: Sequence[str]) -> tuple[Iterator[int], frozenset[str]]:
    """A new place for each of *ids*, ascending, and those ids that were seen before."""
    rows = await session.fetch(sql.SEEN, ids)
    seen = frozenset(id_ for id_, (_, is_seen) in zip(ids, rows, strict=True) if is_seen)
    return iter(sorted(place for place, _ in rows)), seen


def add_new_heads(writes: CombinedStatement, heads: Sequence[QueuedEntry]) -> None:
    """Write the heads of lanes that were empty."""
    writes.add("new_heads", sql.NEW_HEADS, list(map(_head_row, heads)), is_checked=True)


def add_marks(writes: CombinedStatement, marks: Sequence[Mark], now: float) -> None:
    """Put and delete state entries, whatever is there."""
    writes.add("put_marks", sql.PUT_MARKS, [_mark_row(mark, now) for mark in marks if mark.value is not None])
    writes.add("deleted_marks", sql.DELETE_MARKS, [(mark.key,) for mark in marks if mark.value is None])


def add_counts(writes: CombinedStatement, counts: Mapping[tuple[str, str], int]) -> None:
    """Let counts, by queue and name, grow."""
    names = ("accepted", "done", "dead", "dropped")
    rows = [(queue, *(counts.get((queue, name), 0) for name in names)) for queue in {queue for queue, _ in counts}]
    writes.add("counts", sql.ADD_COUNTS, rows)


def add_day_counts(writes: CombinedStatement, counts: DayCounts) -> None:
    """Let counters by day grow."""
    writes.add("day_counts", sql.ADD_DAY_COUNTS, list(map(attrs.astuple, counts.rows())))


async def _read(session: PostgresSession, units: Sequence[Unit]) -> Snapshot:
    appends = [entry for unit in units for entry in unit.appends]
    settlements = [settlement for unit in units for settlement in unit.settlements]
    marks = [mark for unit in units for mark in unit.marks]
    lanes = {(e.queue, e.lane) for e in itertools.chain(appends, (s.claim.entry for s in settlements))}
    now = 0.0
    heads: Mapping[Lane, StoredHead] = {}
    if lanes:
        now, heads = await lock_heads(session, sql.LOCK_HEADS, *columns(sorted(lanes)))
    values: dict[str, bytes] = {}
    if not lanes or any(mark.condition is not Condition.ALWAYS for mark in marks):
        rows = await session.fetch(sql.LOCK_MARKS, sorted({mark.key for mark in marks}))
        now = now or rows[0][0]
        values = {
            from_text(key): value
            for _, key, value, expires_at in rows
            if key is not None and (expires_at is None or expires_at > now)
        }
    ending = {
        (s.claim.entry.queue, s.claim.entry.lane)
        for s in settlements
        if s.outcome not in (Outcome.RETRY, Outcome.RELEASE)
    }
    places: Iterator[int] = iter(())
    seen: frozenset[str] = frozenset()
    if appends:
        places, seen = await take_places(session, [entry.id for entry in appends])
    return Snapshot(
        now=now,
        heads=heads,
        successors=await _successors(session, [(*lane, heads[lane].place) for lane in ending & heads.keys()], now),
        seen=seen,
        places=places,
        values=values,
    )


async def _successors(
    session: PostgresSession, heads: Sequence[tuple[str, str, int]], now: float
) -> dict[Lane, QueuedEntry]:
    """What follows the heads, each given with queue, lane and place."""
    rows = await session.fetch(sql.SUCCESSORS, *columns(heads), now) if heads else ()
    successors = [QueuedEntry(entry=entry_of(row), place=place, due_at=due_at) for place, due_at, *row in rows]
    return {(queued.entry.queue, queued.entry.lane): queued for queued in successors}


def _add_entries(writes: CombinedStatement, plan: CommitPlan) -> None:
    appended = [
        (queued.place, e.id, e.queue, e.lane, e.schema, e.created_at, queued.due_at, e.body, e.kind, e.name, e.label)
        for queued in plan.appended
        for e in (queued.entry,)
    ]
    writes.add("new_entries", sql.NEW_ENTRIES, appended, is_checked=True)
    settled = [(head.id, end.outcome.value, head.attempts, end.reason, end.detail) for head, end in plan.settled]
    writes.add("settled_entries", sql.SETTLED_ENTRIES, settled, plan.snapshot.now)


def _add_lanes(writes: CombinedStatement, plan: CommitPlan) -> None:
    lanes = plan.lanes
    add_new_heads(writes, [lane.head for lane in lanes.values() if lane.head is not None and lane.stored is None])
    following = [lane.head for lane in lanes.values() if lane.head is not None and lane.stored is not None]
    writes.add("next_heads", sql.NEXT_HEADS, list(map(_head_row, following)))
    returned = [
        (*of_lane, back.due_at, int(back.is_uncounted), back.reason, back.detail)
        for of_lane, lane in lanes.items()
        for back in (lane.returned,)
        if back is not None
    ]
    writes.add("returned_heads", sql.RETURNED_HEADS, returned)
    gone = [of_lane for of_lane, lane in lanes.items() if lane.is_settled and lane.head is None]
    writes.add("gone_heads", sql.GONE_HEADS, gone)


def _add_planned_marks(writes: CombinedStatement, plan: CommitPlan) -> None:
    """A key whose condition was checked while it was absent could not be locked: it must be absent still."""
    now = plan.snapshot.now
    unlocked = plan.checked_keys - plan.snapshot.values.keys()
    of_absent = [mark for key, mark in plan.marks.items() if key in unlocked]
    put = [_mark_row(mark, now) for mark in of_absent if mark.value is not None]
    writes.add("put_absent_marks", sql.PUT_ABSENT_MARKS, put, now, is_checked=True)
    # An expired row would be there again if the clock were set back.
    gone = [(mark.key,) for mark in of_absent if mark.value is None]
    writes.add("deleted_absent_marks", sql.DELETE_EXPIRED_MARKS, gone, now)
    add_marks(writes, [mark for key, mark in plan.marks.items() if key not in unlocked], now)


def _head_row(head: QueuedEntry) -> tuple[Any, ...]:
    entry = head.entry
    return (entry.queue, entry.lane, head.place, entry.id, head.due_at, head.token, head.attempts)


def _mark_row(mark: Mark, now: float) -> tuple[str, bytes | None, float | None]:
    after = mark.expires_after_seconds
    return mark.key, mark.value, None if after is None else now + after
