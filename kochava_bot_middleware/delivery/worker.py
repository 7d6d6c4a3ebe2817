"""The worker: the one thing that empties the outbox, in the bot's process or alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import attrs

from ..kochava.client import KochavaClient
from ..store.contract import AnnouncesAppends, Store
from ..store.records import OUTBOX, CommitVerdict, Outcome, Queue, Settlement
from .attempt import Deliverer, Settled
from .circuit import Target
from .queue_worker import QueueWorker


@attrs.define(kw_only=True)
class DeliveryCounts:
    """
    What this worker has done since it was made.

    Attributes:
        delivered: Taken by Kochava.
        retried: Tried, and to be tried again.
        postponed: Claimed, but nothing was sent: the destination is down, unknown, paced or full, or another record
            comes first.
        dead: Given up.
        dropped: Not sent on purpose.
        ambiguous: Requests of which it is not known whether they arrived: suspected duplicates.
        lost: Claims that another worker had taken over by the time they ended, or that were left to lapse.
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
        deliverer: Makes the delivery attempts.
        has_installs: Whether there may be installs, which come before the person's events.
        on_settled: Called with each settlement after its commit; must be quick. What it raises is logged and ignored.
    """

    def __init__(
        self,
        store: Store,
        deliverer: Deliverer,
        *,
        has_installs: bool = False,
        on_settled: Callable[[Settled], None] | None = None,
    ) -> None:
        self._store = store
        self._deliverer = deliverer
        self._on_settled = on_settled
        self.counts = DeliveryCounts()
        self._consumers = {
            queue: QueueWorker(
                store, queue, deliverer, has_installs=has_installs, on_ended=self._ended, on_lost=self._lost
            ).consumer
            for queue in OUTBOX
        }
        self._is_stopped = False
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop`. Returns at once if that was called before."""
        if self._is_stopped:
            return
        if isinstance(self._store, AnnouncesAppends):
            self._store.on_append(self.wake)
        for consumer in self._consumers.values():
            consumer.start()
        try:
            await self._stopped.wait()
        except asyncio.CancelledError:
            is_stopping = self._is_stopped
            await self.stop(0)
            if not is_stopping:
                raise

    def wake(self, queues: Iterable[str] = OUTBOX) -> None:
        """
        Something was appended to these queues: look now rather than at the next poll. Cheap; call it in the worker's
        own loop.
        """
        for queue in queues:
            self._consumers[Queue(queue)].wake()

    async def stop(self, deadline_seconds: float = 10.0) -> None:
        """
        Claim no more, let what is under way end, give back the rest. Idempotent, also before `run`.

        Args:
            deadline_seconds: What has not ended by then is cancelled; its lease lapses and it is sent again.
        """
        self._is_stopped = True
        for places in self._deliverer.places.values():
            places.close()
        await asyncio.gather(*(consumer.stop(deadline_seconds) for consumer in self._consumers.values()))
        self._stopped.set()

    def destinations(self) -> list[tuple[Target, bool]]:
        """Each destination, and whether it is left alone."""
        return [(target, circuit.is_down) for target, circuit in self._deliverer.circuits.all().items()]

    def _lost(self) -> None:
        self.counts.lost += 1

    def _ended(self, settlement: Settlement, verdict: CommitVerdict) -> None:
        """Count a settlement, and pass it on if it was committed."""
        assert isinstance(settlement, Settled)
        counts = self.counts
        if settlement.verdict is not None and settlement.verdict.ambiguous:
            counts.ambiguous += 1
        if verdict is not CommitVerdict.COMMITTED:
            counts.lost += 1
            return
        match settlement.outcome:
            case Outcome.DONE:
                counts.delivered += 1
            case Outcome.RETRY if settlement.verdict is not None:
                counts.retried += 1
            case Outcome.RETRY | Outcome.RELEASE:
                counts.postponed += 1
            case Outcome.DEAD:
                counts.dead += 1
                self._deliverer.incidents.report("record_given_up", _subject(settlement), reason=_reason(settlement))
            case Outcome.DROPPED:
                counts.dropped += 1
        if self._on_settled is not None:
            try:
                self._on_settled(settlement)
            except Exception as exc:  # noqa: BLE001 - a listener never stops delivery
                self._deliverer.incidents.report("listener_failed", type(exc).__name__)


class BackgroundWorker:
    """
    A worker that runs as a task of this process, from now until it is stopped.

    Args:
        client: The worker's; closed when it stops.
    """

    def __init__(self, worker: Worker, client: KochavaClient) -> None:
        self._worker = worker
        self._client = client
        self._running = asyncio.create_task(worker.run())

    def wake(self, queues: Iterable[str]) -> None:
        """Let the worker look for new records at once."""
        self._worker.wake(queues)

    async def stop(self, deadline_seconds: float) -> None:
        """Finish the requests under way, for no longer than allowed."""
        await self._worker.stop(deadline_seconds)
        await self._running
        await self._client.close()


def _subject(settled: Settled) -> str:
    queue = settled.claim.entry.queue
    return queue if settled.record is None else f"{settled.record.app_id} {queue}"


def _reason(settled: Settled) -> str:
    """Why it was given up, with the status of Kochava's answer if there was one."""
    status = "" if settled.verdict is None else settled.verdict.detail[:3]
    return f"{settled.reason} {status}".rstrip()
