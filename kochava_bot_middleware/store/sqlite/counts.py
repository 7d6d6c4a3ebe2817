"""Counts by queue and the next place, kept in the transaction that changes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from ..records import QueueStats
from . import statements as sql
from .rows import insert


class Counts:
    """Changes of the counts, gathered to be written once."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, str], int] = {}

    def add(self, queue: str, column: str, by: int = 1) -> None:
        """Count *by* more; *column* is ``accepted``, ``done``, ``dead`` or ``dropped``."""
        key = (queue, column)
        self._changes[key] = self._changes.get(key, 0) + by

    def write(self, connection: sqlite3.Connection) -> None:
        rows = [
            (queue, *(self._changes.get((queue, column), 0) for column in ("accepted", "done", "dead", "dropped")))
            for queue in {queue for queue, _ in self._changes}
        ]
        insert(connection, "counts", rows, sql.ADD_COUNTS)


def read_stats(connection: sqlite3.Connection, now: float) -> Mapping[str, QueueStats]:
    """The counts of every queue that ever accepted something. Costs the same however much waits."""
    stats = {}
    for queue, accepted, done, dead, dropped in connection.execute(sql.COUNTS).fetchall():
        (in_flight,) = connection.execute(sql.IN_FLIGHT, (queue, now)).fetchone()
        first = connection.execute(sql.FIRST_HEAD, (queue,)).fetchone()
        stats[queue] = QueueStats(
            accepted=accepted,
            waiting=accepted - done - dead - dropped - in_flight,
            in_flight=in_flight,
            done=done,
            dead=dead,
            dropped=dropped,
            oldest_waiting_at=None if first is None else first[0],
        )
    return stats


def next_place(connection: sqlite3.Connection) -> int:
    """The place of the next new entry. Places are never given twice, so that listings can be paged."""
    return int(connection.execute("SELECT next FROM places").fetchone()[0])


def set_next_place(connection: sqlite3.Connection, place: int) -> None:
    connection.execute("UPDATE places SET next = ?", (place,))
