"""Ends of claims, committed together: while one commit is under way, the next ones gather."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ..clock import Clock
from ..incidents import Incidents
from ..store.contract import Store
from ..store.records import Claim, CommitVerdict, Lease, Outcome, Unit
from .attempt import Settled
from .leases import Held
from .settings import DeliverySettings

_LINGER_SECONDS = 0.002
"""While other records are being sent anyway, a commit waits so long for their ends, which makes each one cheaper."""

_ENDS = (Outcome.DONE, Outcome.DEAD, Outcome.DROPPED)


class Settler:
    """
    Of one queue.

    Args:
        is_busy: Whether more ends are about to come.
        wants_next: Whether the lanes' next records shall be leased by the very commit that ends their predecessors.
        on_leased: Takes those.
        on_settled: Told of each end once it is committed.
        on_lost: Told of each end that came too late: the claim is somebody else's by now.
    """

    def __init__(
        self,
        queue: str,
        *,
        store: Store,
        settings: DeliverySettings,
        clock: Clock,
        incidents: Incidents,
        is_busy: Callable[[], bool],
        wants_next: Callable[[], bool],
        on_leased: Callable[[Sequence[Held]], None],
        on_settled: Callable[[Settled], None],
        on_lost: Callable[[Settled], None],
    ) -> None:
        self._queue = queue
        self._store = store
        self._lease = Lease(queue=queue, seconds=settings.lease_seconds)
        self._clock = clock
        self._incidents = incidents
        self._is_busy = is_busy
        self._wants_next = wants_next
        self._on_leased = on_leased
        self._on_settled = on_settled
        self._on_lost = on_lost
        self._most = settings.concurrency * 4
        self._waiting: asyncio.Queue[Settled | None] = asyncio.Queue(maxsize=self._most)

    async def put(self, settled: Settled | None) -> None:
        """Hand over one end; waits while too many are not committed yet. ``None`` lets `run` end."""
        await self._waiting.put(settled)

    async def run(self) -> None:
        """Commit until ``None`` comes. A store that fails is tried again until it works."""
        going_on = True
        while going_on:
            first = await self._waiting.get()
            if first is not None and self._is_busy() and self._waiting.qsize() < self._most // 4:
                await self._clock.sleep(_LINGER_SECONDS)
            batch: list[Settled] = []
            settled = first
            while settled is not None:
                batch.append(settled)
                if len(batch) >= self._most or self._waiting.empty():
                    break
                settled = self._waiting.get_nowait()
            going_on = settled is not None
            if batch:
                await self._commit(batch)

    async def _commit(self, batch: Sequence[Settled]) -> None:
        lease = self._lease if self._wants_next() and any(_ended(each) for each in batch) else None
        unit = Unit(settlements=[each.settlement for each in batch], lease=lease)
        failures = 0
        while True:
            monotonic_at, wall_at = self._clock.monotonic(), self._clock.now()
            try:
                committed = await self._store.commit(unit)
                break
            except Exception as exc:  # noqa: BLE001 - an engine may raise anything, and the ends must not be lost
                self._incidents.report("store_failed", self._queue, reason=type(exc).__name__)
                await self._clock.sleep(min(0.25 * 2.0**failures, 5.0))
                failures = min(failures + 1, 10)
        self._incidents.over("store_failed", self._queue)
        if committed.verdict is not CommitVerdict.COMMITTED:
            await self._apart(batch)
            return
        self._on_leased([_held(claim, monotonic_at, wall_at) for claim in committed.leased])
        for each in batch:
            self._on_settled(each)

    async def _apart(self, batch: Sequence[Settled]) -> None:
        """One lost lease refuses the whole unit, so each end is committed by itself."""
        if len(batch) > 1:
            for each in batch:
                await self._commit([each])
            return
        self._incidents.report("lease_lost", self._queue)
        self._on_lost(batch[0])


def _ended(settled: Settled) -> bool:
    return settled.settlement.outcome in _ENDS


def _held(claim: Claim, monotonic_at: float, wall_at: float) -> Held:
    return Held(claim=claim, monotonic_at=monotonic_at, wall_at=wall_at)
