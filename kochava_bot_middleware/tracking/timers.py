"""The waits for delivery events that never come: durable, and taken up by whichever process lives when they end."""

from __future__ import annotations

import asyncio

from ..clock import Clock
from ..incidents import Incidents
from ..store.contract import Store
from ..store.records import Claim, Outcome, Queue, Settlement
from .apps import Apps
from .funnel import Elapsed
from .people import Person
from .recording import Recorder
from .timer_entry import Timer

AT_ONCE = 64
LEASE_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 1.0
SHORTEST_PAUSE_SECONDS = 0.05


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
        self._at_most_ahead = 2 * (longest + LEASE_SECONDS)
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch, if any app has a greeting. Idempotent."""
        if self._running is None and any(app.greeting.is_on for app in self._apps):
            self._running = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Watch no more; a wait whose end was being written is taken up again after its lease."""
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
        claims = await self._store.claim(Queue.TIMER, AT_ONCE, LEASE_SECONDS, at_most_ahead_seconds=self._at_most_ahead)
        for claim in claims:
            await self._end(claim)
        return len(claims)

    async def _run(self) -> None:
        while True:
            try:
                await self._clock.sleep(await self._step())
            except Exception as exc:  # noqa: BLE001 - an engine may raise anything; the waits go on when it works again
                self._incidents.report("timers_wait", reason=type(exc).__name__)
                await self._clock.sleep(LONGEST_PAUSE_SECONDS)

    async def _step(self) -> float:
        """End what is due; gives the seconds until it is worth looking again."""
        due_at = await self._store.next_due_at(Queue.TIMER, at_most_ahead_seconds=self._at_most_ahead)
        if due_at is None:
            return LONGEST_PAUSE_SECONDS
        pause = due_at - self._clock.now()
        # More than any wait means that the store's clock, another machine's, is ahead; then it may know of an end now.
        if pause <= 0 or pause > self._at_most_ahead:
            return SHORTEST_PAUSE_SECONDS if await self.end_due() else LONGEST_PAUSE_SECONDS
        return min(max(pause, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)

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
        if 0 < left <= self._at_most_ahead:
            # This clock and the store's, which is another machine's, differ. If both were set back, more is left.
            await self._put_off(claim, left)
            return
        recording = self._recorder.alone()
        person = Person(user_id=timer.name, page_id=timer.page_id, channel=timer.channel, is_hashed=timer.is_hashed)
        recording.signal(person, Elapsed(at=timer.due_at, greeting=timer.greeting))
        await self._recorder.settle(recording, [Settlement(claim=claim, outcome=Outcome.DONE)])

    async def _put_off(self, claim: Claim, seconds: float) -> None:
        retry_at = claim.expires_at - LEASE_SECONDS + seconds
        settlement = Settlement(claim=claim, outcome=Outcome.RETRY, retry_at=retry_at, reason="not over yet")
        await self._recorder.settle(self._recorder.alone(), [settlement])

    async def _settle(self, claim: Claim, outcome: Outcome, reason: str) -> None:
        settlement = Settlement(claim=claim, outcome=outcome, reason=reason)
        await self._recorder.settle(self._recorder.alone(), [settlement])
