"""The worker of one queue: it claims ahead a little, and a fixed number of hands carry what is claimed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from ..clock import Clock
from ..incidents import Incidents
from ..store.contract import Store
from ..store.records import Outcome, Settlement
from .attempt import Carries, Settled
from .horizon import Horizon
from .known_ends import KnownEnds
from .leases import Held
from .pace import Pace
from .settings import DeliverySettings
from .settler import Settler
from .store_clock import StoreClock

_LEAST_WAIT_SECONDS = 0.02
"""A due head that cannot be claimed (another worker was quicker) must not make a busy loop."""


_AHEAD = 4
"""How many records are claimed for each hand, so that a claim is rare and no hand waits for one."""


class QueueWorker:
    """
    Keeps one queue moving until it is stopped.

    Args:
        on_settled: See `Settler`.
        on_lost: See `Settler`; told ``None`` when the lease was found lost before anything was sent.
    """

    def __init__(
        self,
        queue: str,
        *,
        store: Store,
        courier: Carries,
        pace: Pace,
        settings: DeliverySettings,
        clock: Clock,
        store_clock: StoreClock,
        horizon: Horizon,
        rng: random.Random,
        incidents: Incidents,
        on_settled: Callable[[Settled], None],
        on_lost: Callable[[Settled | None], None],
    ) -> None:
        self._queue = queue
        self._store = store
        self._courier = courier
        self._pace = pace
        self._settings = settings
        self._clock = clock
        self._store_clock = store_clock
        self._horizon = horizon
        self._rng = rng
        self._incidents = incidents
        self._on_settled = on_settled
        self._on_lost = on_lost
        self._known_ends = KnownEnds()
        self._ready: asyncio.Queue[Held | None] = asyncio.Queue()
        self._stir = asyncio.Event()
        self._stopping = asyncio.Event()
        self._hungry = False
        self._left_next = False
        self._store_failures = 0
        self._settler = Settler(
            queue,
            store=store,
            settings=settings,
            clock=clock,
            incidents=incidents,
            is_busy=self._is_busy,
            wants_next=self._wants_next,
            on_leased=self._take,
            on_settled=self._settled,
            on_lost=on_lost,
        )

    def wake(self) -> None:
        """Something was appended."""
        self._stir.set()

    def stop(self) -> None:
        """Claim no more; `run` ends when what is under way has ended and what was not begun is released."""
        self._stopping.set()
        self._stir.set()

    async def run(self) -> None:
        """Work until stopped."""
        hands = [asyncio.create_task(self._hand()) for _ in range(self._settings.concurrency)]
        settling = asyncio.create_task(self._settler.run())
        try:
            await self._feed()
            for _ in hands:
                self._ready.put_nowait(None)
            await asyncio.gather(*hands)
            await self._settler.put(None)
            await settling
            await self._release_late()
        finally:
            for task in (*hands, settling):
                task.cancel()
            await asyncio.gather(*hands, settling, return_exceptions=True)

    async def _feed(self) -> None:
        while not self._stopping.is_set():
            now = self._clock.monotonic()
            want = self._want(now)
            if want <= 0:
                self._hungry = True
                wait = self._pace.room_at(self._queue, now) - now
                await self._wait(self._stir, min(max(wait, _LEAST_WAIT_SECONDS), self._settings.poll_seconds))
                self._hungry = False
            elif await self._claim(want) < want and not self._stopping.is_set():
                await self._wait(self._stir, await self._idle_seconds())

    def _want(self, now: float) -> int:
        """How many to claim now: a little more than the hands can carry at once."""
        concurrency, backlog = self._settings.concurrency, self._ready.qsize()
        if backlog > concurrency // 2:
            return 0
        most = _AHEAD * concurrency - backlog
        room = self._pace.room(self._queue, now, most=most)
        return most if room >= most else room - backlog

    async def _claim(self, want: int) -> int:
        monotonic_at, wall_at = self._clock.monotonic(), self._clock.now()
        try:
            claims = await self._store.claim(
                self._queue, want, self._settings.lease_seconds, at_most_ahead_seconds=self._horizon.seconds()
            )
        except Exception as exc:  # noqa: BLE001 - an engine may raise anything; the worker goes on when it works again
            await self._store_failed(exc)
            return want
        self._store_failures = 0
        self._take([Held(claim=claim, monotonic_at=monotonic_at, wall_at=wall_at) for claim in claims])
        return len(claims)

    async def _idle_seconds(self) -> float:
        try:
            due_at = await self._store.next_due_at(self._queue, at_most_ahead_seconds=self._horizon.seconds())
        except Exception as exc:  # noqa: BLE001 - as in _claim
            await self._store_failed(exc)
            return _LEAST_WAIT_SECONDS
        self._incidents.over("store_failed", self._queue)
        if due_at is None:
            return self._settings.poll_seconds
        return min(max(due_at - self._store_clock.now(), _LEAST_WAIT_SECONDS), self._settings.poll_seconds)

    async def _store_failed(self, exc: Exception) -> None:
        self._incidents.report("store_failed", self._queue, reason=type(exc).__name__)
        self._store_failures = min(self._store_failures + 1, 8)
        wait = min(0.25 * 2.0**self._store_failures, 30.0)
        await self._wait(self._stopping, wait * self._rng.uniform(0.5, 1.0))

    async def _wait(self, event: asyncio.Event, seconds: float) -> None:
        """Let *seconds* pass, or until *event*."""
        if not event.is_set():
            timer = asyncio.ensure_future(self._clock.sleep(seconds))
            stirred = asyncio.ensure_future(event.wait())
            try:
                await asyncio.wait({timer, stirred}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                stirred.cancel()
                await asyncio.gather(timer, stirred, return_exceptions=True)
        self._stir.clear()

    def _take(self, held: Sequence[Held]) -> None:
        for each in held:
            self._store_clock.note(each.claim, each.monotonic_at)
            self._ready.put_nowait(each)

    def _is_busy(self) -> bool:
        return not self._ready.empty() and not self._stopping.is_set()

    def _wants_next(self) -> bool:
        going_on = not self._stopping.is_set()
        self._left_next = not (going_on and self._pace.room(self._queue, self._clock.monotonic(), most=1) > 0)
        return not self._left_next

    async def _hand(self) -> None:
        while (held := await self._ready.get()) is not None:
            if self._hungry and self._ready.qsize() <= self._settings.concurrency // 2:
                self._stir.set()
            if self._stopping.is_set():
                await self._settler.put(_released(held))
                continue
            settled = self._known_ends.of(held) or await self._courier.carry(held)
            if settled is None:
                self._on_lost(None)
            else:
                self._known_ends.note(settled)
                await self._settler.put(settled)

    def _settled(self, settled: Settled) -> None:
        self._known_ends.committed(settled)
        self._on_settled(settled)
        # What was not leased with the commit is claimed by the feeder, which must hear of it.
        if self._left_next and settled.settlement.outcome is not Outcome.RETRY:
            self._stir.set()

    async def _release_late(self) -> None:
        """Give back what a last commit leased after the hands had ended."""
        late = list(iter(self._next_ready, None))
        if late:
            finishing = asyncio.create_task(self._settler.run())
            for held in late:
                await self._settler.put(_released(held))
            await self._settler.put(None)
            await finishing

    def _next_ready(self) -> Held | None:
        return None if self._ready.empty() else self._ready.get_nowait()


def _released(held: Held) -> Settled:
    return Settled(settlement=Settlement(claim=held.claim, outcome=Outcome.RELEASE))
