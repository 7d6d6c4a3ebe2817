"""
Group commit: all units that wait become one transaction, and several such transactions run side by side.

Units that touch the same lane or mark are never in two transactions at once, so they are written in the order they
were handed over.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Hashable, Sequence
from functools import partial

import attrs

from ...exceptions import StoreUnavailable
from ..records import Committed, Unit
from ..settings import NewToken
from .commit import commit_units
from .errors import refuse
from .pool import Pool

TRANSACTIONS = 2
"""How many run side by side in one process."""

UNITS = 128
"""Most units of one transaction."""


@attrs.frozen(eq=False)
class _Waiting:
    unit: Unit
    future: asyncio.Future[Committed]
    touched: frozenset[Hashable]


class Committer:
    """
    Commits units for as long as there are any.

    Args:
        pool: The connections.
        new_token: Gives the token of each lease.
        dedupe_seconds: See `StoreSettings`.
    """

    def __init__(self, pool: Pool, *, new_token: NewToken, dedupe_seconds: float) -> None:
        self._pool = pool
        self._commit = partial(commit_units, new_token=new_token, dedupe_seconds=dedupe_seconds)
        self._waiting: deque[_Waiting] = deque()
        self._in_flight: Counter[Hashable] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._taking = 0

    async def commit(self, unit: Unit) -> Committed:
        """Commit *unit* with whatever else waits. Its caller may be cancelled; the unit is committed all the same."""
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(unit, future, _touched(unit)))
        self._start()
        return await future

    async def drain(self) -> None:
        """Return when nothing waits and nothing is in flight."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _start(self) -> None:
        # Not the tasks are counted: one that found nothing more is among them until the loop's next turn.
        if self._taking < TRANSACTIONS:
            self._taking += 1
            task = asyncio.get_running_loop().create_task(self._live(), name="kochava-bot-commit")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _live(self) -> None:
        try:
            while group := self._take():
                touched = Counter(key for waiting in group for key in waiting.touched)
                self._in_flight.update(touched)
                if self._waiting:
                    self._start()
                try:
                    await self._run(group)
                finally:
                    self._in_flight -= touched
        finally:
            self._taking -= 1

    def _take(self) -> list[_Waiting]:
        """The next group: the units that wait longest, but none that would overtake another of its lane."""
        taken: list[_Waiting] = []
        left: deque[_Waiting] = deque()
        blocked: set[Hashable] = set(self._in_flight)
        while self._waiting and len(taken) < UNITS:
            waiting = self._waiting.popleft()
            if blocked.isdisjoint(waiting.touched):
                taken.append(waiting)
            else:
                left.append(waiting)
                blocked |= waiting.touched
        left.extend(self._waiting)
        self._waiting = left
        return taken

    async def _run(self, group: Sequence[_Waiting]) -> None:
        try:
            answers = await self._pool.run(partial(self._commit, units=[waiting.unit for waiting in group]))
        except Exception as exc:  # noqa: BLE001 - whatever it is, the callers are told
            if len(group) > 1 and not isinstance(exc, StoreUnavailable):
                # One of them is the cause; alone, the others go through.
                for waiting in group:
                    await self._run([waiting])
                return
            refuse([waiting.future for waiting in group], exc)
        except BaseException:
            stopped = StoreUnavailable("the event loop stopped while this was being committed")
            refuse([waiting.future for waiting in group], stopped)
            raise
        else:
            for waiting, answer in zip(group, answers, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(answer)


def _touched(unit: Unit) -> frozenset[Hashable]:
    entries = [*unit.appends, *(settlement.claim.entry for settlement in unit.settlements)]
    lanes = {(entry.queue, entry.lane) for entry in entries}
    return frozenset(lanes | {mark.key for mark in unit.marks} | {("id", entry.id, "") for entry in unit.appends})
