"""Everything a transaction changes, as one statement and so as one round trip."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import attrs

from .errors import Raced
from .session import Session

_PARAMETER = re.compile(r"\$(\d+)")


@attrs.frozen
class _Part:
    name: str
    statement: str
    parameters: int
    is_checked: bool


class Writes:
    """Parts are gathered, then run together. None sees what the others change."""

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

    async def run(self, session: Session) -> None:
        """
        Write it all.

        Raises:
            Raced: A part did not return what it must; the transaction is to be rolled back.
        """
        if not self._parts:
            return
        (counts,) = await session.fetch(_compose(tuple(self._parts)), *self._arguments)
        if self._expected and list(counts) != self._expected:
            raise Raced


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows as arrays, one a column."""
    return [list(column) for column in zip(*rows, strict=True)]


@functools.lru_cache(maxsize=512)
def _compose(parts: tuple[_Part, ...]) -> str:
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
