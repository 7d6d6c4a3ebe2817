"""The part of a worker that empties one queue."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable

from ..queues.claims import Claimed, ConsumerOptions
from ..queues.consumer import Consumer
from ..store.contract import Store
from ..store.records import CommitVerdict, Queue, Settlement
from .attempt import Deliverer, Prepared, Settled
from .safeguards import Safeguards

AHEAD = 6
"""How many records are held for each request that may be under way: some wait for it, some for their commit."""


class QueueWorker:
    """
    Works on one queue. A record waits for its place without a task, and the task that is done with one goes on with the
    next: a task for each record costs 6 of the worker's 46 µs.

    Args:
        has_installs: Whether there may be installs, which come before the person's events.
        on_ended: See `ConsumerOptions`.
        on_lost: Called when a claim turned out to be lost before anything was sent, or is left to lapse.

    Attributes:
        consumer: What claims and settles the records.
    """

    def __init__(
        self,
        store: Store,
        queue: Queue,
        deliverer: Deliverer,
        *,
        has_installs: bool,
        on_ended: Callable[[Settlement, CommitVerdict], None],
        on_lost: Callable[[], None],
    ) -> None:
        settings = deliverer.settings
        self._deliverer = deliverer
        self._places = deliverer.places[queue]
        self._on_lost = on_lost
        self._placed: deque[Prepared] = deque()
        self._is_one_free = False
        self.consumer = Consumer(
            store,
            queue,
            self._attempt,
            ConsumerOptions(
                concurrency=settings.concurrency,
                most_held=AHEAD * settings.concurrency,
                lease_seconds=settings.lease,
                work_seconds=settings.request_timeout_seconds,
                is_isolated=True,
                takes_up=self._takes_up,
                poll_seconds=settings.poll_seconds,
                longest_wait_seconds=deliverer.longest_wait_seconds,
                room=lambda most: deliverer.circuits.room(queue, deliverer.clock.monotonic(), most),
                marks=deliverer.marks_of,
                on_ended=on_ended,
            ),
            clock=deliverer.clock,
            incidents=deliverer.incidents,
        )
        self._safeguards = Safeguards(
            store, has_installs=has_installs, is_owned=self.consumer.is_owned, begin=self.consumer.begin
        )

    def _takes_up(self, claimed: Claimed) -> bool:
        """Work on a claim, unless the store must be asked something first."""
        prepared = self._deliverer.prepare(claimed, self._safeguards)
        if prepared is None:
            return False
        if isinstance(prepared, Settled):
            self.consumer.end(claimed, prepared)
        else:
            self._places.enter(prepared.route.share, functools.partial(self._answered, prepared))
        return True

    async def _attempt(self, claimed: Claimed) -> Settled | None:
        """Work on another one, in a task of its own."""
        settled = await self._deliverer.attempt(claimed, self._safeguards)
        self._count(settled)
        return settled

    def _answered(self, prepared: Prepared, seconds: float | None) -> bool:
        """There is a place for it, or it is sent away for so long."""
        if seconds is None:
            self._placed.append(prepared)
            if self._is_one_free:
                self._is_one_free = False
            else:
                self.consumer.create_task(self._send_placed())
        elif not self._places.is_closed:
            claimed = prepared.claimed
            self.consumer.end(claimed, self._deliverer.released(claimed.claim, prepared.record, seconds))
        return True

    async def _send_placed(self) -> None:
        while self._placed:
            prepared = self._placed.popleft()
            settled = None
            try:
                settled = await self._deliverer.send(prepared, self._safeguards)
                self._count(settled)
            finally:
                self.consumer.end(prepared.claimed, settled)
                # The first that gets a place by this is sent by this task.
                self._is_one_free = True
                self._places.give_back(prepared.route.share)
                self._is_one_free = False

    def _count(self, settled: Settled | None) -> None:
        if settled is None and not self._places.is_closed:
            self._on_lost()
