"""
The waits for delivery events that never come. They are stored, so any process ends those that are over.

`GreetingTimers` is what a wait that is over does; `Timers` is the loop that claims them.
"""

from __future__ import annotations

import asyncio

from ..store.records import Claim, Outcome, Queue, Settlement
from .funnel import Elapsed
from .recorder import Recorder
from .settings import TrackingContext
from .state import Timer

AT_ONCE = 64
LEASE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 1.0
SHORTEST_PAUSE_SECONDS = 0.05


class GreetingTimers:
    """Ends the waits of one middleware's greetings."""

    def __init__(self, context: TrackingContext, recorder: Recorder) -> None:
        self._context = context
        self._recorder = recorder
        longest = max(app.greeting.delivery_wait_seconds or 0.0 for app in context.apps)
        self.at_most_ahead_seconds = 2 * (longest + LEASE_SECONDS)

    @property
    def is_needed(self) -> bool:
        """Whether any app has a greeting."""
        return any(app.has_greeting for app in self._context.apps)

    async def process(self, claim: Claim) -> None:
        """
        End one wait: its greeting counts as shown, unless a delivery event is expected.

        Raises:
            StoreError: The store cannot keep it.
        """
        recording = self._recorder.new()
        timer = Timer.from_bytes(claim.entry.body)
        settlement = self._settlement(claim, timer)
        if timer is not None and settlement.outcome is Outcome.DONE:
            recording.add_signal(timer.person, Elapsed(at=timer.due_at, greeting=timer.greeting))
        await self._recorder.settle(recording, [settlement])

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
        if 0 < left <= self.at_most_ahead_seconds:
            # This clock and the store's, which is another machine's, differ. If both were set back, more is left.
            retry_at = claim.expires_at - LEASE_SECONDS + left
            return Settlement(claim=claim, outcome=Outcome.RETRY, retry_at=retry_at, reason="not over yet")
        return Settlement(claim=claim, outcome=Outcome.DONE)


class Timers:
    """Claims the waits that are over."""

    def __init__(self, context: TrackingContext, timers: GreetingTimers) -> None:
        self._context = context
        self._timers = timers
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, if any app has a greeting. Idempotent."""
        if self._running is None and self._timers.is_needed:
            self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; a wait whose end was being written is taken up again after its lease."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def end_due(self) -> int:
        """
        End all waits that are due; returns how many.

        Raises:
            StoreError: The store cannot be read or written.
        """
        ahead = self._timers.at_most_ahead_seconds
        claims = await self._context.store.claim(Queue.TIMER, AT_ONCE, LEASE_SECONDS, at_most_ahead_seconds=ahead)
        for claim in claims:
            await self._timers.process(claim)
        return len(claims)

    async def _run(self) -> None:
        while True:
            try:
                await self._context.clock.sleep(await self._step())
            except Exception as exc:  # noqa: BLE001 - an engine may raise anything; it goes on when that works again
                self._context.incidents.report("timers_wait", reason=type(exc).__name__)
                await self._context.clock.sleep(LONGEST_PAUSE_SECONDS)

    async def _step(self) -> float:
        """End what is due; gives the seconds until the next look."""
        ahead = self._timers.at_most_ahead_seconds
        due_at = await self._context.store.next_due_at(Queue.TIMER, at_most_ahead_seconds=ahead)
        if due_at is None:
            return LONGEST_PAUSE_SECONDS
        pause = due_at - self._context.clock.now()
        # More than any wait means that the store's clock, another machine's, is ahead; then it may know of an end now.
        if pause <= 0 or pause > ahead:
            return SHORTEST_PAUSE_SECONDS if await self.end_due() else LONGEST_PAUSE_SECONDS
        return min(max(pause, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
