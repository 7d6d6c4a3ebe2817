"""
Batches: calls that wait become one transaction together. Commits and lookups of state entries are batched.

Calls that touch the same thing are never in two transactions at once, so they are done in the order they were made.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import attrs

from ...exceptions import StoreError, StoreUnavailable
from ..records import Unit

Given = TypeVar("Given")
Answer = TypeVar("Answer")


@attrs.frozen(eq=False)
class _Call(Generic[Given, Answer]):
    given: Given
    future: asyncio.Future[Answer]
    touched: frozenset[Hashable]


class Batches(Generic[Given, Answer]):
    """
    Runs calls in batches for as long as there are any. A batch begins after its calls were made.

    Args:
        run: Does a batch; returns an answer for each call.
        name: Of its tasks.
        side_by_side: How many batches run at the same time.
        most: Most calls of one batch.
        touched: What a call changes: of two calls that touch the same, the first is finished before the second begins,
            or both are in one batch. By default calls touch nothing.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Given]], Awaitable[Sequence[Answer]]],
        *,
        name: str,
        side_by_side: int,
        most: int,
        touched: Callable[[Given], frozenset[Hashable]] = lambda _given: frozenset(),
    ) -> None:
        self._run_batch = run
        self._name = name
        self._side_by_side = side_by_side
        self._most = most
        self._touched = touched
        self._waiting: deque[_Call[Given, Answer]] = deque()
        self._in_flight: Counter[Hashable] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0

    async def call(self, given: Given) -> Answer:
        """Have *given* done in the next batch. If the caller is cancelled, it is done all the same."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(given, future, self._touched(given)))
        self._start()
        return await future

    async def drain(self) -> None:
        """Return when nothing waits and nothing is in flight."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _start(self) -> None:
        # Tasks are not counted: one that found nothing more is among them until the loop's next turn.
        if self._running < self._side_by_side:
            self._running += 1
            task = asyncio.get_running_loop().create_task(self._run_all(), name=self._name)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_all(self) -> None:
        try:
            while batch := self._take():
                touched = Counter(key for call in batch for key in call.touched)
                self._in_flight.update(touched)
                if self._waiting:
                    self._start()
                try:
                    await self._run(batch)
                finally:
                    self._in_flight -= touched
        finally:
            self._running -= 1

    def _take(self) -> list[_Call[Given, Answer]]:
        """The next batch: the calls that wait longest, but none that would overtake another that touches the same."""
        taken: list[_Call[Given, Answer]] = []
        left: deque[_Call[Given, Answer]] = deque()
        blocked: set[Hashable] = set(self._in_flight)
        while self._waiting and len(taken) < self._most:
            call = self._waiting.popleft()
            if blocked.isdisjoint(call.touched):
                taken.append(call)
            else:
                left.append(call)
                blocked |= call.touched
        left.extend(self._waiting)
        self._waiting = left
        return taken

    async def _run(self, batch: Sequence[_Call[Given, Answer]]) -> None:
        try:
            answers = await self._run_batch([call.given for call in batch])
        except Exception as exc:  # noqa: BLE001 - whatever it is, the callers get it
            if len(batch) > 1 and not isinstance(exc, StoreUnavailable):
                # One of them is the cause; alone, the others succeed.
                for call in batch:
                    await self._run([call])
                return
            _refuse(batch, exc)
        except BaseException:
            _refuse((*batch, *self._waiting), StoreUnavailable("the event loop stopped before this was done"))
            self._waiting.clear()
            raise
        else:
            for call, answer in zip(batch, answers, strict=True):
                if not call.future.done():
                    call.future.set_result(answer)


def touched_by(unit: Unit) -> frozenset[Hashable]:
    """The lanes, ids and keys that *unit* reads or changes."""
    entries = [*unit.appends, *(settlement.claim.entry for settlement in unit.settlements)]
    lanes = {(entry.queue, entry.lane) for entry in entries}
    return frozenset(lanes | {mark.key for mark in unit.marks} | {("id", entry.id, "") for entry in unit.appends})


def _refuse(calls: Iterable[_Call[Any, Any]], exc: Exception) -> None:
    """Give each caller an error of its own, since raising one changes it."""
    for call in calls:
        if not call.future.done():
            own = copy.copy(exc) if isinstance(exc, StoreError) else exc
            own.__cause__ = exc.__cause__
            call.future.set_exception(own)
