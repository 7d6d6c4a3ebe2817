"""
Turns within lanes: of commits that append to the same lane, one at a time is with the store.

A store may fail one commit and take the next. Were both with it, what came second would be written first.
"""

from __future__ import annotations

import asyncio
import logging

from ..clock import Clock
from ..exceptions import SchemaTooNew, StoreUnavailable
from ..store.contract import Store
from ..store.records import Committed, Unit

Lane = tuple[str, str]
"""A queue and one of its lanes."""


class Place:
    """
    Where one commit stands.

    Attributes:
        lanes: In which lanes.
        behind: In how many of them somebody else comes first.
    """

    __slots__ = ("_turn", "behind", "lanes")

    def __init__(self, lanes: set[Lane]) -> None:
        self.lanes = lanes
        self.behind = 0
        self._turn: asyncio.Future[None] | None = None

    async def turn(self) -> None:
        """Return once it is first in all its lanes."""
        if self.behind:
            self._turn = asyncio.get_running_loop().create_future()
            await self._turn

    def move_up(self) -> None:
        """It has become the first of one more lane."""
        self.behind -= 1
        if not self.behind and self._turn is not None and not self._turn.done():
            self._turn.set_result(None)


class LaneOrder:
    """Who stands in which lane, in the order in which they came."""

    def __init__(self) -> None:
        self._lines: dict[Lane, list[Place]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def stand(self, lanes: set[Lane]) -> Place:
        """Take the last place in each of *lanes*. All at once, so that no two can wait for each other."""
        place = Place(lanes)
        for lane in place.lanes:
            line = self._lines.get(lane)
            if line is None:
                self._lines[lane] = [place]
            else:
                line.append(place)
                place.behind += 1
        return place

    def leave(self, place: Place) -> None:
        """Make room for who comes next, also when the turn was not waited for."""
        for lane in place.lanes:
            line = self._lines[lane]
            was_first = line[0] is place
            line.remove(place)
            if not line:
                del self._lines[lane]
            elif was_first:
                line[0].move_up()


log = logging.getLogger(__name__)

PASSING = (StoreUnavailable, SchemaTooNew)
"""What may be over later. Any other error of a store means that it cannot keep this unit, ever."""

SHORTEST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0


class CommitRetry:
    """
    Writes units, for as long as it takes.

    Attributes:
        failing_since: Monotonic time since which the store has not taken anything; ``None`` while it works.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.failing_since: float | None = None
        self._lanes = LaneOrder()
        self._probing = False
        self._line = 0
        self._asleep: list[asyncio.Future[None]] = []
        self._writing: set[asyncio.Task[object]] = set()
        self._given_up: set[asyncio.Task[object]] = set()

    async def persist(self, unit: Unit) -> Committed:
        """
        Commit *unit*, again and again until the store takes it.

        Raises:
            StoreError: The store can never keep this unit.
            StoreUnavailable: It failed and was given up, see `give_up`.
        """
        task = asyncio.current_task()
        assert task is not None
        probes = False
        pause = SHORTEST_PAUSE_SECONDS
        place = self._lanes.stand({(entry.queue, entry.lane) for entry in unit.appends})
        try:
            if place.behind:
                await place.turn()
            if self._probing or self._line:
                await self._turn()
            while True:
                try:
                    self._writing.add(task)
                    try:
                        committed = await self._store.commit(unit)
                    finally:
                        self._writing.discard(task)
                except PASSING as exc:
                    self.note_failure(str(exc))
                    if task in self._given_up:
                        raise
                    if not self._probing:
                        probes = self._probing = True
                    if probes:
                        await self._clock.sleep(pause)
                        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                    else:
                        await self._turn()
                else:
                    self._note_success()
                    return committed
        finally:
            self._given_up.discard(task)
            if probes:
                self._probing = False
            self._wake()
            self._lanes.leave(place)

    def give_up(self, task: asyncio.Task[object]) -> None:
        """
        Let *task*, which persists something, try no more. What it is writing at this moment may still succeed, and then
        it goes on as usual: a commit that has left cannot be called back.
        """
        if task in self._writing:
            self._given_up.add(task)
        else:
            task.cancel()

    def note_failure(self, reason: str) -> None:
        """Remember since when the store fails; one log line an incident."""
        if self.failing_since is None:
            self.failing_since = self._clock.monotonic()
            log.error("store_fails: %s", reason)

    def _note_success(self) -> None:
        if self.failing_since is not None:
            self.failing_since = None
            log.warning("store_works_again")

    async def _turn(self) -> None:
        """Stand in line until the one who tries has ended."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asleep.append(turn)
        # Also who was woken but has not run yet is in line: a newcomer must not slip past.
        self._line += 1
        try:
            await turn
        finally:
            self._line -= 1

    def _wake(self) -> None:
        if self._asleep and not self._probing:
            asleep, self._asleep = self._asleep, []
            for turn in asleep:
                if not turn.done():
                    turn.set_result(None)
