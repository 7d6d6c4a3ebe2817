"""A transaction on one connection, as the modules that hold SQL see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs

NOW = "extract(epoch FROM statement_timestamp())::float8"
"""
The server's clock. Stable within a statement, unlike ``clock_timestamp()``, so that an index can be searched by it.
"""


class Connection(Protocol):
    """What is used of asyncpg's."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Sequence[Any]]:
        """Run one statement; returns its rows."""


@attrs.frozen(kw_only=True)
class Session:
    """
    Runs statements in a transaction that its maker begins and ends.

    In a statement ``{s}`` stands for the schema and ``{now}`` for the server's time.

    Attributes:
        connection: In a transaction.
        schema: Name that needs no quotes.
        given_now: Wall-clock seconds since the epoch where the store was given a clock, ``None`` where the server's
            counts.
    """

    connection: Connection
    schema: str
    given_now: float | None

    async def fetch(self, statement: str, *arguments: Any) -> Sequence[Sequence[Any]]:
        """The rows of a statement."""
        text = statement.replace("{s}", self.schema).replace("{now}", NOW)
        return await self.connection.fetch(text, *arguments)

    async def value(self, statement: str, *arguments: Any) -> Any:
        """The first column of the first row."""
        return (await self.fetch(statement, *arguments))[0][0]
