"""A transaction on one connection: its statements, and how texts and rows travel in them."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, Protocol

import attrs

from ..records import Entry

NOW = "extract(epoch FROM statement_timestamp())::float8"
"""
The server's clock. Stable within a statement, unlike ``clock_timestamp()``, so that an index can be searched by it.
"""

_ESCAPE = "\x1a"
_PARAMETER = re.compile(r"\$(\d+)")


class Raced(Exception):
    """Another process changed what a decision depends on: begin the transaction again."""


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
    Runs statements in a transaction that its maker begins and ends.

    In a statement ``{s}`` stands for the schema and ``{now}`` for the store's time.

    Attributes:
        connection: In a transaction.
        schema: Name that needs no quotes.
        now: Wall-clock seconds since the epoch where the store was given a clock; ``None``: the server's clock is used.
        timeout_seconds: Longest wait for the answer to a statement; ``None``: as the address says.
    """

    connection: PostgresConnection
    schema: str
    now: float | None
    timeout_seconds: float | None = None

    async def fetch(self, statement: str, *arguments: Any) -> Sequence[Sequence[Any]]:
        """The rows of a statement."""
        text = _rendered(statement, self.schema, self.now)
        return await self.connection.fetch(text, *arguments, timeout=self.timeout_seconds)

    async def value(self, statement: str, *arguments: Any) -> Any:
        """The first column of the first row."""
        return (await self.fetch(statement, *arguments))[0][0]


@attrs.frozen
class _Part:
    name: str
    statement: str
    parameters: int
    is_checked: bool


class CombinedStatement:
    """Several changes as one statement, and so as one round trip. No part sees what the others change."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._arguments: list[Any] = []
        self._expected: list[int] = []

    def add(self, name: str, statement: str, *arguments: Any, expected: int | None = None) -> None:
        """
        Add a part.

        Args:
            name: Unlike that of the other parts.
            statement: Its parameters are numbered from ``$1``.
            arguments: One for each parameter.
            expected: How many rows it must return; fewer mean that another process came first.
        """
        self._parts.append(_Part(name, statement, len(arguments), expected is not None))
        self._arguments += arguments
        if expected is not None:
            self._expected.append(expected)

    async def run(self, session: PostgresSession) -> None:
        """
        Write all parts.

        Raises:
            Raced: A part did not return as many rows as expected; the transaction is to be rolled back.
        """
        if not self._parts:
            return
        (counts,) = await session.fetch(_combined(tuple(self._parts)), *self._arguments)
        if self._expected and list(counts) != self._expected:
            raise Raced


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """At least one row, as arrays, one a column."""
    return [list(column) for column in zip(*rows, strict=True)]


def to_text(text: str) -> str:
    """The text to store: PostgreSQL knows no NUL character, so it is escaped. Different texts stay different."""
    if "\x00" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, _ESCAPE + "1").replace("\x00", _ESCAPE + "0")


def from_text(text: str) -> str:
    """What `to_text` was given."""
    if _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE + "0", "\x00").replace(_ESCAPE + "1", _ESCAPE)


def entry_of(row: Sequence[Any]) -> Entry:
    """The entry whose columns a statement has read, in the order of ``statements.ENTRY``."""
    entry_id, queue, lane, schema, created_at, body, kind, name = row
    return Entry(
        id=from_text(entry_id),
        queue=from_text(queue),
        lane=from_text(lane),
        schema=schema,
        created_at=created_at,
        body=body,
        kind=from_text(kind),
        name=from_text(name),
    )


@functools.lru_cache(maxsize=512)
def _rendered(statement: str, schema: str, now: float | None) -> str:
    return statement.replace("{s}", schema).replace("{now}", NOW if now is None else f"{now!r}::float8")


@functools.lru_cache(maxsize=512)
def _combined(parts: tuple[_Part, ...]) -> str:
    given = 0
    texts = []
    for part in parts:
        texts.append(f"{part.name} AS ({_renumbered(part.statement, given)})")
        given += part.parameters
    # All of it is constant text of these modules.
    checked = [f"(SELECT count(*) FROM {part.name})" for part in parts if part.is_checked]  # noqa: S608
    return f"WITH {', '.join(texts)} SELECT {', '.join(checked) or '1'}"


def _renumbered(statement: str, by: int) -> str:
    return _PARAMETER.sub(lambda found: f"${int(found[1]) + by}", statement)
