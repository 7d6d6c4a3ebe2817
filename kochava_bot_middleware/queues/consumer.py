"""
The one consumer of a queue: it claims due heads, runs each, renews their leases meanwhile, and settles them.
Inbox, outbox and timers are three uses of it, which differ in their `Process`::

    claim ──▶ held ──▶ process ──▶ settlement ──▶ committed with others, which leases the next of the lanes
                │  renewed meanwhile        └──▶ lost: another process owns the entry
                └──▶ released, if a shutdown comes before it was begun
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from ..clock import Clock
from ..exceptions import NotStorable, StoreUnavailable
from ..handling import trail_of
from ..incidents import Incidents
from ..store.contract import Store
from ..store.records import Claim, CommitVerdict, Lease, Outcome, Settlement, Unit
from .claims import Claimed, ConsumerOptions, Instant, Leases, Process, Work
from .dead_letters import bare
from .settling import SettlementWriter, StoreWatch
from .takeover import end_leases_of_the_dead
from .waits import CANCEL_SECONDS, Pause, cancel, ended_within

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
"""How often the store is asked to remove what has expired."""

SHORTEST_WAIT_SECONDS = 0.02
"""A due head that cannot be claimed, since another process was faster, must not make a busy loop."""

LONGEST_BACKOFF_SECONDS = 30.0

LINGER_SECONDS = 0.02
"""
While more is processed anyway, a commit waits so long for two settlements for each that is processed at a time.
SQLite's costs some 240 µs, whatever is in it: with 2 ms a delivered record takes 1.2 times the processor time.
"""

REMEMBERED = 10_000
"""How many processed entries that were not this process's to settle are remembered."""


class Consumer:
    """
    Works on one queue until it is stopped; failures of the store do not end it.

    Attributes:
        is_stopping: Nothing more is claimed.
        is_cancelling: The deadline of `stop` has passed, and tasks are being cancelled.
    """

    def __init__(
        self,
        store: Store,
        queue: str,
        process: Process,
        options: ConsumerOptions,
        *,
        clock: Clock,
        incidents: Incidents,
    ) -> None:
        self._store = store
        self._queue = queue
        self._process = process
        self._options = options
        self._clock = clock
        self._incidents = incidents
        self.is_stopping = False
        self.is_cancelling = False
        self._leases = Leases(store, clock, lease_seconds=options.lease_seconds, spare_seconds=options.spare_seconds)
        self._watch = StoreWatch(queue, incidents)
        self._writer = SettlementWriter(store, self._leases, options, clock=clock, watch=self._watch)
        self._processed: dict[str, Settlement | None] = {}
        self._ready: deque[Claimed] = deque()
        self._running = 0
        self._settlements: list[tuple[Claimed, Settlement]] = []
        self._is_settling = False
        self._is_full = False
        self._is_woken = False
        self._has_taken_over = False
        self._cut: list[Claim] = []
        self._pause = Pause(clock)
        self._gathering = Pause(clock)
        self._enough = 2 * options.concurrency
        self._claiming: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._upkeep: list[asyncio.Task[None]] = []
        # Each task runs in a copy of this, so that none sees what another has set.
        self._context = contextvars.copy_context()

    # Start and stop

    def start(self) -> None:
        """Begin to claim, to renew leases and to sweep. Idempotent; does nothing after `stop`."""
        if not self._upkeep and not self.is_stopping:
            self._claiming = self.create_task(self._claim_until_stopped())
            self._upkeep = [asyncio.create_task(self._renew()), asyncio.create_task(self._sweep())]

    def wake(self) -> None:
        """Claim now rather than at the next poll: something was appended."""
        self._is_woken = True
        self._pause.end()

    async def stop(self, deadline_seconds: float) -> None:
        """
        Claim no more, wait for the tasks, release what was not begun. Idempotent, also before `start`.

        Args:
            deadline_seconds: What has not ended by then is cancelled; its lease lapses at once, and it is processed
                again.
        """
        self.is_stopping = True
        self.wake()
        try:
            async with asyncio.timeout(deadline_seconds):
                while tasks := self._other_tasks():
                    await asyncio.wait(tasks)
        except TimeoutError:
            if left := self._other_tasks() - {self._claiming}:
                log.warning("%s_not_drained: %d entries are left to the next process", self._queue, len(left))
        self.is_cancelling = True
        upkeep, self._upkeep = self._upkeep, []
        await cancel([*self._other_tasks(), *upkeep])
        if self._settlements:
            # What waited for further ones is known to have ended.
            group, self._settlements = self._settlements, []
            await ended_within(CANCEL_SECONDS, [asyncio.ensure_future(self._commit(group))])
        await self._give_back()

    def create_task(self, work: Coroutine[Any, Any, Any], claimed: Claimed | None = None) -> asyncio.Task[Any]:
        """Run *work*, on what `hold` returned, as a task that `stop` waits for."""
        task = asyncio.create_task(work, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._task_ended, claimed))
        return task

    def _other_tasks(self) -> set[asyncio.Task[Any]]:
        return self._tasks - {asyncio.current_task()}  # a handler may stop its own bot

    # Claims

    @property
    def unbegun(self) -> int:
        """How many of the claims that are held are not begun."""
        return self._leases.unbegun

    def now(self) -> Instant:
        """The time by both clocks of this process; `hold` and `take` want that of before the store was asked."""
        return self._leases.now()

    def hold(self, claims: Iterable[Claim], asked_at: Instant) -> list[Claimed]:
        """Hold claims from now on; returns those that are to be processed, by `run` or by `create_task`."""
        held = []
        for claim in claims:
            claimed = self._leases.add(claim, asked_at)
            if claimed is None:
                continue
            if claim.entry.id in self._processed:
                settlement = self._processed.pop(claim.entry.id)
                self._settle(claimed, settlement or Settlement(claim=claim, outcome=Outcome.DONE))
            else:
                held.append(claimed)
        return held

    def take(self, claims: Iterable[Claim], asked_at: Instant) -> None:
        """Hold claims, such as those that a commit leased, and process them."""
        for claimed in self.hold(claims, asked_at):
            if self._options.is_isolated:
                if not self._options.takes_up(claimed):
                    self.create_task(self._process(claimed), claimed)
            else:
                self._ready.append(claimed)
                if self._running < self._options.concurrency:
                    self._running += 1
                    self.create_task(self._process_ready())

    async def run(self, claimed: Claimed, work: Work) -> None:
        """Process a claim within the current task."""
        settlement = None
        try:
            settlement = await work
        finally:
            self.end(claimed, settlement)

    def begin(self, claimed: Claimed) -> None:
        """Work on it begins; from now on a shutdown does not release it."""
        self._leases.begin(claimed)
        self._claim_if_room()

    def end(self, claimed: Claimed, settlement: Settlement | None) -> None:
        """Work on it has ended; ``None``: it has settled the claim itself, the lease is lost, or it was cut off."""
        if settlement is not None:
            self._settle(claimed, settlement)
        elif claimed.is_begun and self.is_cancelling:
            self._cut.append(claimed.claim)
            self._leases.discard(claimed)
        elif claimed.is_begun or not self.is_stopping:
            self._let_go(claimed)

    async def is_owned(self, claimed: Claimed) -> bool:
        """As `Leases.is_owned`, which may raise `StoreError`; a claim that is not owned is no longer held."""
        if self._leases.is_fresh(claimed) or await self._leases.is_owned(claimed):
            return True
        self._let_go(claimed)
        return False

    def remember_processed(self, entry_id: str, settlement: Settlement | None = None) -> None:
        """Work on an entry that another process owns is done: should it be claimed here later, it is only settled."""
        self._processed[entry_id] = settlement
        while len(self._processed) > REMEMBERED:
            del self._processed[next(iter(self._processed))]

    # Claiming

    async def _claim_until_stopped(self) -> None:
        failures = 0
        while not self.is_stopping:
            try:
                seconds = await self._claim()
                failures = 0
            except Exception as exc:  # noqa: BLE001 - an engine may raise anything; claiming goes on when it works again
                self._watch.failed(exc)
                seconds = min(0.25 * 2.0**failures, self._options.poll_seconds, LONGEST_BACKOFF_SECONDS)
                failures = min(failures + 1, 8)
            # A wake-up that came meanwhile ends the wait at once.
            if seconds > 0 and not self._is_woken:
                await self._pause.wait(seconds)
            self._is_woken = False

    async def _claim(self) -> float:
        """Claim what there is room for; returns the seconds until it is worth looking again."""
        wanted, seconds = self._wanted()
        if wanted <= 0:
            self._is_full = True
            return min(max(seconds, SHORTEST_WAIT_SECONDS), self._options.poll_seconds)
        if not self._has_taken_over:
            lapsed = await end_leases_of_the_dead(self._store, self._queue)
            self._has_taken_over = True
            if lapsed:
                log.info("%s_taken_over: %d entries of a process that is dead", self._queue, lapsed)
        asked_at = self.now()
        claims = await self._store.claim(self._queue, wanted, self._options.lease_seconds)
        self.take(claims, asked_at)
        if len(claims) == wanted:
            return 0.0
        due_in = await self._store.next_due_in(self._queue)
        self._watch.works()
        poll_seconds = self._options.poll_seconds
        return poll_seconds if due_in is None else min(max(due_in, SHORTEST_WAIT_SECONDS), poll_seconds)

    def _wanted(self) -> tuple[int, float]:
        """How many claims to make now, and if none, in how many seconds to look again."""
        options, unbegun = self._options, self._leases.unbegun
        if unbegun > options.concurrency // 2:
            return 0, options.poll_seconds
        most = options.most_held - len(self._leases)
        if most <= 0 or options.room is None:
            return most, options.poll_seconds
        room, seconds = options.room(most)
        return (most if room >= most else room - unbegun), seconds

    def _claim_if_room(self) -> None:
        # Not for each one that ends, which would be a claim for each entry.
        concurrency, most = self._options.concurrency, self._options.most_held
        if self._is_full and self._leases.unbegun <= concurrency // 2 and len(self._leases) <= most - concurrency // 4:
            self._is_full = False
            self.wake()

    # Processing and settling

    async def _process_ready(self) -> None:
        try:
            while self._ready and not self.is_stopping:
                claimed = self._ready.popleft()
                self.begin(claimed)
                try:
                    await self.run(claimed, self._process(claimed))
                except Exception as exc:  # noqa: BLE001 - a fault of one entry must not stop the others
                    log.error("%s_task_failed: %s", self._queue, trail_of(exc))
        finally:
            self._running -= 1

    def _task_ended(self, claimed: Claimed | None, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, StoreUnavailable):
            log.error("%s_task_failed: %s", self._queue, trail_of(error))
        if claimed is not None:
            self.end(claimed, None if task.cancelled() or error is not None else task.result())

    def _let_go(self, claimed: Claimed) -> None:
        self._leases.discard(claimed)
        self._claim_if_room()

    def _settle(self, claimed: Claimed, settlement: Settlement) -> None:
        self.begin(claimed)
        self._settlements.append((claimed, settlement))
        if len(self._settlements) >= self._enough:
            self._gathering.end()
        if not self._is_settling:
            self._is_settling = True
            self.create_task(self._commit_settlements())

    async def _commit_settlements(self) -> None:
        """Commit settlements together: while one commit is under way, the next ones gather."""
        most = 2 * self._enough
        try:
            while self._settlements:
                if self._leases.unbegun and not self.is_stopping and len(self._settlements) < self._enough:
                    await self._gathering.wait(LINGER_SECONDS)
                group, self._settlements = self._settlements[:most], self._settlements[most:]
                await self._commit(group)
        finally:
            self._is_settling = False

    async def _commit(self, group: Sequence[tuple[Claimed, Settlement]]) -> None:
        ends_any = any(settlement.outcome not in (Outcome.RETRY, Outcome.RELEASE) for _, settlement in group)
        lease = self._lease() if ends_any else None
        try:
            settlements, committed, asked_at = await self._writer.write(group, lease)
        except NotStorable as exc:
            if len(group) == 1:
                self._incidents.report("detail_set_aside", self._queue, reason=exc.reason, level=logging.ERROR)
                group = [(claimed, bare(settlement)) for claimed, settlement in group]
            for each in group:
                await self._commit([each])
            return
        if committed.verdict is CommitVerdict.COMMITTED:
            for (claimed, _), settlement in zip(group, settlements, strict=True):
                self._let_go(claimed)
                self._options.on_ended(settlement, committed.verdict)
            self.take(committed.leased, asked_at)
            if ends_any and lease is None:
                self.wake()
        elif len(group) > 1 or group[0][0].claim.token != settlements[0].claim.token:
            # One lost lease refuses the whole unit; an entry may also have been claimed anew while the store wrote.
            for each in group:
                await self._commit([each])
        else:
            (claimed, _), settlement = group[0], settlements[0]
            self._incidents.report("lease_lost", self._queue)
            self._let_go(claimed)
            if settlement.outcome is Outcome.DONE:
                self.remember_processed(settlement.claim.entry.id, settlement)
            self._options.on_ended(settlement, committed.verdict)

    def _lease(self) -> Lease | None:
        """What leases the next entries of the lanes together with the settlements of their predecessors."""
        room = self._options.room
        is_wanted = not self.is_stopping and (room is None or room(1)[0] > 0)
        return Lease(queue=self._queue, seconds=self._options.lease_seconds) if is_wanted else None

    # Upkeep

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._options.spare_seconds / 2)
            try:
                await self._leases.renew_all()
            except Exception as exc:  # noqa: BLE001 - an engine may raise anything; the next renewal may be in time
                self._watch.failed(exc)

    async def _sweep(self) -> None:
        while True:
            try:
                await self._store.sweep({self._queue: self._options.longest_wait_seconds()})
            except Exception as exc:  # noqa: BLE001 - an engine may raise anything; it is tried again in a minute
                self._incidents.report("store_failed", "sweep", reason=type(exc).__name__)
            await self._clock.sleep(SWEEP_SECONDS)

    async def _give_back(self) -> None:
        """Let another process claim at once what was not begun, and what was cut off, whose outcome is unknown."""
        settlements = [Settlement(claim=claim, outcome=Outcome.RELEASE) for claim in self._leases.discard_unbegun()]
        calls: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._store.commit(Unit(settlements=[each]))) for each in settlements
        ]
        cut, self._cut = self._cut, []
        if cut:
            calls.append(asyncio.ensure_future(self._store.renew(cut, 0.0)))
        if calls:
            done = await ended_within(CANCEL_SECONDS, calls)
            failed = len(calls) - sum(call.exception() is None for call in done)
            log.info("%s_released: %d entries, %d not", self._queue, len(calls) - failed, failed)
