"""A transaction on one connection: its statements, and how texts and rows travel in them."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from ..records import Entry

_NOW = "extract(epoch FROM statement_timestamp())::float8"
"""
The server's clock. Stable within a statement, unlike ``clock_timestamp()``, so that an index can be searched by it.
"""

_ENTRY = "e.id, e.queue, e.lane, e.schema, e.created_at, e.body, e.kind, e.name, e.label"

_IS_SEEN = "(e.state IS NULL OR e.state <> 'done' AND NOT e.purged OR e.ended_at + {dedupe_seconds} > {now})"

_ESCAPE = "\x1a"
_PARAMETER = re.compile(r"\$(\d+)")


class TablesEmptied(Exception):
    """The row of `store_version` is missing, which is always there."""


class PostgresConnection(Protocol):
    """What is used of asyncpg's connection."""

    async def fetch(
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncpg's name for it
    ) -> Sequence[Sequence[Any]]:
        """Run one statement; returns its rows."""


@attrs.frozen(kw_only=True)
class PostgresSession:
    """
    Runs statements, in a transaction that its maker begins and ends or each as one of its own.

    In a statement ``{s}`` stands for the schema, ``{now}`` for the store's time, ``{entry}`` for the columns that
    `entry_of` reads, and ``{is_seen}`` for whether the id of entry ``e`` must not be appended again.

    Attributes:
        connection: What they are sent through.
        is_transaction: Whether it is in a transaction; otherwise each statement is one of its own.
        schema: Name that needs no quotes.
        now: Wall-clock seconds since the epoch where the store was given a clock; ``None``: the server's clock is used.
        dedupe_seconds: See `StoreSettings`.
        timeout_seconds: Longest wait for the answer to a statement; ``None``: as the address says.
    """

    connection: PostgresConnection
    schema: str
    now: float | None
    dedupe_seconds: float
    is_transaction: bool = True
    timeout_seconds: float | None = None

    async def fetch(self, statement: str, *arguments: Any) -> Sequence[Sequence[Any]]:
        """The rows of a statement."""
        text = _rendered(statement, self.schema, self.now, self.dedupe_seconds)
        return await self.connection.fetch(text, *map(_stored, arguments), timeout=self.timeout_seconds)

    async def value(self, statement: str, *arguments: Any) -> Any:
        """The first column of the first row."""
        return (await self.fetch(statement, *arguments))[0][0]


class CombinedStatement:
    """Several changes as one statement, and so as one round trip. No part sees what the others change."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._arguments: list[Any] = []
        self._expected: dict[str, int] = {}

    def add(
        self, name: str, statement: str, rows: Sequence[Sequence[Any]], *more: Any, is_checked: bool = False
    ) -> None:
        """
        Add a part, unless there are no rows.

        Args:
            name: Unlike that of the other parts.
            statement: Its parameters are numbered from ``$1``: an array for each column, and then the others.
            rows: What it writes.
            more: Its further arguments.
            is_checked: It must return a row for each of *rows*; fewer mean that another process came first.
        """
        if not rows:
            return
        self._parts.append(f"{name} AS ({_renumbered(statement, len(self._arguments))})")
        self._arguments += (*columns(rows), *more)
        if is_checked:
            self._expected[name] = len(rows)

    async def run(self, session: PostgresSession, condition: str = "true", *arguments: Any) -> None:
        """
        Write all parts, or nothing. An error that is `pool.PASSING` says that another process came first.

        Args:
            condition: An expression that is true or fails. It is evaluated before any part: a part runs when its rows
                are counted, or at the end.
            arguments: Of the condition, whose parameters are numbered from ``$1``.
        """
        if not self._parts:
            return
        condition = _renumbered(condition, len(self._arguments))
        counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in self._expected)  # noqa: S608 - names of parts
        expected = f"${len(self._arguments) + len(arguments) + 1}::bigint[]"
        statement = (
            f"WITH {', '.join(self._parts)} SELECT {{s}}.expect(first.holds AND ARRAY[{counts}]::bigint[] = {expected})"  # noqa: S608
            f" FROM (SELECT {condition} AS holds OFFSET 0) AS first"
        )
        await session.fetch(statement, *self._arguments, *arguments, list(self._expected.values()))


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """At least one row, as arrays, one a column."""
    return [list(column) for column in zip(*rows, strict=True)]


def from_text(text: str) -> str:
    """The text that was given to a statement which stored it."""
    if _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE + "0", "\x00").replace(_ESCAPE + "1", _ESCAPE)


def entry_of(row: Sequence[Any]) -> Entry:
    """The entry whose columns a statement has read as ``{entry}``."""
    entry_id, queue, lane, schema, created_at, body, kind, name, label = row
    return Entry(
        id=from_text(entry_id),
        queue=from_text(queue),
        lane=from_text(lane),
        schema=schema,
        created_at=created_at,
        body=body,
        kind=from_text(kind),
        name=from_text(name),
        label=from_text(label),
    )


def _stored(argument: Any) -> Any:
    """What is sent: PostgreSQL knows no NUL character, so it is escaped in texts. Different texts stay different."""
    if isinstance(argument, list):
        return [_escaped(each) if isinstance(each, str) else each for each in argument]
    return _escaped(argument) if isinstance(argument, str) else argument


def _escaped(text: str) -> str:
    if "\x00" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, _ESCAPE + "1").replace("\x00", _ESCAPE + "0")


@functools.lru_cache(maxsize=512)
def _rendered(statement: str, schema: str, now: float | None, dedupe_seconds: float) -> str:
    filled = statement.replace("{is_seen}", _IS_SEEN).replace("{entry}", _ENTRY).replace("{s}", schema)
    filled = filled.replace("{dedupe_seconds}", f"{dedupe_seconds!r}::float8")
    return filled.replace("{now}", _NOW if now is None else f"{now!r}::float8")


@functools.lru_cache(maxsize=512)
def _renumbered(statement: str, by: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", statement)
