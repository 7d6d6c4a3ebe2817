"""
What the inbox does with leases: renew those of what is in hand, take over what nobody holds, and let go at the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from ..clock import Clock
from ..exceptions import StoreError
from ..store.contract import Store
from ..store.records import Claim, Outcome, Queue, Settlement, Unit
from .admission import CANCEL_SECONDS, cancel
from .in_flight import InFlight
from .settings import InboxSettings

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
"""How often the store is asked to remove what has expired."""

SPARE = 4.0
"""An event waits no longer than its lease; another process may have one that is so many times as long."""


class Watch:
    """
    Looks after the leases of one process.

    Args:
        take: Begins what was claimed.
    """

    def __init__(
        self,
        *,
        store: Store,
        runs: InFlight,
        settings: InboxSettings,
        clock: Clock,
        take: Callable[[Sequence[Claim]], None],
    ) -> None:
        self._store = store
        self._runs = runs
        self._settings = settings
        self._clock = clock
        self._take = take
        self._patrolling: asyncio.Task[None] | None = None
        self._claiming: asyncio.Task[None] | None = None
        self._others: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._patrolling = asyncio.create_task(self._patrol())
        self._others = [asyncio.create_task(watch()) for watch in (self._renew, self._sweep)]

    def claim_no_more(self) -> asyncio.Task[None] | None:
        """
        Take nothing over any more, but go on renewing.

        Returns:
            The last claim if it is under way: what it brings is still taken.
        """
        if self._patrolling is not None:
            self._patrolling.cancel()
        claiming, self._claiming = self._claiming, None
        return claiming

    def stop(self) -> list[asyncio.Task[None]]:
        """End; returns the tasks that are ending."""
        ending = [*self._others, *([] if self._patrolling is None else [self._patrolling])]
        for task in ending:
            task.cancel()
        self._patrolling, self._others = None, []
        return ending

    async def still_owns(self, claim: Claim) -> bool:
        """Whether work on *claim* may begin. A process that slept for longer than its lease may have lost it."""
        if claim.expires_at > self._clock.now():
            return True
        try:
            renewed = await self._store.renew([claim], self._settings.lease_seconds)
        except StoreError:
            return False
        self._runs.renewed(renewed)
        return bool(renewed)

    async def release_unbegun(self) -> None:
        """Let go of what nobody has begun to handle, so that another process can take it over at once."""
        releases = [
            asyncio.ensure_future(
                self._store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.RELEASE)]))
            )
            for claim in self._runs.unbegun()
        ]
        if releases:
            done, pending = await asyncio.wait(releases, timeout=CANCEL_SECONDS)
            await cancel(pending)
            failed = len(pending) + sum(1 for release in done if release.exception() is not None)
            log.info("inbox_released: %d events, %d not", len(releases) - failed, failed)

    async def _patrol(self) -> None:
        """Take over events of a dead process, and those whose predecessor another process handled."""
        while True:
            # Waited for, not awaited: a shutdown must not lose what is being claimed.
            self._claiming = asyncio.create_task(self._claim())
            await asyncio.wait({self._claiming})
            await self._clock.sleep(self._settings.poll_seconds)

    async def _claim(self) -> None:
        free, lease_seconds = self._settings.concurrency - len(self._runs), self._settings.lease_seconds
        if free <= 0:
            return
        try:
            claims = await self._store.claim(
                Queue.INBOX, free, lease_seconds, at_most_ahead_seconds=SPARE * lease_seconds
            )
        except StoreError:
            return
        self._take(claims)

    async def _renew(self) -> None:
        while True:
            await self._clock.sleep(self._settings.lease_seconds / 3)
            held = self._runs.claims
            if held:
                try:
                    self._runs.renewed(await self._store.renew(held, self._settings.lease_seconds))
                except StoreError:
                    continue

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            try:
                await self._store.sweep()
            except StoreError:
                continue
