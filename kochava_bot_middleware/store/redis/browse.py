"""Listings, read in portions so that the server is never busy with one for long."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import attrs

from ..records import EntryState, Listed, Queue
from . import scripts
from .line import Line
from .units import listed_of

SOME_ROWS = 500
"""How many rows one script looks at."""

_BEFORE_ALL = "-1"


@attrs.frozen(kw_only=True)
class Listing:
    """One page of what is in a queue; the attributes are the arguments of `Store.browse`."""

    queue: str
    state: EntryState | None
    lane: str | None
    limit: int

    async def read(self, looks: Line, shard: int, after: str) -> list[tuple[bytes, Listed]]:
        """The rows of a shard behind the place *after*, each with its place."""
        asked = {
            "queue": self.queue,
            "state": self.state or False,
            "lane": False if self.lane is None else self.lane,
            "some": SOME_ROWS,
            "private": Queue.INBOX,
        }
        rows: list[tuple[bytes, Listed]] = []
        place: str | None = after or _BEFORE_ALL
        while place is not None and len(rows) < self.limit:
            portion = {**asked, "after": place, "limit": self.limit - len(rows)}
            seen, found = await looks.run(scripts.BROWSE, shard, portion)
            rows += map(listed_of, found)
            place = None if seen is None else seen.decode()
        return rows

    def merged(self, shards: Sequence[Sequence[tuple[bytes, Listed]]]) -> list[Listed]:
        """The page out of the rows of all shards, in order of appending."""
        rows = heapq.merge(*shards, key=lambda row: row[0])
        return [listed for _, listed in rows][: self.limit]
