"""
From a webhook's events to handled events, each at least once and in the person's order.

An event is stored and leased to this process in one commit; only then is Facebook answered. The handlers run as owned
tasks. "Handled" and all that the middlewares contribute are one commit again. A lease whose process died lapses, and
any live process takes the event over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import attrs
import orjson

from .clock import Clock, SystemClock
from .exceptions import StoreError, StoreUnavailable
from .handling import Handling, handling_of
from .messenger.events import Channel, Event
from .messenger.parse import parse_item
from .settings import at_least, one_of
from .settling import Settler
from .store.contract import (
    Claim,
    Committed,
    Entry,
    Lease,
    Outcome,
    Queue,
    Settlement,
    Store,
    Unit,
)

log = logging.getLogger(__name__)

Dispatch = Callable[[Handling], Awaitable[None]]


@attrs.frozen(kw_only=True)
class InboxSettings:
    """
    How events are kept and handled.

    Attributes:
        concurrency: Handlers that run at the same time; further events wait, leased.
        lease_seconds: After this long without a sign of life, another process takes an event over.
        rerun_within_seconds: A handler is run again after its process died only if the event is younger than this;
            an older one is recorded, but not answered.
        commit_timeout_seconds: How long Facebook waits for the store before `on_store_failure` decides.
        on_store_failure: ``buffer``: answer 200 and hold the event in memory, at risk. ``refuse``: answer 503, so that
            Facebook delivers again, for at most `refuse_seconds`.
        at_risk_limit: Events held in memory at most; beyond it, webhooks are refused.
        refuse_seconds: After this long, ``refuse`` turns to ``buffer``, since Facebook unsubscribes a Page after an
            hour of failures.
        poll_seconds: How often to look for events whose process died.
        drain_seconds: How long a shutdown waits for handlers.
    """

    concurrency: int = attrs.field(default=256, validator=at_least(1))
    lease_seconds: float = attrs.field(default=30.0, validator=at_least(1))
    rerun_within_seconds: float = attrs.field(default=300.0, validator=at_least(0))
    commit_timeout_seconds: float = attrs.field(default=1.0, validator=at_least(0, exclusive=True))
    on_store_failure: str = attrs.field(default="buffer", validator=one_of("buffer", "refuse"))
    at_risk_limit: int = attrs.field(default=10_000, validator=at_least(0))
    refuse_seconds: float = attrs.field(default=600.0, validator=at_least(0))
    poll_seconds: float = attrs.field(default=1.0, validator=at_least(0, exclusive=True))
    drain_seconds: float = attrs.field(default=25.0, validator=at_least(0))


@attrs.define(eq=False)
class _Run:
    """
    One event in the hands of this process.
    """

    entry: Entry
    handled: asyncio.Event = attrs.field(factory=asyncio.Event)
    claim: asyncio.Future[Claim | None] | None = None
    """Of an event at risk: comes true when the store has it; ``None`` then says that it was known already."""


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
        self._settler = Settler(store, self._clock)
        self._lease = Lease(queue=Queue.INBOX, seconds=self._settings.lease_seconds)
        self._slots = asyncio.Semaphore(self._settings.concurrency)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._patrolling: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._held: dict[str, Claim] = {}
        self._at_risk: dict[str, _Run] = {}
        self._latest: dict[str, _Run] = {}
        self._unbegun: list[Claim] = []
        self._stopping = False

    @property
    def at_risk(self) -> int:
        """
        Events that were answered 200 but are only in memory, because the store could not write.
        """
        return len(self._at_risk)

    async def start(self) -> None:
        """
        Begin to renew leases and to take over events whose process died.
        """
        self._patrolling = asyncio.create_task(self._patrol())
        self._renewing = asyncio.create_task(self._renew())

    async def accept(self, events: Sequence[Event]) -> None:
        """
        Make *events* durable and begin to handle them. When this returns, Facebook may be answered 200.

        Raises:
            StoreUnavailable: They were not taken; Facebook shall deliver again.
        """
        if self._stopping:
            msg = "the bot is shutting down"
            raise StoreUnavailable(msg)
        known = {self._entry(event): event for event in events}
        fresh = {entry: event for entry, event in known.items() if entry.id not in self._at_risk}
        if not fresh:
            return
        admission = self._own(self._settler.persist(Unit(appends=tuple(fresh), lease=self._lease)))
        await asyncio.wait({admission}, timeout=self._settings.commit_timeout_seconds)
        if not admission.done():
            self._hold_at_risk(admission, fresh)
            return
        by_id = {entry.id: event for entry, event in fresh.items()}
        self._begin_leased(admission.result(), by_id)

    async def stop(self, deadline_seconds: float | None = None) -> None:
        """
        Take nothing new, wait for the handlers, let go of what was not begun. Idempotent.

        Args:
            deadline_seconds: ``None`` takes `InboxSettings.drain_seconds`. A handler that runs longer is cancelled;
                its event is taken over after its lease.
        """
        self._stopping = True
        deadline = self._settings.drain_seconds if deadline_seconds is None else deadline_seconds
        await _cancel([self._patrolling])
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline)
        await _cancel([*self._tasks, self._renewing])
        self._patrolling = self._renewing = None
        await self._release_unbegun()
        if self._at_risk:
            log.error("inbox_lost_at_risk", extra={"count": len(self._at_risk)})

    async def _release_unbegun(self) -> None:
        unbegun, self._unbegun = self._unbegun, []
        for claim in unbegun:
            try:
                await self._store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.RELEASE)]))
            except StoreError:
                log.warning("inbox_release_failed")

    def _entry(self, event: Event) -> Entry:
        item = {"channel": event.channel, "page_id": event.page_id, "standby": event.standby, "item": event.raw}
        # What concerns no person needs no order, so each such event has a lane of its own.
        lane = f"{event.page_id}/{event.user_id or event.key}"
        return Entry(
            id=f"inbox/{event.key}",
            queue=Queue.INBOX,
            lane=lane,
            created_at=self._clock.now(),
            body=orjson.dumps(item, default=_plain),
        )

    async def _settle(self, claim: Claim, handling: Handling) -> None:
        done = Settlement(claim=claim, outcome=Outcome.DONE)
        committed = await self._settler.settle(handling.contributions, [done], None if self._stopping else self._lease)
        if committed is not None:
            self._begin_leased(committed)

    def _hold_at_risk(self, admission: asyncio.Task[Committed], fresh: dict[Entry, Event]) -> None:
        if self._refuses() or len(self._at_risk) + len(fresh) > self._settings.at_risk_limit:
            # It may have been written all the same; then the redelivery is known, and the lease lapses.
            admission.cancel()
            msg = f"the store did not take the event within {self._settings.commit_timeout_seconds:g} s"
            raise StoreUnavailable(msg)
        self._settler.note_failure("the store is slow")
        loop = asyncio.get_running_loop()
        for entry, event in fresh.items():
            run = self._at_risk[entry.id] = _Run(entry, claim=loop.create_future())
            before = self._latest.get(entry.lane)
            self._latest[entry.lane] = run
            self._own(self._run_at_risk(run, event, before))
        admission.add_done_callback(self._admitted)

    def _refuses(self) -> bool:
        if self._settings.on_store_failure != "refuse":
            return False
        since = self._settler.failing_since
        return since is None or self._clock.monotonic() - since < self._settings.refuse_seconds

    def _admitted(self, admission: asyncio.Task[Committed]) -> None:
        if admission.cancelled():
            return
        committed = admission.result()
        self._begin_leased(committed)
        for entry_id in committed.repeated:
            run = self._at_risk.get(entry_id)
            if run is not None and run.claim is not None and not run.claim.done():
                run.claim.set_result(None)

    def _begin_leased(self, committed: Committed, events: Mapping[str, Event] | None = None) -> None:
        for claim in committed.leased:
            self._begin(claim, events.get(claim.entry.id) if events else None)

    def _begin(self, claim: Claim, event: Event | None = None) -> None:
        self._held[claim.entry.id] = claim
        run = self._at_risk.get(claim.entry.id)
        if run is not None and run.claim is not None:
            if not run.claim.done():
                run.claim.set_result(claim)
            return
        run = self._latest[claim.entry.lane] = _Run(claim.entry)
        self._own(self._run(run, event))

    async def _run(self, run: _Run, event: Event | None) -> None:
        begun = False
        try:
            async with self._slots:
                begun = True
                claim = self._held[run.entry.id]
                handling = self._handling(claim, event)
                if handling is not None:
                    await self._handle(handling)
            run.handled.set()
            if handling is None:
                await self._bury(claim)
            else:
                await self._settle(self._held.get(run.entry.id, claim), handling)
        finally:
            run.handled.set()
            claim_now = self._held.pop(run.entry.id, None)
            if not begun and claim_now is not None:
                self._unbegun.append(claim_now)
            self._leave_lane(run)

    async def _run_at_risk(self, run: _Run, event: Event, before: _Run | None) -> None:
        try:
            if before is not None:
                await before.handled.wait()
            handling = Handling(event=event, store=self._store)
            async with self._slots:
                await self._handle(handling)
            run.handled.set()
            assert run.claim is not None
            claim = await run.claim
            if claim is not None:
                await self._settle(claim, handling)
            self._at_risk.pop(run.entry.id, None)
        finally:
            run.handled.set()
            self._held.pop(run.entry.id, None)
            self._leave_lane(run)

    def _leave_lane(self, run: _Run) -> None:
        if self._latest.get(run.entry.lane) is run:
            del self._latest[run.entry.lane]

    def _handling(self, claim: Claim, event: Event | None) -> Handling | None:
        if event is None:
            event = _read(claim.entry.body)
            if event is None:
                return None
        if claim.attempt > 1:
            event = attrs.evolve(event, attempt=claim.attempt)
        age = self._clock.now() - claim.entry.created_at
        return Handling(
            event=event, store=self._store, rerun=claim.attempt == 1 or age <= self._settings.rerun_within_seconds
        )

    async def _handle(self, handling: Handling) -> None:
        with handling_of(handling):
            try:
                await self._dispatch(handling)
            except Exception:
                log.exception("inbox_dispatch_failed")

    async def _bury(self, claim: Claim) -> None:
        dead = Settlement(claim=claim, outcome=Outcome.DEAD, reason="corrupt inbox entry")
        committed = await self._settler.persist(Unit(settlements=[dead], lease=self._lease))
        self._begin_leased(committed)

    async def _patrol(self) -> None:
        """
        Take over what nobody holds: events of a dead process, and those whose predecessor another one handled.
        """
        while True:
            free = self._settings.concurrency - len(self._held)
            try:
                claims = [] if free <= 0 else await self._store.claim(Queue.INBOX, free, self._settings.lease_seconds)
            except StoreError:
                claims = []
            for claim in claims:
                self._begin(claim)
            await self._clock.sleep(self._settings.poll_seconds)

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._settings.lease_seconds / 3)
            held = list(self._held.values())
            if not held:
                continue
            try:
                renewed = await self._store.renew(held, self._settings.lease_seconds)
            except StoreError:
                continue
            for claim in renewed:
                if claim.entry.id in self._held:
                    self._held[claim.entry.id] = claim

    def _own(self, coroutine: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _cancel(tasks: Sequence[asyncio.Task[Any] | None]) -> None:
    begun = [task for task in tasks if task is not None]
    for task in begun:
        task.cancel()
    await asyncio.gather(*begun, return_exceptions=True)


def _read(body: bytes) -> Event | None:
    try:
        stored = orjson.loads(body)
        return parse_item(
            stored["item"],
            channel=Channel(stored["channel"]),
            page_id=stored["page_id"],
            standby=stored["standby"],
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def _plain(value: Any) -> Any:
    return dict(value) if hasattr(value, "keys") else str(value)
