"""The worker: the one thing that empties the outbox, in the bot's process or alone."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

import attrs

from ..clock import Clock, SystemClock
from ..incidents import Incidents
from ..kochava.client import RequestSender
from ..kochava.destination import Destinations
from ..store.contract import AnnouncesAppends, Store
from ..store.records import Outcome, Queue
from .attempt import DeliveryAttempt, Gate, Settled
from .circuit import Target
from .horizon import Horizon
from .pace import Pace
from .queue_worker import QueueWorker
from .settings import DeliverySettings
from .store_clock import StoreClock

logger = logging.getLogger(__package__)

QUEUES = (Queue.TRACK, Queue.PING)

SWEEP_SECONDS = 60.0
"""How often expired marks and ids are removed from the store."""


@attrs.define(kw_only=True)
class DeliveryCounts:
    """
    What this worker has done since it was made.

    Attributes:
        delivered: Taken by Kochava.
        retried: Tried, and to be tried again.
        postponed: Claimed, but nothing was sent: the destination is down, unknown or paced.
        dead: Given up.
        dropped: Not sent on purpose.
        ambiguous: Requests of which it is not known whether they arrived: suspected duplicates.
        lost: Claims that another worker had taken over by the time they ended.
    """

    delivered: int = 0
    retried: int = 0
    postponed: int = 0
    dead: int = 0
    dropped: int = 0
    ambiguous: int = 0
    lost: int = 0


class Worker:
    """
    Claims, sends and settles until it is stopped; neither Kochava's nor the store's failures end it.

    Args:
        store: Where the records wait.
        sender: What sends a request.
        destinations: The apps this worker has settings for. Records of others are left for another worker.
        settings: See `DeliverySettings`.
        clock: Time.
        rng: Jitter.
        on_settled: Told of every end, after its commit; must be quick. What it raises is logged and ignored.
        gate: See `courier.Gate`.
    """

    def __init__(
        self,
        store: Store,
        sender: RequestSender,
        destinations: Destinations,
        settings: DeliverySettings | None = None,
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        on_settled: Callable[[Settled], None] | None = None,
        gate: Gate | None = None,
    ) -> None:
        settings = settings or DeliverySettings()
        clock = clock or SystemClock()
        rng = rng or random.Random()  # noqa: S311 - jitter
        self._store = store
        self._clock = clock
        self._incidents = Incidents(clock, logger)
        self._told = on_settled
        self._pace = Pace(settings, known=_targets(destinations), rng=rng)
        self.counts = DeliveryCounts()
        store_clock = StoreClock(clock, settings.lease_seconds)
        horizon = Horizon(settings, clock)
        courier = DeliveryAttempt(
            store=store,
            sender=sender,
            destinations=destinations,
            pace=self._pace,
            settings=settings,
            clock=clock,
            store_clock=store_clock,
            horizon=horizon,
            rng=rng,
            incidents=self._incidents,
            gate=gate,
        )
        self._queues = [
            QueueWorker(
                queue,
                store=store,
                courier=courier,
                pace=self._pace,
                settings=settings,
                clock=clock,
                store_clock=store_clock,
                horizon=horizon,
                rng=rng,
                incidents=self._incidents,
                on_settled=self._on_settled,
                on_lost=self._on_lost,
            )
            for queue in QUEUES
        ]
        self._stopped = False
        self._running: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Work until `stop`. Returns at once if that was called before."""
        if self._stopped:
            return
        if isinstance(self._store, AnnouncesAppends):
            self._store.on_append(self.wake)
        self._running = asyncio.create_task(self._run())
        try:
            await asyncio.shield(self._running)
        except asyncio.CancelledError:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            if not self._stopped:
                raise

    def wake(self) -> None:
        """Something was appended: look now rather than at the next poll. Cheap; call it in the worker's own loop."""
        for queue in self._queues:
            queue.wake()

    async def stop(self, deadline_seconds: float = 10.0) -> None:
        """
        Claim no more, let what is under way end, give back the rest. Idempotent, also before `run`.

        Args:
            deadline_seconds: What has not ended by then is cancelled; its lease lapses and it is sent again.
        """
        self._stopped = True
        for queue in self._queues:
            queue.stop()
        running = self._running
        if running is None or running.done():
            return
        timer = asyncio.ensure_future(self._clock.sleep(deadline_seconds))
        await asyncio.wait({running, timer}, return_when=asyncio.FIRST_COMPLETED)
        timer.cancel()
        if not running.done():
            logger.warning("delivery_stopped_late after %g s", deadline_seconds)
            running.cancel()
        await asyncio.gather(running, timer, return_exceptions=True)

    def destinations(self) -> list[tuple[Target, bool]]:
        """Each destination, and whether it is left alone."""
        return [(target, circuit.is_down) for target, circuit in self._pace.circuits().items()]

    async def _run(self) -> None:
        sweeping = asyncio.create_task(self._sweep())
        try:
            async with asyncio.TaskGroup() as group:
                for queue in self._queues:
                    group.create_task(queue.run())
        finally:
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    async def _sweep(self) -> None:
        """Now and then, let the store forget what it need not remember any more."""
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            try:
                await self._store.sweep()
            except Exception as exc:  # noqa: BLE001 - an engine may raise anything; it is tried again in a minute
                self._incidents.report("store_failed", "sweep", reason=type(exc).__name__)

    def _on_settled(self, settled: Settled) -> None:
        counts = self.counts
        if settled.verdict is not None and settled.verdict.ambiguous:
            counts.ambiguous += 1
        match settled.settlement.outcome:
            case Outcome.DONE:
                counts.delivered += 1
            case Outcome.RETRY if settled.verdict is not None:
                counts.retried += 1
            case Outcome.RETRY:
                counts.postponed += 1
            case Outcome.DEAD:
                counts.dead += 1
                self._incidents.report("record_given_up", _subject(settled), reason=_reason(settled))
            case Outcome.DROPPED:
                counts.dropped += 1
        if self._told is not None:
            try:
                self._told(settled)
            except Exception as exc:  # noqa: BLE001 - a listener never stops delivery
                self._incidents.report("listener_failed", type(exc).__name__)

    def _on_lost(self, settled: Settled | None) -> None:
        self.counts.lost += 1
        if settled is not None and settled.verdict is not None and settled.verdict.ambiguous:
            self.counts.ambiguous += 1


def _subject(settled: Settled) -> str:
    queue = settled.settlement.claim.entry.queue
    return queue if settled.record is None else f"{settled.record.app_id} {queue}"


def _reason(settled: Settled) -> str:
    """Why it was given up, with the status of Kochava's answer if there was one."""
    status = "" if settled.verdict is None else settled.verdict.detail[:3]
    return f"{settled.settlement.reason} {status}".rstrip()


def _targets(destinations: Destinations) -> set[Target]:
    return {
        Target(host=host, app_id=destination.app_id, queue=queue)
        for destination in destinations
        for queue in QUEUES
        for host in destination.hosts(queue)
    }
