"""Walking all rows of a store while it changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kochava_bot_middleware.cli.store_rows import PAGE, every_row
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Entry, EntryState, Listed, Outcome, Settlement, Unit

ALL = 2 * PAGE + 1


class Mended(MemoryStore):
    """Somebody puts some dead entries back after the first page was read."""

    def __init__(self, taken: Callable[[int], bool]) -> None:
        super().__init__()
        self._taken = taken
        self._pages = 0

    async def browse(
        self,
        queue: str,
        *,
        state: EntryState | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        self._pages += 1
        if self._pages == 2:
            await self.retry_dead([str(number) for number in range(ALL) if self._taken(number)])
        return await super().browse(queue, state=state, lane=lane, limit=limit, after=after)


@pytest.mark.parametrize(
    "taken",
    [
        lambda _number: False,
        lambda number: number == PAGE - 1,
        lambda number: PAGE - 3 <= number < PAGE,
        lambda number: number < PAGE,
        lambda number: 0 < number < PAGE,
        lambda number: number == ALL - 1,
    ],
)
async def test_every_row_that_stays_is_walked_once(taken: Callable[[int], bool]) -> None:
    """Also when the row is gone after which the next page would begin."""
    store = Mended(taken)
    entries = [Entry(id=str(n), queue="track", lane=str(n), created_at=0.0, body=b"{}") for n in range(ALL)]
    await store.commit(Unit(appends=entries))
    claims = await store.claim("track", ALL, 60.0)
    await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DEAD) for claim in claims]))

    walked = [int(row.entry.id) async for row in every_row(store, "track", state=EntryState.DEAD)]

    assert len(walked) == len(set(walked))
    assert {number for number in range(ALL) if not taken(number)} <= set(walked)


async def test_rows_of_an_empty_queue() -> None:
    """None, and the walk ends."""
    assert [] == [row async for row in every_row(MemoryStore(), "track")]
