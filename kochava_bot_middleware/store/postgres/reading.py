"""Looking into the tables without changing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..page import Page, without_private_body
from ..records import EntryState, Listed, QueueStats
from . import statements
from . import upkeep_statements as sql
from .rows import entry_of
from .session import Session
from .text import from_text, to_text


async def recall(session: Session, *, keys: Sequence[str]) -> Mapping[str, bytes]:
    """The values of those marks that exist and have not expired."""
    rows = await session.fetch(statements.RECALL, [to_text(key) for key in keys], session.given_now)
    return {from_text(key): value for key, value in rows}


async def next_due_at(session: Session, *, queue: str, at_most_ahead_seconds: float | None) -> float | None:
    """When the next head is due; ``None`` when the queue is empty."""
    rows = await session.fetch(statements.NEXT_DUE, to_text(queue), session.given_now, at_most_ahead_seconds)
    return rows[0][0] if rows else None


async def find(session: Session, *, entry_id: str) -> Listed | None:
    """The entry of that id, whichever queue and state it is in."""
    rows = await session.fetch(sql.FIND, session.given_now, to_text(entry_id))
    return _listed(rows[0])[1] if rows else None


async def read_stats(session: Session) -> Mapping[str, QueueStats]:
    """The counts of every queue that ever accepted something. Costs the same however much waits."""
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


async def read_page(session: Session, *, page: Page) -> list[Listed]:
    """The rows of the page."""
    after = await _place(session, page.after)
    if after is None:
        return []
    queue = to_text(page.queue)
    lane = None if page.lane is None else to_text(page.lane)
    state = None if page.state is None else page.state.value
    rows: list[Sequence[Any]] = []
    if page.has_living:
        living = (session.given_now, queue, after, page.limit, lane)
        if page.state is EntryState.IN_FLIGHT:
            rows += await session.fetch(sql.LIST_IN_FLIGHT, *living)
        else:
            rows += await session.fetch(sql.LIST_LIVING if lane is None else sql.LIST_OF_LANE, *living, state)
    if page.has_ended:
        rows += await session.fetch(sql.LIST_ENDED, queue, after, page.limit, lane, state)
    return page.of(map(_listed, rows))


async def _place(session: Session, after: str | None) -> int | None:
    if after is None:
        return -1
    rows = await session.fetch(sql.PLACE_OF, to_text(after))
    return int(rows[0][0]) if rows else None


def _listed(row: Sequence[Any]) -> tuple[int, Listed]:
    place, *columns, state, attempts, reason, detail, due_at, ended_at = row
    listed = Listed(
        entry=without_private_body(entry_of(columns)),
        state=EntryState(state),
        attempts=attempts,
        due_at=due_at,
        reason=from_text(reason),
        detail=from_text(detail),
        ended_at=ended_at,
    )
    return place, listed
