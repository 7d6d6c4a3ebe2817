"""Units that are ready in one turn of the event loop, written as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..exceptions import StoreError
from ..store.records import Committed, CommitVerdict, Unit

MOST_JOINED = 100
"""Most units that are written as one."""


class JoinedUnits:
    """
    Commits units together where nothing speaks against it.

    No unit fails because of another: when the whole is refused or cannot be kept, whoever gave a unit commits it alone.

    Args:
        commit: Commits one unit.
    """

    def __init__(self, commit: Callable[[Unit], Awaitable[Committed]]) -> None:
        self._commit = commit
        self._group: _Group | None = None

    async def commit(self, unit: Unit) -> Committed | None:
        """
        Commit *unit* with the others of this turn; ``None`` when it is to be committed alone.

        The claims that the commit leased, of whichever of the lanes, are in the answer to one of them.
        """
        if self._group is not None:
            return await self._group.join(unit)
        self._group = group = _Group(unit)
        committed = None
        try:
            try:
                await asyncio.sleep(0)
            finally:
                self._group = None
            if len(group.units) > 1:
                committed = await self._commit(group.whole())
                if committed.verdict is not CommitVerdict.COMMITTED:
                    committed = None
        except StoreError:
            # One of them is the cause; alone, the others go through.
            return None
        finally:
            group.end(committed)
        return None if committed is None else _part_of(committed, unit, is_first=True)


class _Group:
    """
    Units that become one.

    Attributes:
        units: They, in order.
    """

    def __init__(self, first: Unit) -> None:
        self.units = [first]
        self._lease = first.lease
        self._keys = {mark.key for mark in first.marks}
        self._waiters: list[asyncio.Future[Committed | None]] = []

    async def join(self, unit: Unit) -> Committed | None:
        """Add *unit*, if it can be part of the whole; returns what became of the whole, as far as it concerns it."""
        if len(self.units) >= MOST_JOINED or unit.lease is not self._lease:
            return None
        if unit.marks:
            # Conditions look at what was before the unit, so two changes of one state entry cannot be one.
            keys = {mark.key for mark in unit.marks}
            if not keys.isdisjoint(self._keys):
                return None
            self._keys |= keys
        self.units.append(unit)
        waiter: asyncio.Future[Committed | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        committed = await waiter
        return None if committed is None else _part_of(committed, unit)

    def whole(self) -> Unit:
        """All as one."""
        return Unit(
            appends=[entry for unit in self.units for entry in unit.appends],
            settlements=[settlement for unit in self.units for settlement in unit.settlements],
            marks=[mark for unit in self.units for mark in unit.marks],
            counts=[count for unit in self.units for count in unit.counts],
            lease=self._lease,
        )

    def end(self, committed: Committed | None) -> None:
        """Answer all that joined; ``None``: each is to be committed alone."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(committed)


def _part_of(committed: Committed, unit: Unit, *, is_first: bool = False) -> Committed:
    """What of the answer concerns *unit*; the first one's has what was leased."""
    appended, repeated = [entry.id for entry in unit.appends], []
    if committed.repeated:
        repeated = [entry_id for entry_id in appended if entry_id in committed.repeated]
        appended = [entry_id for entry_id in appended if entry_id not in repeated]
    return Committed(
        verdict=committed.verdict,
        appended=tuple(appended),
        repeated=tuple(repeated),
        leased=committed.leased if is_first else (),
    )
