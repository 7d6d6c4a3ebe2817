"""Reading all entries of a store while it changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kochava_bot_middleware.cli.entries import PAGE, every_entry
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Entry, EntryState, Listed, Outcome, Settlement, Unit

ALL = 2 * PAGE + 1


class ChangingStore(MemoryStore):
    """Some dead entries are put back after the first page was read."""

    def __init__(self, put_back: Callable[[int], bool]) -> None:
        super().__init__()
        self._put_back = put_back
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
            await self.retry_dead([str(number) for number in range(ALL) if self._put_back(number)])
        return await super().browse(queue, state=state, lane=lane, limit=limit, after=after)


@pytest.mark.parametrize(
    "put_back",
    [
        lambda _number: False,
        lambda number: number == PAGE - 1,
        lambda number: PAGE - 3 <= number < PAGE,
        lambda number: number < PAGE,
        lambda number: 0 < number < PAGE,
        lambda number: number == ALL - 1,
    ],
)
async def test_every_entry_that_stays_is_read_once(put_back: Callable[[int], bool]) -> None:
    """Also when the entry is gone after which the next page would begin."""
    store = ChangingStore(put_back)
    entries = [Entry(id=str(n), queue="track", lane=str(n), created_at=0.0, body=b"{}") for n in range(ALL)]
    await store.commit(Unit(appends=entries))
    claims = await store.claim("track", ALL, 60.0)
    await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DEAD) for claim in claims]))

    read = [int(row.entry.id) async for row in every_entry(store, "track", state=EntryState.DEAD)]

    assert len(read) == len(set(read))
    assert {number for number in range(ALL) if not put_back(number)} <= set(read)


async def test_empty_queue_has_no_entries() -> None:
    """And reading ends."""
    assert [] == [row async for row in every_entry(MemoryStore(), "track")]
