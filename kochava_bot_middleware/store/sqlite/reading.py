"""
Looking into the file without changing it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ..listing import Listed, State
from ..unit import Entry, Queue
from . import statements as sql
from .dependencies import entry_of, json_text, marks_of


def recall(connection: sqlite3.Connection, now: float, *, keys: Sequence[str]) -> Mapping[str, bytes]:
    """
    The values of those marks that exist and have not expired.
    """
    (answer,) = connection.execute(sql.RECALL, (json_text(keys), now)).fetchone()
    return marks_of(keys, answer)


def next_due_at(connection: sqlite3.Connection, *, queue: str) -> float | None:
    """
    When the next head is due; ``None`` when the queue is empty.
    """
    due_at: float | None = connection.execute(sql.NEXT_DUE, (queue,)).fetchone()[0]
    return due_at


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

    def read(self, connection: sqlite3.Connection, now: float) -> list[Listed]:
        """
        The rows of the page.
        """
        after = self._place(connection)
        if after is None:
            return []
        values = {
            "queue": self.queue,
            "state": self.state,
            "lane": self.lane,
            "limit": self.limit,
            "after": after,
            "now": now,
        }
        rows: list[tuple[int, Listed]] = []
        if self.state in (None, State.WAITING, State.IN_FLIGHT):
            rows += [_living(row) for row in connection.execute(self._living_statement(), values)]
        if self.state in (None, State.DEAD, State.DROPPED):
            rows += [_ended(row) for row in connection.execute(self._ended_statement(), values)]
        return [listed for _, listed in sorted(rows, key=lambda row: row[0])[: self.limit]]

    def _place(self, connection: sqlite3.Connection) -> int | None:
        if self.after is None:
            return -1
        row = connection.execute(sql.PLACE_OF, (self.after,)).fetchone()
        return None if row is None else int(row[0])

    def _living_statement(self) -> str:
        lane = "" if self.lane is None else "AND e.lane = :lane"
        if self.state is State.IN_FLIGHT:
            return sql.LIST_IN_FLIGHT.format(lane=lane)
        state = "" if self.state is None else "AND NOT in_flight"
        # Without the hint SQLite would sort a whole queue rather than walk it in order.
        return sql.LIST_LIVING.format(lane=lane, state=state, hint="NOT INDEXED" if self.lane is None else "")

    def _ended_statement(self) -> str:
        lane = "" if self.lane is None else "AND lane = :lane"
        return sql.LIST_ENDED.format(lane=lane, state="" if self.state is None else "AND state = :state")


def _living(row: Sequence[Any]) -> tuple[int, Listed]:
    place, *columns, head_due_at, attempts, reason, detail, in_flight = row
    entry = _without_private_body(columns)
    listed = Listed(
        entry=entry,
        state=State.IN_FLIGHT if in_flight else State.WAITING,
        attempts=attempts or 0,
        due_at=entry.due_at if head_due_at is None else head_due_at,
        reason=reason or "",
        detail=detail or "",
    )
    return place, listed


def _ended(row: Sequence[Any]) -> tuple[int, Listed]:
    place, *columns, state, attempts, reason, detail, ended_at = row
    listed = Listed(
        entry=_without_private_body(columns),
        state=State(state),
        attempts=attempts,
        reason=reason,
        detail=detail,
        ended_at=ended_at,
    )
    return place, listed


def _without_private_body(columns: Sequence[Any]) -> Entry:
    entry = entry_of(columns)
    return attrs.evolve(entry, body=b"") if entry.queue == Queue.INBOX else entry
