"""The waits for delivery events that never come. They are stored, so any process ends those that are over."""

from __future__ import annotations

from ..queues.claims import Claimed, ConsumerOptions
from ..queues.consumer import Consumer
from ..store.records import Claim, Outcome, Queue, Settlement
from .funnel import Elapsed
from .recorder import Recorder
from .settings import TrackingContext
from .state import Timer

CONCURRENCY = 64
LEASE_SECONDS = 30.0
POLL_SECONDS = 1.0


class GreetingTimers:
    """Ends the waits of one middleware's greetings."""

    def __init__(self, context: TrackingContext, recorder: Recorder) -> None:
        self._context = context
        self._recorder = recorder
        longest = max(app.greeting.delivery_wait_seconds or 0.0 for app in context.apps)
        self._longest_wait = 2 * (longest + LEASE_SECONDS)
        self._consumer: Consumer | None = None

    def start(self) -> None:
        """Begin to end waits, if any app has a greeting. Idempotent."""
        if self._consumer is None and any(app.has_greeting for app in self._context.apps):
            context = self._context
            options = ConsumerOptions(
                concurrency=CONCURRENCY,
                most_held=CONCURRENCY,
                lease_seconds=LEASE_SECONDS,
                poll_seconds=POLL_SECONDS,
                longest_wait_seconds=lambda: self._longest_wait,
            )
            self._consumer = Consumer(
                context.store, Queue.TIMER, self.process, options, clock=context.clock, incidents=context.incidents
            )
            self._consumer.start()

    async def stop(self) -> None:
        """End; a wait that was not ended yet is released."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop(0)

    async def process(self, claimed: Claimed) -> Settlement | None:
        """End one wait: its greeting counts as shown, unless a delivery event is expected."""
        timer = Timer.from_bytes(claimed.claim.entry.body)
        settlement = self._settlement(claimed.claim, timer)
        if timer is None or settlement.outcome is not Outcome.DONE:
            return settlement
        recording = self._recorder.new()
        recording.add_signal(timer.person, Elapsed(at=timer.due_at, greeting=timer.greeting))
        await self._recorder.settle(recording, [settlement])
        return None

    def _settlement(self, claim: Claim, timer: Timer | None) -> Settlement:
        if timer is None:
            return Settlement(claim=claim, outcome=Outcome.DEAD, reason="corrupt timer")
        if self._context.apps.of(timer.page_id).app_id != timer.app_id:
            reason = "the Page belongs to another app now"
            return Settlement(claim=claim, outcome=Outcome.DROPPED, reason=reason)
        left = timer.due_at - self._context.clock.now()
        if -left > self._context.settings.delivery.ping_max_age_seconds:
            # An impression so late would be counted on the wrong day.
            return Settlement(claim=claim, outcome=Outcome.DROPPED, reason="too late")
        if 0 < left <= self._longest_wait:
            # This clock and the store's, which is another machine's, differ. If both were set back, more is left.
            return Settlement(claim=claim, outcome=Outcome.RETRY, retry_after_seconds=left, reason="not over yet")
        return Settlement(claim=claim, outcome=Outcome.DONE)
