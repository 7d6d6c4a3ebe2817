"""
Many units together: read once what they depend on, decide in memory, write once what they change.

Each of both is one statement and one round trip. The second one first locks what was read, and fails unless it is still
the same (`CombinedStatement.run`). What has failed is repeated in a transaction that locks before it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..day_counts import DayCounts
from ..plan import CommitPlan, Lane, QueuedEntry, Snapshot, StoredHead
from ..records import Committed, Condition, Mark, Outcome, Unit
from ..settings import NewToken
from . import statements as sql
from .session import CombinedStatement, PostgresSession, TablesEmptied, columns, entry_of, from_text


async def commit_units(session: PostgresSession, units: Sequence[Unit], new_token: NewToken) -> list[Committed]:
    """Decide and write all *units*, in order."""
    plan = CommitPlan(await _read(session, units), new_token)
    answers = [plan.decide(unit) for unit in units]
    writes = CombinedStatement()
    _add_entries(writes, plan)
    _add_lanes(writes, plan)
    _add_planned_marks(writes, plan)
    add_counts(writes, plan.counts)
    add_day_counts(writes, plan.day_counts)
    await writes.run(session, sql.HOLD, *_held(plan))
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
    writes.add("day_counts", sql.ADD_DAY_COUNTS, counts.changes())


async def _read(session: PostgresSession, units: Sequence[Unit]) -> Snapshot:
    lanes = {(entry.queue, entry.lane): False for unit in units for entry in unit.appends}
    for unit in units:
        for settlement in unit.settlements:
            of_lane = (settlement.claim.entry.queue, settlement.claim.entry.lane)
            ends = settlement.outcome not in (Outcome.RETRY, Outcome.RELEASE)
            lanes[of_lane] = ends or lanes.get(of_lane, False)
    marks = [mark for unit in units for mark in unit.marks]
    checked = {mark.key for mark in marks if mark.condition is not Condition.ALWAYS}
    by_lane = columns(sorted((*of_lane, ends) for of_lane, ends in lanes.items())) or [[], [], []]
    if session.is_transaction:
        await session.fetch(sql.LOCK_HEADS, *by_lane[:2])
        await session.fetch(sql.LOCK_MARKS, sorted(checked))
    ids = [entry.id for unit in units for entry in unit.appends]
    read = sql.READ if session.is_transaction else sql.READ_ALONE
    return _snapshot(await session.fetch(read, *by_lane, ids, list(checked)))


def _snapshot(rows: Sequence[Sequence[Any]]) -> Snapshot:
    """What the statement `statements.READ` has read."""
    now: float | None = None
    heads: dict[Lane, StoredHead] = {}
    successors: dict[Lane, QueuedEntry] = {}
    seen: set[str] = set()
    places: list[int] = []
    values: dict[str, bytes] = {}
    for kind, place, moment, *entry in rows:
        id_, queue, lane, number, _, value, token, _, _ = entry
        if kind == "now":
            now = moment
        elif kind == "head":
            stored = StoredHead(place=place, id=from_text(id_), token=token, attempts=number)
            heads[from_text(queue), from_text(lane)] = stored
        elif kind == "next":
            queued = QueuedEntry(entry=entry_of(entry), place=place, due_at=moment)
            successors[queued.entry.queue, queued.entry.lane] = queued
        elif kind == "mark":
            values[from_text(id_)] = value
        else:
            places.append(place)
            if kind == "seen":
                seen.add(from_text(id_))
    if now is None:
        raise TablesEmptied
    return Snapshot(
        now=now, heads=heads, successors=successors, seen=frozenset(seen), places=iter(sorted(places)), values=values
    )


def _held(plan: CommitPlan) -> list[Any]:
    """
    The arguments of `statements.HOLD`: what must still be as it was read.

    What was appended to needs its head where it was. What is settled needs its token too, and for good also its
    successor (0: none, -1: any).
    """
    lanes: list[tuple[Any, ...]] = []
    for of_lane, lane in plan.lanes.items():
        if lane.stored is None or not (lane.is_settled or lane.returned or lane.behind):
            continue
        following = None if lane.returned is None else -1
        if lane.is_settled:
            successor = plan.snapshot.successors.get(of_lane)
            following = 0 if successor is None else successor.place
        lanes.append((*of_lane, lane.stored.place, lane.stored.token, following))
    values = [(key, value) for key, value in plan.snapshot.values.items() if key in plan.checked_keys]
    return [*(columns(lanes) or [[]] * 5), *(columns(values) or [[]] * 2), plan.snapshot.now]


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
    """A key whose condition was checked while it was absent cannot be locked: it must be absent still."""
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
