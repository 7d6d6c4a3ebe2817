"""
Writing many rows with few statements.

Each statement hands the interpreter to another thread and takes it back, for which a busy event loop makes the writer
wait. So what a batch costs is the number of its statements, and ``executemany`` is one for each row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain, islice

MOST_ROWS = 64
"""Rows of one statement: some hundred values, far below what any SQLite takes."""


def insert(connection: sqlite3.Connection, into: str, rows: Iterable[Sequence[object]], then: str = "") -> None:
    """
    Insert *rows*, whose first columns are never ``None``.

    Args:
        into: Table, and columns if they are not all.
        then: What follows the rows, such as ``ON CONFLICT …``.
    """
    left = iter(rows)
    while some := list(islice(left, MOST_ROWS)):
        # Filled up with empty rows to a power of two, so that few different statements are ever prepared.
        size = 1 << (len(some) - 1).bit_length()
        width = len(some[0])
        empty = (None,) * ((size - len(some)) * width)
        connection.execute(_statement(into, width, size, then), (*chain.from_iterable(some), *empty))


@cache
def _statement(into: str, width: int, size: int, then: str) -> str:
    row = f"({', '.join('?' * width)})"
    rows = ", ".join([row] * size)
    # Table and rest are constants of this package, never what somebody sent.
    return f"INSERT INTO {into} SELECT * FROM (VALUES {rows}) WHERE column1 IS NOT NULL {then}"  # noqa: S608
