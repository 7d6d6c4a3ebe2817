"""
Commits that are repeated until they work, among them the one at the end of an event's handling.

A store may fail one commit and take the next. So of the commits that append to the same lane only one at a time is
with the store; otherwise what came second would be written first. And while the store fails, only one commit tries.

What follows from an error of a store is decided here, whichever engine it is:

- `StoreUnavailable`: the commit is repeated; `StoreUnusable` is logged once a minute besides, since it needs repair.
- `NotStorable`: no repetition would help. What cannot be kept of the unit is set aside, and the rest is written.
- A unit that fails again and again while the store keeps another one is treated in the same way, whatever the error
  says. So none can be taken for an outage, and keep all others waiting.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Sequence

import attrs

from ..clock import Clock
from ..exceptions import NotStorable, StoreError, StoreUnavailable, StoreUnusable
from ..handling import Contributor, ends_task, trail_of
from ..incidents import Incidents
from ..store.contract import Store
from ..store.records import Committed, CommitVerdict, Entry, Lease, Mark, Outcome, Settlement, Unit
from .dead_letters import bare, letter_of
from .joined_units import JoinedUnits
from .lane_locks import LaneLocks

log = logging.getLogger(__name__)

SHORTEST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

SLOW = "it is slow"
"""Why a commit takes so long, as long as no failure is known."""

SUSPICIOUS = 10
"""How often in a row a commit that tries alone may fail before the store is asked to keep something else."""

PROBED = 3
"""Of so many failures one is followed by that question, so that a store in trouble is asked little more than before."""

STRIKES = 3
"""How often in a row it keeps something else, but not the unit, before the unit is at fault."""

PROBE_SECONDS = 60.0
"""For how long what is written to try the store stays."""

LETTER_LEASE_SECONDS = 30.0
"""Of a dead letter, which is settled by the next commit."""

PLANS = 20
"""How often a unit is planned anew when a state entry was changed in between. Each failure means that another commit
succeeded, so this is reached only when something is broken."""


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
        self._incidents = Incidents(clock, log)
        self._locks = LaneLocks()
        self._joined = JoinedUnits(functools.partial(self.commit, sets_aside=False))
        self._is_retrying = False
        self._waiters: list[asyncio.Future[None]] = []
        self._waiting = 0
        self._committing: set[asyncio.Task[object]] = set()
        self._given_up: set[asyncio.Task[object]] = set()

    async def commit(self, unit: Unit, *, sets_aside: bool = True) -> Committed:
        """
        Commit *unit*, again and again until the store takes it.

        What the store can never keep of it is set aside: of an entry a dead letter stays, state entries are left out.
        The rest is written, as several transactions; entries come before the settlements, as their ids count once.

        Args:
            sets_aside: Whether it is; otherwise nothing is written.

        Raises:
            NotStorable: The store can never keep something, or with *sets_aside* not even a dead letter of it.
            StoreUnavailable: It failed and was given up, see `give_up`.
        """
        task = asyncio.current_task()
        assert task is not None
        lock = self._locks.request({(entry.queue, entry.lane) for entry in unit.appends})
        try:
            if lock.blocked_by:
                await lock.acquired()
            try:
                return await self._repeat(unit, task)
            except NotStorable as exc:
                if not sets_aside:
                    raise
                return await self._commit_parts(unit, exc, task)
        finally:
            self._given_up.discard(task)
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
            NotStorable: The store cannot keep even the bare settlements.
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
                counts=[each for contribution in contributions for each in contribution.counts],
                settlements=settlements,
                lease=lease,
            )
            if unit.is_empty:
                return None
            committed = None
            if plans == 1 and settlements and self._store.is_one_part and self.failing_since is None:
                committed = await self._joined.commit(unit)
            try:
                committed = committed or await self.commit(unit)
            except NotStorable as exc:
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

    def note_failure(self, reason: str, *, needs_repair: bool = False) -> None:
        """Remember since when the store fails; one log line an incident, and one a minute if it needs repair."""
        self.failure = reason
        is_new = self.failing_since is None
        if is_new:
            self.failing_since = self._clock.monotonic()
        if needs_repair:
            self._incidents.report("store_unusable", reason=reason, level=logging.ERROR)
        elif is_new:
            log.error("store_fails: %s", reason)

    def _note_success(self) -> None:
        if self.failing_since is not None:
            self.failing_since, self.failure = None, SLOW
            self._incidents.over("store_unusable")
            log.warning("store_works_again")

    async def _repeat(self, unit: Unit, task: asyncio.Task[object]) -> Committed:
        """Commit *unit* until the store takes it, or says that it never will."""
        retries = False
        pause = SHORTEST_PAUSE_SECONDS
        failures = strikes = 0
        try:
            if self._is_retrying or self._waiting:
                await self._wait()
            while True:
                try:
                    self._committing.add(task)
                    try:
                        committed = await self._store.commit(unit)
                    finally:
                        self._committing.discard(task)
                except StoreUnavailable as exc:
                    self.note_failure(str(exc), needs_repair=isinstance(exc, StoreUnusable))
                    if task in self._given_up:
                        raise
                    if not self._is_retrying:
                        retries = self._is_retrying = True
                    if retries:
                        failures += 1
                        if failures >= SUSPICIOUS and failures % PROBED == 0:
                            strikes = strikes + 1 if await self._keeps_another(unit) else 0
                        if strikes >= STRIKES:
                            message = f"the store keeps others, but not this: {exc}"
                            raise NotStorable(message, reason="fails each time it is written") from exc
                        await self._clock.sleep(pause)
                        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                    else:
                        await self._wait()
                else:
                    self._note_success()
                    return committed
        finally:
            if retries:
                self._is_retrying = False
            self._wake_waiters()

    async def _keeps_another(self, unit: Unit) -> bool:
        """Whether the store keeps something else, which grows it too and is kept in the same place as *unit*."""
        lanes = [entry.lane for entry in unit.appends] + [end.claim.entry.lane for end in unit.settlements]
        lanes += [mark.lane for mark in unit.marks]
        probe = Mark(lane=next(iter(lanes), ""), key="probe:", value=b"1", expires_after_seconds=PROBE_SECONDS)
        try:
            await self._store.commit(Unit(marks=[probe]))
        except StoreError:
            return False
        return True

    async def _commit_parts(self, unit: Unit, refusal: NotStorable, task: asyncio.Task[object]) -> Committed:
        """Write what the store can keep of *unit*, which it refused as a whole, and set the rest aside."""
        answers: list[Committed] = []
        set_aside: list[str] = []
        rest = attrs.evolve(unit, appends=())
        is_alone = len(unit.appends) == 1 and rest.is_empty
        for entry in unit.appends:
            try:
                if is_alone:
                    raise refusal
                answers.append(await self._repeat(Unit(appends=[entry], lease=unit.lease), task))
            except NotStorable as exc:
                await self._keep_letter(entry, exc, task)
                set_aside.append(entry.id)
        if not rest.is_empty:
            answer = await self._commit_rest(rest, task)
            if answer.verdict is not CommitVerdict.COMMITTED:
                return answer
            answers.append(answer)
        return Committed(
            verdict=CommitVerdict.COMMITTED,
            appended=tuple(entry_id for answer in answers for entry_id in answer.appended),
            repeated=tuple(entry_id for answer in answers for entry_id in answer.repeated),
            leased=tuple(claim for answer in answers for claim in answer.leased),
            set_aside=tuple(set_aside),
        )

    async def _commit_rest(self, unit: Unit, task: asyncio.Task[object]) -> Committed:
        """Write settlements and state entries; the settlements alone if that cannot be kept."""
        try:
            return await self._repeat(unit, task)
        except NotStorable as exc:
            self._incidents.report("state_set_aside", reason=exc.reason, level=logging.ERROR)
        if not unit.settlements:
            return Committed(verdict=CommitVerdict.COMMITTED)
        settlements = [bare(settlement) for settlement in unit.settlements]
        return await self._repeat(attrs.evolve(unit, settlements=settlements, marks=(), counts=()), task)

    async def _keep_letter(self, entry: Entry, refusal: NotStorable, task: asyncio.Task[object]) -> None:
        """Keep a dead letter of *entry*."""
        letter = letter_of(entry)
        lease = Lease(queue=letter.queue, seconds=LETTER_LEASE_SECONDS)
        leased = (await self._repeat(Unit(appends=[letter], lease=lease), task)).leased
        settlements = [Settlement(claim=claim, outcome=Outcome.DEAD, reason=refusal.reason) for claim in leased]
        if settlements:
            await self._repeat(Unit(settlements=settlements), task)
        self._incidents.report("set_aside", letter.queue, reason=refusal.reason, level=logging.ERROR)

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
            except (Exception, asyncio.CancelledError) as exc:
                # A middleware may raise anything, also that something it waited for was cancelled.
                if ends_task(exc):
                    raise
                log.error("contribution_failed: %s", trail_of(exc))
                willing.remove(contributor)
        return contributions

    async def contribution(self, contributor: Contributor) -> Unit:
        """What one contributes; while the store cannot be read, it is asked again."""
        pause = SHORTEST_PAUSE_SECONDS
        while True:
            try:
                return await contributor.contribute()
            except StoreUnavailable as exc:
                self.note_failure(str(exc), needs_repair=isinstance(exc, StoreUnusable))
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _report(contributors: Sequence[Contributor], committed: Committed) -> None:
    for contributor in contributors:
        try:
            contributor.committed(committed)
        except Exception as exc:  # noqa: BLE001 - it is written: the lane must go on
            log.error("contributor_failed_after_commit: %s", trail_of(exc))
