"""
Many units in one transaction: lock and read once what they depend on, decide in memory, write once what they change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from ..records import Committed, Entry, Mark, Outcome, Unit
from ..settings import NewToken
from . import statements as sql
from .counts import Counts
from .plan import Known, Lane, NewHead, Plan, StoredHead
from .rows import entry_of
from .session import Session
from .text import from_text, to_text
from .writes import Writes, columns


async def commit_units(
    session: Session, units: Sequence[Unit], *, new_token: NewToken, dedupe_seconds: float
) -> list[Committed]:
    """
    Decide and write all *units*, in order.

    Raises:
        Raced: Another process changed what the decisions rest on.
    """
    known = await _read(session, units)
    plan = Plan(known, new_token)
    answers = [plan.decide(unit) for unit in units]
    await _write(session, plan, until=known.now + dedupe_seconds)
    return answers


async def lock_lanes(session: Session, lanes: Iterable[Lane]) -> tuple[float, dict[Lane, StoredHead]]:
    """Lock the heads of *lanes*, so that nobody else changes those lanes; returns the time and the heads there are."""
    queues, names = columns([(to_text(queue), to_text(lane)) for queue, lane in lanes]) or [[], []]
    rows = await session.fetch(sql.LOCK_LANES, queues, names)
    heads = {
        (from_text(queue), from_text(lane)): StoredHead(place=place, id=from_text(id_), token=token, attempts=attempts)
        for _, queue, lane, place, id_, token, attempts in rows
        if queue is not None
    }
    return rows[0][0], heads


async def take_places(session: Session, ids: Sequence[str], now: float) -> tuple[list[int], frozenset[str]]:
    """A new place for each of *ids*, ascending, and those ids that were seen before."""
    rows = await session.fetch(sql.SEEN, [to_text(id_) for id_ in ids], now)
    seen = frozenset(id_ for id_, (_, is_seen) in zip(ids, rows, strict=True) if is_seen)
    return sorted(place for place, _ in rows), seen


def add_new_entries(writes: Writes, entries: Sequence[tuple[int, Entry]]) -> None:
    """Write entries and their places."""
    rows = [
        (place, to_text(e.id), to_text(e.queue), to_text(e.lane), e.schema, e.created_at, e.due_at, e.body)
        for place, e in entries
    ]
    writes.add("new_entries", sql.NEW_ENTRIES, *columns(rows))


def add_heads(writes: Writes, name: str, statement: str, heads: Sequence[NewHead], *, expected: int | None) -> None:
    """Write the first entries of lanes."""
    rows = [
        (to_text(e.queue), to_text(e.lane), head.place, to_text(e.id), head.due_at, head.token, head.attempts)
        for head in heads
        for e in (head.entry,)
    ]
    writes.add(name, statement, *columns(rows), expected=expected)


def add_marks(writes: Writes, marks: Iterable[Mark]) -> None:
    """Put and delete marks, whatever is there."""
    marks = list(marks)
    put = [(to_text(mark.key), mark.value, mark.expires_at) for mark in marks if mark.value is not None]
    if put:
        writes.add("put_marks", sql.PUT_MARKS, *columns(put))
    if len(put) < len(marks):
        writes.add("deleted_marks", sql.DELETE_MARKS, [to_text(mark.key) for mark in marks if mark.value is None])


async def _read(session: Session, units: Sequence[Unit]) -> Known:
    appends = [entry for unit in units for entry in unit.appends]
    settlements = [settlement for unit in units for settlement in unit.settlements]
    now = session.given_now
    lanes = {(e.queue, e.lane) for e in itertools.chain(appends, (s.claim.entry for s in settlements))}
    heads: dict[Lane, StoredHead] = {}
    if lanes:
        server_now, heads = await lock_lanes(session, sorted(lanes))
        now = server_now if now is None else now
    keys = {mark.key for unit in units for mark in unit.marks}
    marks: dict[str, bytes] = {}
    if keys:
        rows = await session.fetch(sql.LOCK_MARKS, sorted(map(to_text, keys)))
        now = rows[0][0] if now is None else now
        marks = {
            from_text(key): value
            for _, key, value, expires_at in rows
            if key is not None and (expires_at is None or expires_at > now)
        }
    assert now is not None
    ending = {
        (s.claim.entry.queue, s.claim.entry.lane)
        for s in settlements
        if s.outcome not in (Outcome.RETRY, Outcome.RELEASE)
    }
    places, seen = await take_places(session, [e.id for e in appends], now) if appends else ([], frozenset())
    return Known(
        now=now,
        heads=heads,
        successors=await _successors(session, {lane: heads[lane].place for lane in ending & heads.keys()}),
        seen=seen,
        places=places,
        marks=marks,
    )


async def _successors(session: Session, places: dict[Lane, int]) -> dict[Lane, tuple[int, Entry]]:
    if not places:
        return {}
    behind = columns([(to_text(queue), to_text(lane), place) for (queue, lane), place in places.items()])
    followers = [(place, entry_of(row)) for place, *row in await session.fetch(sql.SUCCESSORS, *behind)]
    return {(entry.queue, entry.lane): (place, entry) for place, entry in followers}


async def _write(session: Session, plan: Plan, *, until: float) -> None:
    writes = Writes()
    counts = Counts()
    if plan.entries:
        ids = [(to_text(entry.id), place) for place, entry in plan.entries]
        writes.add("new_ids", sql.NEW_IDS, *columns(ids), plan.known.now, expected=len(ids))
        add_new_entries(writes, plan.entries)
        for _, entry in plan.entries:
            counts.add(entry.queue, "accepted")
    _add_lanes(writes, plan)
    if plan.ended:
        _add_ended(writes, plan, until, counts)
    _add_planned_marks(writes, plan)
    counts.add_to(writes)
    await writes.run(session)


def _add_lanes(writes: Writes, plan: Plan) -> None:
    changes = plan.lanes.items()
    new = [lane.head for _, lane in changes if lane.stored is None and lane.head is not None]
    following = [lane.head for _, lane in changes if lane.stored is not None and lane.head is not None]
    gone = [(to_text(q), to_text(name)) for (q, name), lane in changes if lane.is_stored_gone and lane.head is None]
    kept = [
        (to_text(q), to_text(name), kept.due_at, int(kept.is_uncounted), _optional(kept.reason), _optional(kept.detail))
        for (q, name), lane in changes
        if (kept := lane.kept) is not None
    ]
    if new:
        add_heads(writes, "new_heads", sql.NEW_HEADS, new, expected=len(new))
    if following:
        add_heads(writes, "next_heads", sql.NEXT_HEADS, following, expected=None)
    if kept:
        writes.add("kept_heads", sql.KEPT_HEADS, *columns(kept))
    if gone:
        writes.add("gone_heads", sql.GONE_HEADS, *columns(gone))


def _add_ended(writes: Writes, plan: Plan, until: float, counts: Counts) -> None:
    kept = [
        (
            to_text(ended.queue),
            ended.head.place,
            ended.settlement.outcome.value,
            ended.head.attempts,
            to_text(ended.settlement.reason),
            to_text(ended.settlement.detail),
        )
        for ended in plan.ended
        if ended.settlement.outcome is not Outcome.DONE
    ]
    if kept:
        writes.add("ended", sql.ENDED, *columns(kept), plan.known.now)
    writes.add("gone", sql.GONE, *columns([(to_text(ended.queue), ended.head.place) for ended in plan.ended]))
    ids = [(to_text(ended.head.id), ended.settlement.outcome is not Outcome.DONE) for ended in plan.ended]
    writes.add("settled_ids", sql.SETTLED_IDS, *columns(ids), until)
    for ended in plan.ended:
        counts.add(ended.queue, ended.settlement.outcome.value)


def _add_planned_marks(writes: Writes, plan: Plan) -> None:
    """A key whose condition was judged while it was absent could not be locked: it must be absent still."""
    guarded = [plan.marks[key] for key in plan.judged & plan.marks.keys() if key not in plan.known.marks]
    put = [(to_text(mark.key), mark.value, mark.expires_at) for mark in guarded if mark.value is not None]
    if put:
        writes.add("put_absent_marks", sql.PUT_ABSENT_MARKS, *columns(put), plan.known.now, expected=len(put))
    absent = {mark.key for mark in guarded}
    add_marks(writes, [mark for mark in plan.marks.values() if mark.key not in absent])


def _optional(text: str | None) -> str | None:
    return None if text is None else to_text(text)
