"""
What an operator does: mend dead entries, forget a person, remove what is old. Each function runs within a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Mark
from . import statements
from . import upkeep_statements as sql
from .commit import add_heads, add_marks, add_new_entries, lock_lanes, take_places
from .counts import Counts
from .plan import Lane, NewHead
from .rows import entry_of
from .session import Session
from .text import from_text, to_text
from .writes import Writes, columns


async def retry_dead(session: Session, *, ids: Sequence[str]) -> int:
    """Put dead entries back at the end of their lanes, in the order of *ids*."""
    await session.fetch(sql.LOCK_UPKEEP)
    rows = await session.fetch(sql.DEAD, [to_text(id_) for id_ in ids])
    dead = {entry.id: (place, entry) for place, *of_entry in rows for entry in (entry_of(of_entry),)}
    entries = [dead[id_][1] for id_ in dict.fromkeys(ids) if id_ in dead]
    if not entries:
        return 0
    now, heads = await lock_lanes(session, sorted({(entry.queue, entry.lane) for entry in entries}))
    now = now if session.given_now is None else session.given_now
    places, _ = await take_places(session, [entry.id for entry in entries], now)
    placed = list(zip(places, entries, strict=True))
    new_heads: dict[Lane, NewHead] = {}
    counts = Counts()
    for place, entry in placed:
        counts.add(entry.queue, "dead", -1)
        lane = (entry.queue, entry.lane)
        if lane not in heads:
            new_heads.setdefault(lane, NewHead(entry=entry, place=place, due_at=now))
    writes = Writes()
    writes.add("no_longer_dead", sql.DELETE_ENDED, [place for place, _ in dead.values()])
    writes.add("moved_ids", sql.MOVE_IDS, *columns([(to_text(entry.id), place) for place, entry in placed]))
    add_new_entries(writes, placed)
    if new_heads:
        heads_to_add = list(new_heads.values())
        add_heads(writes, "new_heads", statements.NEW_HEADS, heads_to_add, expected=len(new_heads))
    counts.add_to(writes)
    await writes.run(session)
    return len(entries)


async def forget_lanes(
    session: Session, *, lanes: Sequence[str], reason: str, tombstone: Mark, dedupe_seconds: float
) -> int:
    """Drop what lives or is dead in *lanes* of every queue, and write *tombstone*."""
    await session.fetch(sql.LOCK_UPKEEP)
    queues = [from_text(queue) for (queue,) in await session.fetch(sql.QUEUES)]
    wanted = sorted({(queue, lane) for queue in queues for lane in lanes})
    now, heads = await lock_lanes(session, wanted)
    now = now if session.given_now is None else session.given_now
    # A lane that was empty when it should have been locked is not ours: what is in it now came later.
    arrays = columns([(to_text(queue), to_text(lane)) for queue, lane in heads]) or [[], []]
    living = await session.fetch(sql.DROP_LIVING, *arrays, to_text(reason), now)
    dead = await session.fetch(sql.DROP_DEAD, [to_text(lane) for lane in lanes], to_text(reason), now)
    counts = Counts()
    for _, queue in [*living, *dead]:
        counts.add(from_text(queue), "dropped")
    for _, queue in dead:
        counts.add(from_text(queue), "dead", -1)
    writes = Writes()
    ids = [(id_, True) for id_, _ in [*living, *dead]]
    if ids:
        writes.add("settled_ids", statements.SETTLED_IDS, *columns(ids), now + dedupe_seconds)
    add_marks(writes, [tombstone])
    counts.add_to(writes)
    await writes.run(session)
    return len(ids)


async def purge_some(session: Session, *, dead_before: float, limit: int) -> int:
    """Remove up to *limit* rows that ended before that time."""
    return int(await session.value(sql.PURGE, dead_before, limit))


async def sweep_some(session: Session, *, limit: int) -> bool:
    """Remove up to *limit* expired marks and as many remembered ids; returns whether there may be more."""
    ids = await session.value(sql.SWEEP_IDS, session.given_now, limit)
    marks = await session.value(sql.SWEEP_MARKS, session.given_now, limit)
    return bool(max(ids, marks) == limit)
