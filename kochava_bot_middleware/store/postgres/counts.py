"""Counts by queue, gathered to be written once."""

from __future__ import annotations

from . import statements as sql
from .text import to_text
from .writes import Writes

_COLUMNS = ("accepted", "done", "dead", "dropped")


class Counts:
    """Changes of the counts of one transaction."""

    def __init__(self) -> None:
        self._changes: dict[str, dict[str, int]] = {}

    def add(self, queue: str, column: str, by: int = 1) -> None:
        """Count *by* more; *column* is ``accepted``, ``done``, ``dead`` or ``dropped``."""
        changes = self._changes.setdefault(queue, dict.fromkeys(_COLUMNS, 0))
        changes[column] += by

    def add_to(self, writes: Writes) -> None:
        """Write them with the rest of the transaction."""
        if self._changes:
            queues = [to_text(queue) for queue in self._changes]
            numbers = [[changes[column] for changes in self._changes.values()] for column in _COLUMNS]
            writes.add("counts", sql.ADD_COUNTS, queues, *numbers)
