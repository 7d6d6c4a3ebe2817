"""A page of `Store.browse`, as the stores that speak SQL read it: the living from one table, the ended from another."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .records import Entry, EntryState, Listed, Queue


@attrs.frozen(kw_only=True)
class Page:
    """What is asked for; the attributes are the arguments of `Store.browse`."""

    queue: str
    state: EntryState | None
    lane: str | None
    limit: int
    after: str | None

    @property
    def has_living(self) -> bool:
        return self.state in (None, EntryState.WAITING, EntryState.IN_FLIGHT)

    @property
    def has_ended(self) -> bool:
        return self.state in (None, EntryState.DEAD, EntryState.DROPPED)

    def of(self, rows: Iterable[tuple[int, Listed]]) -> list[Listed]:
        """The first ones of *rows*, each given with its place."""
        return [listed for _, listed in sorted(rows, key=lambda row: row[0])[: self.limit]]


def without_private_body(entry: Entry) -> Entry:
    """The entry as it may be listed: an event of the inbox is for nobody to read."""
    return attrs.evolve(entry, body=b"") if entry.queue == Queue.INBOX else entry
