"""
Commits that are repeated until they work, among them the one at the end of an event's handling.

A store may fail one commit and take the next. So of the commits that append to the same lane only one at a time is
with the store; otherwise what came second would be written first. And while the store fails, only one commit tries.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import attrs

from ..clock import Clock
from ..exceptions import SchemaTooNew, StoreError, StoreUnavailable
from ..handling import Contributor, trail_of
from ..store.contract import Store
from ..store.plan import Lane
from ..store.records import Committed, CommitVerdict, Lease, Settlement, Unit

log = logging.getLogger(__name__)

TEMPORARY = (StoreUnavailable, SchemaTooNew)
"""What may be over later. Any other error of a store means that it can never keep this unit."""

SHORTEST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

SLOW = "it is slow"
"""Why a commit takes so long, as long as no failure is known."""

PLANS = 20
"""How often a unit is planned anew when a state entry was changed in between. Each failure means that another commit
succeeded, so this is reached only when something is broken."""


class LaneLock:
    """
    The locks of some lanes, held together or waited for.

    Attributes:
        lanes: Which lanes.
        blocked_by: How many of them another one holds.
    """

    __slots__ = ("_acquired", "blocked_by", "lanes")

    def __init__(self, lanes: set[Lane]) -> None:
        self.lanes = lanes
        self.blocked_by = 0
        self._acquired: asyncio.Future[None] | None = None

    async def acquired(self) -> None:
        """Return once all are held."""
        if self.blocked_by:
            self._acquired = asyncio.get_running_loop().create_future()
            await self._acquired

    def unblock(self) -> None:
        """One more is held."""
        self.blocked_by -= 1
        if not self.blocked_by and self._acquired is not None and not self._acquired.done():
            self._acquired.set_result(None)


class LaneLocks:
    """Locks of lanes, given in the order in which they were requested."""

    def __init__(self) -> None:
        self._requests: dict[Lane, list[LaneLock]] = {}

    def __len__(self) -> int:
        return len(self._requests)

    def request(self, lanes: set[Lane]) -> LaneLock:
        """Request the locks of *lanes*, all at once, so that no two requests can wait for each other."""
        lock = LaneLock(lanes)
        for lane in lanes:
            requests = self._requests.get(lane)
            if requests is None:
                self._requests[lane] = [lock]
            else:
                requests.append(lock)
                lock.blocked_by += 1
        return lock

    def release(self, lock: LaneLock) -> None:
        """Give the locks to those that wait; also when they were only waited for."""
        for lane in lock.lanes:
            requests = self._requests[lane]
            was_held = requests[0] is lock
            requests.remove(lock)
            if not requests:
                del self._requests[lane]
            elif was_held:
                requests[0].unblock()


class CommitRetry:
    """
    Commits units, for as long as it takes.

    Attributes:
        failing_since: Monotonic time since which the store has not taken anything; ``None`` while it works.
        failure: Why it failed last.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.failing_since: float | None = None
        self.failure = SLOW
        self._locks = LaneLocks()
        self._is_retrying = False
        self._waiters: list[asyncio.Future[None]] = []
        self._waiting = 0
        self._committing: set[asyncio.Task[object]] = set()
        self._given_up: set[asyncio.Task[object]] = set()

    async def commit(self, unit: Unit) -> Committed:
        """
        Commit *unit*, again and again until the store takes it.

        Raises:
            StoreError: The store can never keep this unit.
            StoreUnavailable: It failed and was given up, see `give_up`.
        """
        task = asyncio.current_task()
        assert task is not None
        retries = False
        pause = SHORTEST_PAUSE_SECONDS
        lock = self._locks.request({(entry.queue, entry.lane) for entry in unit.appends})
        try:
            if lock.blocked_by:
                await lock.acquired()
            if self._is_retrying or self._waiting:
                await self._wait()
            while True:
                try:
                    self._committing.add(task)
                    try:
                        committed = await self._store.commit(unit)
                    finally:
                        self._committing.discard(task)
                except TEMPORARY as exc:
                    self.note_failure(str(exc))
                    if task in self._given_up:
                        raise
                    if not self._is_retrying:
                        retries = self._is_retrying = True
                    if retries:
                        await self._clock.sleep(pause)
                        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                    else:
                        await self._wait()
                else:
                    self._note_success()
                    return committed
        finally:
            self._given_up.discard(task)
            if retries:
                self._is_retrying = False
            self._wake_waiters()
            self._locks.release(lock)

    async def settle(
        self,
        contributors: Sequence[Contributor],
        settlements: Sequence[Settlement] = (),
        lease: Lease | None = None,
    ) -> Committed | None:
        """
        Write all that *contributors* give, together with *settlements*.

        Nothing that a contributor does can keep an event from being settled: an event that is not settled is handled
        again, and the person gets every answer twice. A contributor that raises is left out; one whose conditions never
        hold keeps its records but not its state changes.

        Returns:
            The commit, or ``None`` when there was nothing to write, or the event belongs to another process by now;
            what that one records has the same ids.

        Raises:
            StoreError: The store cannot keep even the bare settlements.
        """
        willing = list(contributors)
        plans = 0
        while True:
            plans += 1
            contributions = await self._ask(willing)
            if plans > PLANS:
                contributions = [attrs.evolve(contribution, marks=()) for contribution in contributions]
            unit = Unit(
                appends=[entry for contribution in contributions for entry in contribution.appends],
                marks=[mark for contribution in contributions for mark in contribution.marks],
                settlements=settlements,
                lease=lease,
            )
            if not (unit.appends or unit.marks or unit.settlements):
                return None
            try:
                committed = await self.commit(unit)
            except StoreError as exc:
                if not willing:
                    raise
                log.error("contributions_refused: %s", trail_of(exc))
                willing.clear()
                continue
            if committed.verdict is CommitVerdict.COMMITTED:
                _report(willing, committed)
                return committed
            if committed.verdict is CommitVerdict.LEASE_LOST:
                log.warning("lease_lost")
                return None
            if plans == PLANS:
                # Only the owner of the state entry: the rest of the key names a person.
                log.error("marks_never_fit: %s", (committed.failed_key or "").partition(":")[0])

    def give_up(self, task: asyncio.Task[object]) -> None:
        """
        Let *task*, which commits something, try no more. What is with the store at this moment may still succeed, and
        then it goes on as usual: a commit that has left cannot be called back.
        """
        if task in self._committing:
            self._given_up.add(task)
        else:
            task.cancel()

    def note_failure(self, reason: str) -> None:
        """Remember since when the store fails; one log line an incident."""
        self.failure = reason
        if self.failing_since is None:
            self.failing_since = self._clock.monotonic()
            log.error("store_fails: %s", reason)

    def _note_success(self) -> None:
        if self.failing_since is not None:
            self.failing_since, self.failure = None, SLOW
            log.warning("store_works_again")

    async def _wait(self) -> None:
        """Return when the commit that is being repeated has ended."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        # Also one that was woken but has not run yet counts: a new commit must not overtake it.
        self._waiting += 1
        try:
            await waiter
        finally:
            self._waiting -= 1

    def _wake_waiters(self) -> None:
        if self._waiters and not self._is_retrying:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def _ask(self, willing: list[Contributor]) -> list[Unit]:
        """What each contributes. One that raises is removed; while the store cannot be read, it is asked again."""
        contributions = []
        for contributor in tuple(willing):
            try:
                contributions.append(await self.contribution(contributor))
            except Exception as exc:  # noqa: BLE001 - a middleware may raise anything
                log.error("contribution_failed: %s", trail_of(exc))
                willing.remove(contributor)
        return contributions

    async def contribution(self, contributor: Contributor) -> Unit:
        """What one contributes; while the store cannot be read, it is asked again."""
        pause = SHORTEST_PAUSE_SECONDS
        while True:
            try:
                return await contributor.contribute()
            except TEMPORARY as exc:
                self.note_failure(str(exc))
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _report(contributors: Sequence[Contributor], committed: Committed) -> None:
    for contributor in contributors:
        try:
            contributor.committed(committed)
        except Exception as exc:  # noqa: BLE001 - it is written: the lane must go on
            log.error("contributor_failed_after_commit: %s", trail_of(exc))
