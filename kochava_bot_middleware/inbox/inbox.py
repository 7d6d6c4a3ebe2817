"""
From a webhook's events to handled events, each at least once and in the person's order.

An event is stored and leased to this process in one commit; only then is Facebook answered. The handlers run as owned
tasks. "Handled" and all that the middlewares contribute are one commit again. A lease whose process died lapses, and
any live process takes the event over.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from ..clock import Clock, SystemClock
from ..exceptions import StoreError, StoreUnavailable
from ..handling import Contributor, Handling, handling_of, is_being_cancelled, trail_of
from ..messenger.events import Event
from ..queues.commit_retry import CommitRetry
from ..queues.settling import HandlingCommitter
from ..store.contract import Store
from ..store.records import Claim, Lease, Outcome, Queue, Settlement, Unit
from .admission import Admission, Patience, cancel
from .entries import SCHEMA, CorruptEntry, as_attempt, entry_of, event_of, id_of
from .in_flight import InFlight, InFlightEvent
from .settings import InboxSettings
from .watch import Watch

log = logging.getLogger(__name__)

Dispatch = Callable[[Handling], Awaitable[None]]


class Inbox:
    """
    Keeps webhook events until they are handled.

    Args:
        store: Where they are kept. A store that is not durable works alike, but a crash loses what waits.
        dispatch: Runs receive chain and handler for one event. What it raises is logged and counts as handled.
    """

    def __init__(
        self, *, store: Store, dispatch: Dispatch, settings: InboxSettings | None = None, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._dispatch = dispatch
        self._settings = settings or InboxSettings()
        self._clock = clock or SystemClock()
        self._persister = CommitRetry(store, self._clock)
        self._settler = HandlingCommitter(store, self._clock, self._persister)
        self._patience = Patience(self._settings.commit_timeout_seconds)
        self._full_lease = Lease(queue=Queue.INBOX, seconds=self._settings.lease_seconds)
        self._slots = asyncio.Semaphore(self._settings.concurrency)
        self._runs = InFlight()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._watch = Watch(store=store, runs=self._runs, settings=self._settings, clock=self._clock, take=self._take)
        self._stopping = False
        self._cancelling = False
        # Each event is handled in a copy of this, so that no event sees what another's handler has set.
        self._context = contextvars.copy_context()

    @property
    def at_risk(self) -> int:
        """Events that were answered 200 but are only in memory, because the store could not write."""
        return self._runs.at_risk

    async def start(self) -> None:
        """Begin to renew leases and to take over events whose process died."""
        self._watch.start()

    async def accept(self, events: Sequence[Event]) -> None:
        """
        Make *events* durable and begin to handle them. When this returns, Facebook may be answered 200.

        Raises:
            StoreUnavailable: They were not taken; Facebook shall deliver again.
            StoreError: The store can never keep them.
        """
        if self._stopping:
            msg = "the bot is shutting down"
            raise StoreUnavailable(msg)
        known = {id_of(event): event for event in events}
        now = self._clock.now()
        fresh = [(entry_of(event, now), event) for entry_id, event in known.items() if entry_id not in self._runs]
        if not fresh:
            return
        # An owned task, since a request that is cancelled must not orphan what it stored.
        admission = Admission(fresh)
        admitting = self._own(self._admit(admission))
        await self._patience.wait(admission.told)
        if admission.has_ended:
            admission.check()
            return
        self._persister.note_failure("the store is slow")
        if admitting.cancelled() or self._refuses() or self._runs.at_risk + len(fresh) > self._settings.at_risk_limit:
            self._persister.give_up(admitting)
            msg = f"the store did not take the event within {self._settings.commit_timeout_seconds:g} s"
            raise StoreUnavailable(msg)
        for entry, event in fresh:
            run = self._runs.hold(entry, event)
            if run is not None:
                self._own(self._run(run))

    async def stop(self, deadline_seconds: float | None = None) -> None:
        """
        Take nothing new, wait for the handlers, let go of what was not begun. Idempotent.

        Args:
            deadline_seconds: ``None`` takes `InboxSettings.drain_seconds`. A handler that runs longer is cancelled;
                its event is taken over after its lease.
        """
        self._stopping = True
        deadline = self._settings.drain_seconds if deadline_seconds is None else deadline_seconds
        claiming = self._watch.claim_no_more()
        try:
            async with asyncio.timeout(deadline):
                if claiming is not None:
                    await asyncio.wait({claiming})
                while tasks := self._others():
                    await asyncio.wait(tasks)
        except TimeoutError:
            log.warning("inbox_not_drained: %d events are left to the next process", len(self._runs))
        self._cancelling = True
        await cancel([*self._others(), *self._watch.stop()])
        await self._watch.release_unbegun()
        if self.at_risk:
            log.error("inbox_lost_at_risk: %d events", self.at_risk)

    # Taking in

    async def _admit(self, admission: Admission) -> None:
        events = {entry.id: event for entry, event in admission.fresh}
        entries = [entry for entry, _ in admission.fresh]
        try:
            committed = await self._persister.persist(Unit(appends=entries, lease=self._lease()))
        except StoreError as exc:
            self._runs.given_up(entries)
            admission.end(exc)
            raise
        except asyncio.CancelledError:
            admission.end(StoreUnavailable("the bot is shutting down"))
            raise
        work = self._work_on(committed.leased, events)
        self._runs.written(entries, committed)
        admission.end()
        if len(work) == 1:
            # Nearly always. To go on with it here spares each webhook a task.
            await work[0]
        else:
            for each in work:
                self._own(each)

    def _refuses(self) -> bool:
        since = self._persister.failing_since
        if self._settings.on_store_failure != "refuse" or since is None:
            return False
        return self._clock.monotonic() - since < self._settings.refuse_seconds

    def _work_on(self, claims: Iterable[Claim], events: Mapping[str, Event]) -> list[Coroutine[Any, Any, None]]:
        work = []
        for claim in claims:
            if self._runs.was_handled(claim.entry.id):
                work.append(self._finish(claim))
            elif (run := self._runs.lease(claim, events.get(claim.entry.id))) is not None:
                work.append(self._run(run))
        return work

    def _take(self, claims: Iterable[Claim]) -> None:
        for each in self._work_on(claims, {}):
            self._own(each)

    # Handling

    async def _run(self, run: InFlightEvent) -> None:
        before = run.before
        try:
            if run.claim is None:
                await run.stirred.wait()
            async with self._slots:
                if not await self._may_begin(run):
                    return
                run.begun = True
                handling, outcome, reason = self._read(run)
                if handling is not None:
                    await self._handle(handling)
            self._runs.has_handled(run)
            await run.stored.wait()
            if before is not None:
                # Its settlement may lease this event to us, and what it records comes first.
                await before.ended.wait()
            await self._settle(run, handling, outcome, reason)
        finally:
            # What is not begun at a shutdown is let go of at its end.
            if run.begun or not self._stopping:
                self._runs.leave(run)

    async def _may_begin(self, run: InFlightEvent) -> bool:
        claim = run.claim
        if claim is None:
            return not run.stored.is_set()
        if await self._watch.still_owns(claim):
            return True
        if run.claim is claim:
            run.claim = None
        return run.claim is not None

    def _read(self, run: InFlightEvent) -> tuple[Handling | None, Outcome, str]:
        claim, event = run.claim, run.event
        attempt = 1 if claim is None else claim.attempt
        if run.entry.schema > SCHEMA:
            log.warning("inbox_entry_too_new: schema %d is left to a newer release", run.entry.schema)
            return None, Outcome.RETRY, "written by a newer release"
        try:
            event = event_of(run.entry, attempt) if event is None else as_attempt(event, attempt)
        except CorruptEntry:
            log.error("inbox_entry_corrupt: %s", run.entry.id)
            return None, Outcome.DEAD, "corrupt inbox entry"
        age = self._clock.now() - run.entry.created_at
        rerun = attempt == 1 or age <= self._settings.rerun_within_seconds
        handling = Handling(event=event, store=self._store, rerun=rerun, is_let_go=self._lets_go)
        return handling, Outcome.DONE, ""

    async def _handle(self, handling: Handling) -> None:
        with handling_of(handling):
            try:
                await self._dispatch(handling)
            except BaseException as exc:
                if handling.is_ended_by(exc):
                    raise
                log.error("inbox_dispatch_failed: %s", trail_of(exc))
            await handling.go_on()

    async def _settle(self, run: InFlightEvent, handling: Handling | None, outcome: Outcome, reason: str) -> None:
        contributors: Sequence[Contributor] = ()
        if handling is not None:
            contributors = handling.contributions
            # They know the handling. Were it to know them for longer, only a garbage collection could free both.
            handling.contributors.clear()
        while True:
            claim = run.claim
            retry_at = claim.expires_at if claim is not None and outcome is Outcome.RETRY else None
            ends = [] if claim is None else [Settlement(claim=claim, outcome=outcome, reason=reason, retry_at=retry_at)]
            committed = await self._settler.settle(contributors, ends, self._lease())
            if committed is not None:
                self._take(committed.leased)
                contributors = ()
            if claim is None and run.claim is None:
                self._runs.remember_unclaimed(run.entry.id)
            # While the store was away, the event may have become ours, or ours anew.
            if run.claim is None or (claim is not None and claim.token == run.claim.token):
                return

    async def _finish(self, claim: Claim) -> None:
        """Settle what was handled before it was ours."""
        committed = await self._settler.settle((), [Settlement(claim=claim, outcome=Outcome.DONE)], self._lease())
        if committed is not None:
            self._take(committed.leased)

    def _lease(self) -> Lease | None:
        # At a shutdown, who follows is left to the next process; if nothing outlives this one, it is handled now.
        if self._stopping and self._store.durable:
            return None
        return self._full_lease

    # Letting go

    def _lets_go(self) -> bool:
        return self._cancelling and is_being_cancelled()

    # Tasks

    def _own(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._disown)
        return task

    def _disown(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, StoreUnavailable):
            log.error("inbox_task_failed: %s", trail_of(error))

    def _others(self) -> set[asyncio.Task[Any]]:
        # A handler may stop its own bot.
        return self._tasks - {asyncio.current_task()}
