"""
Many units in one transaction: lock and read once what they depend on, decide in memory, write once what they change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..plan import CommitPlan, Lane, LaneChange, QueuedEntry, Snapshot, StoredHead
from ..records import Committed, Condition, Mark, Outcome, Unit
from ..settings import NewToken
from . import statements as sql
from .session import CombinedStatement, PostgresSession, columns, entry_of, from_text, to_text

_COUNTS = ("accepted", "done", "dead", "dropped")


async def commit_units(
    session: PostgresSession, units: Sequence[Unit], *, new_token: NewToken, dedupe_seconds: float
) -> list[Committed]:
    """
    Decide and write all *units*, in order.

    Raises:
        Raced: Another process changed what the decisions depend on.
    """
    plan = CommitPlan(await _read(session, units, dedupe_seconds), new_token)
    answers = [plan.decide(unit) for unit in units]
    writes = CombinedStatement()
    _add_entries(writes, plan, dedupe_seconds)
    _add_lanes(writes, plan.lanes)
    _add_planned_marks(writes, plan)
    add_counts(writes, plan.counts)
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


async def take_places(
    session: PostgresSession, ids: Sequence[str], dedupe_seconds: float
) -> tuple[Iterator[int], frozenset[str]]:
    """A new place for each of *ids*, ascending, and those ids that were seen before."""
    rows = await session.fetch(sql.SEEN, [to_text(id_) for id_ in ids], dedupe_seconds)
    seen = frozenset(id_ for id_, (_, is_seen) in zip(ids, rows, strict=True) if is_seen)
    return iter(sorted(place for place, _ in rows)), seen


def add_heads(writes: CombinedStatement, heads: Sequence[Sequence[Any]], *, are_new: bool) -> None:
    """Write heads, each given with the columns of the statement: of lanes that were empty, or in place of others."""
    if heads and are_new:
        writes.add("new_heads", sql.NEW_HEADS, *columns(heads), expected=len(heads))
    elif heads:
        writes.add("next_heads", sql.NEXT_HEADS, *columns(heads))


def add_marks(writes: CombinedStatement, marks: Sequence[Mark], now: float) -> None:
    """Put and delete state entries, whatever is there."""
    put = [_mark_row(mark, now) for mark in marks if mark.value is not None]
    if put:
        writes.add("put_marks", sql.PUT_MARKS, *columns(put))
    if len(put) < len(marks):
        writes.add("deleted_marks", sql.DELETE_MARKS, [to_text(mark.key) for mark in marks if mark.value is None])


def add_counts(writes: CombinedStatement, counts: Mapping[tuple[str, str], int]) -> None:
    """Let counts, by queue and name, grow."""
    if counts:
        queues = list({queue for queue, _ in counts})
        numbers = [[counts.get((queue, name), 0) for queue in queues] for name in _COUNTS]
        writes.add("counts", sql.ADD_COUNTS, list(map(to_text, queues)), *numbers)


async def _read(session: PostgresSession, units: Sequence[Unit], dedupe_seconds: float) -> Snapshot:
    appends = [entry for unit in units for entry in unit.appends]
    settlements = [settlement for unit in units for settlement in unit.settlements]
    marks = [mark for unit in units for mark in unit.marks]
    lanes = {(e.queue, e.lane) for e in itertools.chain(appends, (s.claim.entry for s in settlements))}
    now = 0.0
    heads: Mapping[Lane, StoredHead] = {}
    if lanes:
        names = columns([(to_text(queue), to_text(lane)) for queue, lane in sorted(lanes)])
        now, heads = await lock_heads(session, sql.LOCK_HEADS, *names)
    values: dict[str, bytes] = {}
    if not lanes or any(mark.condition is not Condition.ALWAYS for mark in marks):
        rows = await session.fetch(sql.LOCK_MARKS, sorted({to_text(mark.key) for mark in marks}))
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
        places, seen = await take_places(session, [entry.id for entry in appends], dedupe_seconds)
    return Snapshot(
        now=now,
        heads=heads,
        successors=await _successors(session, {lane: heads[lane].place for lane in ending & heads.keys()}, now),
        seen=seen,
        places=places,
        values=values,
    )


async def _successors(session: PostgresSession, places: Mapping[Lane, int], now: float) -> dict[Lane, QueuedEntry]:
    if not places:
        return {}
    behind = columns([(to_text(queue), to_text(lane), place) for (queue, lane), place in places.items()])
    successors = [
        QueuedEntry(entry=entry_of(row), place=place, due_at=due_at)
        for place, due_at, *row in await session.fetch(sql.SUCCESSORS, *behind, now)
    ]
    return {(queued.entry.queue, queued.entry.lane): queued for queued in successors}


def _add_entries(writes: CombinedStatement, plan: CommitPlan, dedupe_seconds: float) -> None:
    appended = [
        (
            queued.place,
            to_text(e.id),
            to_text(e.queue),
            to_text(e.lane),
            e.schema,
            e.created_at,
            queued.due_at,
            e.body,
            to_text(e.kind),
            to_text(e.name),
        )
        for queued in plan.appended
        for e in (queued.entry,)
    ]
    if appended:
        writes.add("new_entries", sql.NEW_ENTRIES, *columns(appended), dedupe_seconds, expected=len(appended))
    settled = [
        (
            to_text(head.id),
            settlement.outcome.value,
            head.attempts,
            to_text(settlement.reason),
            to_text(settlement.detail),
        )
        for head, settlement in plan.settled
    ]
    if settled:
        writes.add("settled_entries", sql.SETTLED_ENTRIES, *columns(settled), plan.snapshot.now)


def _add_lanes(writes: CombinedStatement, lanes: Mapping[Lane, LaneChange]) -> None:
    changes = lanes.items()
    heads = [(lane.stored is None, _head_row(lane.head)) for lane in lanes.values() if lane.head is not None]
    add_heads(writes, [row for is_new, row in heads if is_new], are_new=True)
    add_heads(writes, [row for is_new, row in heads if not is_new], are_new=False)
    returned = [
        (to_text(q), to_text(name), back.due_at, int(back.is_uncounted), _optional(back.reason), _optional(back.detail))
        for (q, name), lane in changes
        for back in (lane.returned,)
        if back is not None
    ]
    if returned:
        writes.add("returned_heads", sql.RETURNED_HEADS, *columns(returned))
    gone = [(to_text(q), to_text(name)) for (q, name), lane in changes if lane.is_settled and lane.head is None]
    if gone:
        writes.add("gone_heads", sql.GONE_HEADS, *columns(gone))


def _add_planned_marks(writes: CombinedStatement, plan: CommitPlan) -> None:
    """A key whose condition was checked while it was absent could not be locked: it must be absent still."""
    now = plan.snapshot.now
    unlocked = plan.checked_keys - plan.snapshot.values.keys()
    put = [_mark_row(mark, now) for key, mark in plan.marks.items() if key in unlocked and mark.value is not None]
    if put:
        writes.add("put_absent_marks", sql.PUT_ABSENT_MARKS, *columns(put), now, expected=len(put))
    add_marks(writes, [mark for key, mark in plan.marks.items() if key not in unlocked], now)


def _head_row(head: QueuedEntry) -> tuple[Any, ...]:
    entry = head.entry
    return (
        to_text(entry.queue),
        to_text(entry.lane),
        head.place,
        to_text(entry.id),
        head.due_at,
        head.token,
        head.attempts,
    )


def _mark_row(mark: Mark, now: float) -> tuple[str, bytes | None, float | None]:
    after = mark.expires_after_seconds
    return to_text(mark.key), mark.value, None if after is None else now + after


def _optional(text: str | None) -> str | None:
    return None if text is None else to_text(text)
