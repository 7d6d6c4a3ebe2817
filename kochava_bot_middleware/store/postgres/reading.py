"""
Looking into the tables without changing them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ..listing import Listed, QueueStats, State
from ..unit import Entry, Queue
from . import statements
from . import upkeep_statements as sql
from .rows import entry_of
from .session import Session
from .text import from_text, to_text


async def recall(session: Session, *, keys: Sequence[str]) -> Mapping[str, bytes]:
    """
    The values of those marks that exist and have not expired.
    """
    rows = await session.fetch(statements.RECALL, [to_text(key) for key in keys], session.given_now)
    return {from_text(key): value for key, value in rows}


async def next_due_at(session: Session, *, queue: str) -> float | None:
    """
    When the next head is due; ``None`` when the queue is empty.
    """
    rows = await session.fetch(statements.NEXT_DUE, to_text(queue))
    return rows[0][0] if rows else None


async def read_stats(session: Session) -> Mapping[str, QueueStats]:
    """
    The counts of every queue that ever accepted something. Costs the same however much waits.
    """
    rows = await session.fetch(statements.COUNTS, session.given_now)
    return {
        from_text(queue): QueueStats(
            accepted=accepted,
            waiting=accepted - done - dead - dropped - in_flight,
            in_flight=in_flight,
            done=done,
            dead=dead,
            dropped=dropped,
            oldest_waiting_at=oldest,
        )
        for queue, accepted, done, dead, dropped, in_flight, oldest in rows
    }


@attrs.frozen(kw_only=True)
class Listing:
    """
    One page of what is in a queue; the attributes are the arguments of `Store.browse`.
    """

    queue: str
    state: State | None
    lane: str | None
    limit: int
    after: str | None

    async def read(self, session: Session) -> list[Listed]:
        """
        The rows of the page.
        """
        after = await self._place(session)
        if after is None:
            return []
        queue = to_text(self.queue)
        lane = None if self.lane is None else to_text(self.lane)
        rows: list[tuple[int, Listed]] = []
        if self.state in (None, State.WAITING, State.IN_FLIGHT):
            now = await session.value(sql.SERVER_NOW) if session.given_now is None else session.given_now
            living = (queue, after, now, self.limit, lane)
            rows += [_living(row) for row in await self._read_living(session, living)]
        if self.state in (None, State.DEAD, State.DROPPED):
            state = None if self.state is None else self.state.value
            ended = await session.fetch(sql.LIST_ENDED, queue, after, self.limit, lane, state)
            rows += [_ended(row) for row in ended]
        return [listed for _, listed in sorted(rows, key=lambda row: row[0])[: self.limit]]

    async def _read_living(self, session: Session, arguments: tuple[object, ...]) -> Sequence[Sequence[Any]]:
        if self.state is State.IN_FLIGHT:
            return await session.fetch(sql.LIST_IN_FLIGHT, *arguments)
        statement = sql.LIST_LIVING if self.lane is None else sql.LIST_OF_LANE
        return await session.fetch(statement, *arguments, None if self.state is None else False)

    async def _place(self, session: Session) -> int | None:
        if self.after is None:
            return -1
        rows = await session.fetch(sql.PLACE_OF, to_text(self.after))
        return int(rows[0][0]) if rows else None


def _living(row: Sequence[Any]) -> tuple[int, Listed]:
    place, *columns, head_due_at, attempts, reason, detail, in_flight = row
    entry = _without_private_body(columns)
    listed = Listed(
        entry=entry,
        state=State.IN_FLIGHT if in_flight else State.WAITING,
        attempts=attempts or 0,
        due_at=entry.due_at if head_due_at is None else head_due_at,
        reason=from_text(reason or ""),
        detail=from_text(detail or ""),
    )
    return place, listed


def _ended(row: Sequence[Any]) -> tuple[int, Listed]:
    place, *columns, state, attempts, reason, detail, ended_at = row
    listed = Listed(
        entry=_without_private_body(columns),
        state=State(state),
        attempts=attempts,
        reason=from_text(reason),
        detail=from_text(detail),
        ended_at=ended_at,
    )
    return place, listed


def _without_private_body(columns: Sequence[Any]) -> Entry:
    entry = entry_of(columns)
    return attrs.evolve(entry, body=b"") if entry.queue == Queue.INBOX else entry
