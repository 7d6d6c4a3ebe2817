"""Looking into the file without changing it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from ..page import Page, without_private_body
from ..records import EntryState, Listed
from . import statements as sql
from .dependencies import entry_of, json_text, marks_of


def recall(connection: sqlite3.Connection, now: float, *, keys: Sequence[str]) -> Mapping[str, bytes]:
    """The values of those marks that exist and have not expired."""
    (answer,) = connection.execute(sql.RECALL, (json_text(keys), now)).fetchone()
    return marks_of(keys, answer)


def next_due_at(
    connection: sqlite3.Connection, now: float, *, queue: str, at_most_ahead_seconds: float | None
) -> float | None:
    """When the next head is due; ``None`` when the queue is empty."""
    furthest = None if at_most_ahead_seconds is None else now + at_most_ahead_seconds
    due_at: float | None = connection.execute(sql.NEXT_DUE, (queue, now, furthest)).fetchone()[0]
    return due_at


def find(connection: sqlite3.Connection, now: float, *, entry_id: str) -> Listed | None:
    """The entry of that id, whichever queue and state it is in."""
    row = connection.execute(sql.FIND, {"id": entry_id, "now": now}).fetchone()
    return None if row is None else _listed(row)[1]


def read_page(connection: sqlite3.Connection, now: float, page: Page) -> list[Listed]:
    """The rows of the page."""
    after = _place(connection, page.after)
    if after is None:
        return []
    values = {
        "queue": page.queue,
        "state": page.state,
        "lane": page.lane,
        "limit": page.limit,
        "after": after,
        "now": now,
    }
    rows: list[tuple[int, Listed]] = []
    if page.has_living:
        rows += [_listed(row) for row in connection.execute(_living_statement(page), values)]
    if page.has_ended:
        rows += [_listed(row) for row in connection.execute(_ended_statement(page), values)]
    return page.of(rows)


def _place(connection: sqlite3.Connection, after: str | None) -> int | None:
    if after is None:
        return -1
    row = connection.execute(sql.PLACE_OF, (after,)).fetchone()
    return None if row is None else int(row[0])


def _living_statement(page: Page) -> str:
    lane = "" if page.lane is None else "AND e.lane = :lane"
    if page.state is EntryState.IN_FLIGHT:
        return sql.LIST_IN_FLIGHT.format(lane=lane)
    state = "" if page.state is None else "AND state = :state"
    # Without the hint SQLite would sort a whole queue rather than walk it in order.
    return sql.LIST_LIVING.format(lane=lane, state=state, hint="NOT INDEXED" if page.lane is None else "")


def _ended_statement(page: Page) -> str:
    lane = "" if page.lane is None else "AND lane = :lane"
    return sql.LIST_ENDED.format(lane=lane, state="" if page.state is None else "AND state = :state")


def _listed(row: Sequence[Any]) -> tuple[int, Listed]:
    place, *columns, state, attempts, reason, detail, due_at, ended_at = row
    listed = Listed(
        entry=without_private_body(entry_of(columns)),
        state=EntryState(state),
        attempts=attempts,
        due_at=due_at,
        reason=reason,
        detail=detail,
        ended_at=ended_at,
    )
    return place, listed
