"""The waits for delivery events that never come: durable, and taken up by whichever process lives when they end."""

from __future__ import annotations

from ..clock import Clock
from ..incidents import Incidents
from ..queues.consumer import Consumer
from ..queues.leases import Claimed
from ..queues.options import ConsumerOptions
from ..store.contract import Store
from ..store.records import Claim, Outcome, Queue, Settlement
from .apps import Apps
from .funnel import Elapsed
from .people import Person
from .recording import Recorder
from .timer_entry import Timer

AT_ONCE = 64
LEASE_SECONDS = 30.0
POLL_SECONDS = 1.0


class Timers:
    """
    Ends the waits of one middleware's apps.

    Args:
        worthless_after_seconds: A wait that ends so much too late gives no impression any more.
    """

    def __init__(
        self,
        *,
        store: Store,
        recorder: Recorder,
        apps: Apps,
        clock: Clock,
        incidents: Incidents,
        worthless_after_seconds: float,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._apps = apps
        self._clock = clock
        self._incidents = incidents
        self._worthless_after = worthless_after_seconds
        longest = max(app.greeting.delivery_wait_seconds or 0.0 for app in apps)
        self._longest_wait = 2 * (longest + LEASE_SECONDS)
        self._consumer: Consumer | None = None

    def start(self) -> None:
        """Begin to end waits, if any app has a greeting. Idempotent."""
        if self._consumer is None and any(app.greeting.is_on for app in self._apps):
            options = ConsumerOptions(
                concurrency=AT_ONCE,
                most_held=AT_ONCE,
                lease_seconds=LEASE_SECONDS,
                poll_seconds=POLL_SECONDS,
                longest_wait_seconds=lambda: self._longest_wait,
            )
            self._consumer = Consumer(
                self._store, Queue.TIMER, self._process, options, clock=self._clock, incidents=self._incidents
            )
            self._consumer.start()

    async def stop(self) -> None:
        """End; a wait whose end was being written is taken up again after its lease."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop(0)

    async def end_due(self) -> int:
        """
        End all waits that are due; returns how many.

        Raises:
            StoreError: The store cannot be read or written.
        """
        claims = await self._store.claim(Queue.TIMER, AT_ONCE, LEASE_SECONDS)
        for claim in claims:
            await self._end(claim)
        return len(claims)

    async def _process(self, claimed: Claimed) -> None:
        await self._end(claimed.claim)

    async def _end(self, claim: Claim) -> None:
        timer = Timer.from_bytes(claim.entry.body)
        if timer is None:
            await self._settle(claim, Outcome.DEAD, "corrupt timer")
            return
        app = self._apps.of(timer.page_id)
        if app.app_id != timer.app_id:
            await self._settle(claim, Outcome.DROPPED, "the Page belongs to another app now")
            return
        if self._clock.now() - timer.due_at > self._worthless_after:
            await self._settle(claim, Outcome.DROPPED, "too late")
            return
        left = timer.due_at - self._clock.now()
        if 0 < left <= self._longest_wait:
            # This clock and the store's, which is another machine's, differ. If both were set back, more is left.
            await self._put_off(claim, left)
            return
        recording = self._recorder.alone()
        person = Person(user_id=timer.name, page_id=timer.page_id, channel=timer.channel, is_hashed=timer.is_hashed)
        recording.signal(person, Elapsed(at=timer.due_at, greeting=timer.greeting))
        await self._recorder.settle(recording, [Settlement(claim=claim, outcome=Outcome.DONE)])

    async def _put_off(self, claim: Claim, seconds: float) -> None:
        settlement = Settlement(claim=claim, outcome=Outcome.RETRY, retry_after_seconds=seconds, reason="not over yet")
        await self._recorder.settle(self._recorder.alone(), [settlement])

    async def _settle(self, claim: Claim, outcome: Outcome, reason: str) -> None:
        settlement = Settlement(claim=claim, outcome=outcome, reason=reason)
        await self._recorder.settle(self._recorder.alone(), [settlement])
