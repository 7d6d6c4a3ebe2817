"""How the settlements of a consumer are written: again and again until the store works."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import attrs

from ..clock import Clock
from ..exceptions import NotStorable, StoreUnusable
from ..incidents import Incidents
from ..store.contract import Store
from ..store.records import Committed, Lease, Settlement, Unit
from .claims import Claimed, ConsumerOptions, Instant, Leases
from .dead_letters import bare

LONGEST_PAUSE_BETWEEN_WRITES_SECONDS = 5.0


class StoreWatch:
    """What one queue sees of the store: reports when it begins to fail, and when it works again."""

    def __init__(self, queue: str, incidents: Incidents) -> None:
        self._queue = queue
        self._incidents = incidents
        self._is_failing = False

    def failed(self, error: Exception) -> None:
        """The store raised it."""
        self._is_failing = True
        if isinstance(error, StoreUnusable):
            self._incidents.report("store_unusable", self._queue, reason=str(error), level=logging.ERROR)
        else:
            self._incidents.report("store_failed", self._queue, reason=type(error).__name__)

    def works(self) -> None:
        """The store did what it was asked to."""
        if self._is_failing:
            self._is_failing = False
            self._incidents.over("store_unusable", self._queue)
            self._incidents.over("store_failed", self._queue)


class SettlementWriter:
    """Commits settlements of one queue together."""

    def __init__(
        self, store: Store, leases: Leases, options: ConsumerOptions, *, clock: Clock, watch: StoreWatch
    ) -> None:
        self._store = store
        self._leases = leases
        self._options = options
        self._clock = clock
        self._watch = watch

    async def write(
        self, group: Sequence[tuple[Claimed, Settlement]], lease: Lease | None
    ) -> tuple[list[Settlement], Committed, Instant]:
        """
        Commit a group, again and again until the store works; returns it with the claims as they were then.

        Raises:
            NotStorable: One of the group has something in it that the store can never keep.
        """
        failures = 0
        while True:
            settlements = [
                settlement if settlement.claim is claimed.claim else attrs.evolve(settlement, claim=claimed.claim)
                for claimed, settlement in group
            ]
            marks = [mark for settlement in settlements for mark in self._options.marks(settlement)]
            asked_at = self._leases.now()
            try:
                committed = await self._store.commit(Unit(settlements=settlements, marks=marks, lease=lease))
            except Exception as exc:
                if isinstance(exc, NotStorable) and any(each != bare(each) for each in settlements):
                    raise
                self._watch.failed(exc)
                await self._clock.sleep(min(0.25 * 2.0**failures, LONGEST_PAUSE_BETWEEN_WRITES_SECONDS))
                failures = min(failures + 1, 8)
            else:
                self._watch.works()
                return settlements, committed, asked_at
