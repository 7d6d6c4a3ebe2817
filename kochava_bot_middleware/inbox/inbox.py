"""
From a webhook's events to handled events, each at least once and in the person's order.

An event is stored and leased to this process in one commit; only then is Facebook answered. The handlers run as owned
tasks. "Handled" and all that the middlewares contribute are one commit again. A lease whose process died lapses, and
any live process takes the event over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from ..clock import Clock, SystemClock
from ..exceptions import StoreError, StoreUnavailable
from ..handling import Contributor, Handling, handling_of, is_being_cancelled, trail_of
from ..incidents import Incidents
from ..messenger.events import Event
from ..queues.claims import Claimed, ConsumerOptions, Instant, Work
from ..queues.commits import CommitRetry
from ..queues.consumer import Consumer
from ..store.contract import Store
from ..store.records import Claim, Committed, Entry, Lease, Outcome, Queue, Settlement, Unit
from .in_flight import Admission, InFlight, InFlightEvent, WaitLimit
from .settings import InboxSettings
from .stored_event import SCHEMA, CorruptEntry, entry_of, event_of, id_of

log = logging.getLogger(__name__)

Dispatch = Callable[[Handling], Awaitable[str | None]]
"""
Runs what handles one event. ``None``: it is handled, well or not. A text says why it is not: then it is dispatched
again later, or is dead if `Handling.rerun` was false.
"""

LONGEST_LEASE = 4.0
"""An event waits no longer than its lease; another process may have one that is so many times as long."""

ALWAYS_LEASED = 16
"""
So many events of one commit are leased by it even if others wait here to be begun. More are leased only if no more than
`InboxSettings.concurrency` then wait; otherwise they are claimed later, so that the events of a large webhook hold up
neither those of others nor the memory.
"""

MOST_TOGETHER = 100
"""Most webhooks whose events are stored in one unit."""


class Inbox:
    """
    Keeps webhook events until they are handled.

    Args:
        store: Where they are kept. A store that is not durable works alike, but a crash loses what waits.
        dispatch: Handles one event. What it raises is logged and counts as handled.
    """

    def __init__(
        self, *, store: Store, dispatch: Dispatch, settings: InboxSettings | None = None, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._dispatch = dispatch
        self._settings = settings = settings or InboxSettings()
        self._clock = clock or SystemClock()
        self._commits = CommitRetry(store, self._clock)
        self._full_lease = Lease(queue=Queue.INBOX, seconds=settings.lease_seconds)
        self._wait_limit = WaitLimit(settings.commit_timeout_seconds)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._in_flight = InFlight()
        self._being_leased = 0
        self._arrived: list[Admission] | None = None
        self._consumer = Consumer(
            store,
            Queue.INBOX,
            self._process,
            ConsumerOptions(
                concurrency=settings.concurrency,
                most_held=settings.concurrency,
                lease_seconds=settings.lease_seconds,
                poll_seconds=settings.poll_seconds,
                is_isolated=True,
                longest_wait_seconds=lambda: LONGEST_LEASE * settings.lease_seconds,
            ),
            clock=self._clock,
            incidents=Incidents(self._clock, log),
        )

    @property
    def at_risk(self) -> int:
        """Events that were answered 200 but are only in memory, because the store could not write."""
        return self._in_flight.at_risk

    async def start(self) -> None:
        """Begin to renew leases and to take over events whose process died."""
        self._consumer.start()

    async def accept(self, events: Sequence[Event], request: Callable[[Event], Any] = lambda _event: None) -> None:
        """
        Make *events* durable and begin to handle them. When this returns, Facebook may be answered 200.

        Args:
            request: Gives JSON values to be stored with an event; see `request_of`.

        Raises:
            StoreUnavailable: They were not taken; Facebook must deliver again.
            StoreError: The store cannot keep them, nor that it set them aside.
        """
        if self._consumer.is_stopping:
            msg = "the bot is shutting down"
            raise StoreUnavailable(msg)
        by_id = {id_of(event): event for event in events}
        now = self._clock.now()
        new = [
            (entry_of(event, now, request(event)), event)
            for entry_id, event in by_id.items()
            if entry_id not in self._in_flight
        ]
        if not new:
            return
        admission = Admission(new)
        self._begin_to_admit(admission)
        await self._wait_limit.wait(admission.waiter)
        if admission.has_ended:
            if admission.error is not None:
                raise admission.error
            return
        self._commits.note_failure("the store is slow")
        is_refused = self._refuses() or self.at_risk + len(new) > self._settings.at_risk_limit
        if is_refused or admission.task is None or admission.task.cancelled():
            admission.is_given_up = True
            if admission.task is not None and all(each.is_given_up for each in admission.together):
                self._commits.give_up(admission.task)
            msg = f"the store did not take the event within {self._settings.commit_timeout_seconds:g} s"
            raise StoreUnavailable(msg)
        for entry, event in new:
            held = self._in_flight.hold(entry, event)
            if held is not None:
                self._consumer.create_task(self._run(held))

    async def stop(self, deadline_seconds: float | None = None) -> None:
        """
        Take nothing new, wait for the handlers, release what was not begun. Idempotent.

        Args:
            deadline_seconds: ``None`` takes `InboxSettings.drain_seconds`. A handler that runs longer is cancelled;
                its event is taken over after its lease.
        """
        await self._consumer.stop(self._settings.drain_seconds if deadline_seconds is None else deadline_seconds)
        if self.at_risk:
            log.error("inbox_lost_at_risk: %d events", self.at_risk)

    # Storing

    def _begin_to_admit(self, admission: Admission) -> None:
        """Admit it in an owned task, since a request that is cancelled must not orphan what it stored."""
        is_large = len(admission.events) > ALWAYS_LEASED
        if is_large or not self._store.is_one_part or self._commits.failing_since is not None:
            self._admit_together([admission])
        elif self._arrived is None or len(self._arrived) == MOST_TOGETHER:
            # What arrives in one turn of the event loop is one unit: 10 % less CPU time a webhook.
            self._arrived = self._admit_together([admission])
        else:
            self._arrived.append(admission)
            admission.together, admission.task = self._arrived, self._arrived[0].task

    def _admit_together(self, admissions: list[Admission]) -> list[Admission]:
        task = self._consumer.create_task(self._admit(admissions))
        for admission in admissions:
            admission.together, admission.task = admissions, task
        return admissions

    async def _admit(self, admissions: list[Admission]) -> None:
        """Store the events of webhooks in one unit, and handle those that this leased."""
        if admissions is self._arrived:
            self._arrived = None
        # Those of one event that was delivered twice are one.
        events = {entry.id: (entry, event) for admission in admissions for entry, event in admission.events}
        entries = [entry for entry, _ in events.values()]
        asked_at = self._consumer.now()
        places = self._settings.concurrency - self._consumer.unbegun - self._being_leased
        lease = self._lease() if len(admissions) > 1 or len(entries) <= max(ALWAYS_LEASED, places) else None
        being_leased = 0 if lease is None else len(entries)
        self._being_leased += being_leased
        try:
            is_alone = len(admissions) == 1
            committed = await self._commits.commit(Unit(appends=entries, lease=lease), sets_aside=is_alone)
        except StoreError as exc:
            if is_alone or isinstance(exc, StoreUnavailable):
                self._in_flight.refused(entries)
                _end(admissions, exc)
                raise
            # One of them is the cause; alone, the others go through.
            for admission in admissions:
                self._admit_together([admission])
            return
        except asyncio.CancelledError:
            _end(admissions, StoreUnavailable("the bot is shutting down"))
            raise
        finally:
            self._being_leased -= being_leased
        begun = self._admitted(events, committed, asked_at)
        # Before Facebook is answered: what a person does next comes after the handler's replies.
        for claimed, work in begun if len(begun) > 1 else ():
            self._consumer.create_task(work, claimed)
        _end(admissions)
        if lease is None:
            self._consumer.wake()
        if len(begun) == 1:
            # To go on with it here spares it a task.
            await self._consumer.run(*begun[0])

    def _admitted(
        self, events: dict[str, tuple[Entry, Event]], committed: Committed, asked_at: Instant
    ) -> list[tuple[Claimed, Work]]:
        """*events* are stored; returns what this leased, with the work on it."""
        begun = [
            (claimed, self._process(claimed, events[claimed.claim.entry.id][1]))
            for claimed in self._consumer.hold(committed.leased, asked_at)
        ]
        for entry_id in committed.set_aside:
            self._in_flight.refused([events.pop(entry_id)[0]])
        self._in_flight.written([entry for entry, _ in events.values()], committed)
        return begun

    def _refuses(self) -> bool:
        since = self._commits.failing_since
        if self._settings.on_store_failure != "refuse" or since is None:
            return False
        return self._clock.monotonic() - since < self._settings.refuse_seconds

    # Handling

    def _process(self, claimed: Claimed, event: Event | None = None) -> Work:
        """
        Handle a claimed event; or, when it is at risk and handled as such, hold its claim meanwhile.

        Args:
            event: As it came, if this process has just stored it.
        """
        found, is_new = self._in_flight.lease(claimed, event)
        if is_new:
            return self._run(found)
        if found.is_begun:
            self._consumer.begin(claimed)
        return found.ended.wait()

    async def _run(self, current: InFlightEvent) -> None:
        before = current.before
        try:
            if current.claimed is None:
                await current.ready.wait()
            async with self._slots:
                if not await self._may_begin(current):
                    return
                current.is_begun = True
                if current.claimed is not None:
                    self._consumer.begin(current.claimed)
                handling, outcome, reason = self._read(current)
                if handling is not None and (failure := await self._handle(handling)) is not None:
                    outcome, reason = Outcome.RETRY if handling.rerun else Outcome.DEAD, failure
            self._in_flight.handled(current)
            await current.stored.wait()
            if before is not None:
                # Its settlement may lease this event to us, and what it records comes first.
                await before.ended.wait()
            await self._settle(current, handling, outcome, reason)
        finally:
            self._in_flight.leave(current)

    async def _may_begin(self, current: InFlightEvent) -> bool:
        claimed = current.claimed
        if claimed is None:
            return not current.stored.is_set()
        try:
            if await self._consumer.is_owned(claimed):
                return True
        except StoreError:
            return False
        if current.claimed is claimed:
            current.claimed = None
        return current.claimed is not None

    def _read(self, current: InFlightEvent) -> tuple[Handling | None, Outcome, str]:
        claim, event = current.claim, current.event
        attempt = 1 if claim is None else claim.attempt
        if current.entry.schema > SCHEMA:
            log.warning("inbox_entry_too_new: schema %d is left to a newer release", current.entry.schema)
            return None, Outcome.RETRY, "written by a newer release"
        try:
            if event is None:
                event = event_of(current.entry, attempt)
            elif event.attempt != attempt:
                event = attrs.evolve(event, attempt=attempt)
        except CorruptEntry:
            log.error("inbox_entry_corrupt: %s", current.entry.id)
            return None, Outcome.DEAD, "corrupt inbox entry"
        age = self._clock.now() - current.entry.created_at
        rerun = attempt == 1 or age <= self._settings.rerun_within_seconds
        handling = Handling(event=event, store=self._store, entry=current.entry, rerun=rerun, is_let_go=self._is_let_go)
        return handling, Outcome.DONE, ""

    async def _handle(self, handling: Handling) -> str | None:
        failure = None
        with handling_of(handling):
            try:
                failure = await self._dispatch(handling)
            except BaseException as exc:
                if handling.is_ended_by(exc):
                    raise
                log.error("inbox_dispatch_failed: %s", trail_of(exc))
            await handling.go_on()
        return failure

    def _is_let_go(self) -> bool:
        return self._consumer.is_cancelling and is_being_cancelled()

    async def _settle(self, current: InFlightEvent, handling: Handling | None, outcome: Outcome, reason: str) -> None:
        contributors: Sequence[Contributor] = ()
        if handling is not None:
            contributors = handling.contributions
            # They know the handling. Were it to know them for longer, only a garbage collection could free both.
            handling.contributors.clear()
        while True:
            claim = current.claim
            settlements = []
            if claim is not None:
                wait = self._retry_after(claim, handling) if outcome is Outcome.RETRY else None
                settlements = [Settlement(claim=claim, outcome=outcome, reason=reason, retry_after_seconds=wait)]
            asked_at = self._consumer.now()
            committed = await self._commits.settle(contributors, settlements, self._lease())
            if committed is not None:
                self._consumer.take(committed.leased, asked_at)
                contributors = ()
            if claim is None and current.claim is None and outcome is Outcome.DONE:
                self._consumer.remember_processed(current.entry.id)
            # While the store was away, the event may have become ours, or ours anew.
            if current.claim is None or (claim is not None and claim.token == current.claim.token):
                return

    def _retry_after(self, claim: Claim, handling: Handling | None) -> float:
        longest = self._settings.lease_seconds
        # What is left to a newer release is not tried here in the meantime.
        return longest if handling is None else min(2.0 ** min(claim.attempt - 1, 16), longest)

    def _lease(self) -> Lease | None:
        # At a shutdown, what follows is left to the next process; if nothing outlives this one, it is handled now.
        if self._consumer.is_stopping and self._store.durable:
            return None
        return self._full_lease


def _end(admissions: Sequence[Admission], error: StoreError | None = None) -> None:
    for admission in admissions:
        admission.end(error)


def warn_if_in_memory(store: Store) -> None:
    """Say that what waits in *store* does not outlast the process, if so."""
    if not store.durable:
        log.warning(
            "inbox_in_memory: waiting events are lost in a crash; set `store` of KochavaMiddleware to a file, "
            "such as sqlite:///kochava-bot.db, or add a middleware that provides a durable store"
        )
