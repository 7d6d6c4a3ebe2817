"""
The end of an event's handling: what the middlewares contribute and "handled" become one commit.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from .clock import Clock
from .exceptions import StoreError
from .handling import Contributor
from .store.contract import Committed, Lease, Settlement, Store, Unit, Verdict

log = logging.getLogger(__name__)

PLANS = 20
"""How often a unit is planned anew when a mark was changed in between. Each failure means that somebody else made
progress, so this is reached only when something is broken."""

LONGEST_PAUSE_SECONDS = 2.0


class Settler:
    """
    Writes units, for as long as it takes.

    Attributes:
        failing_since: Monotonic time since which the store has not taken anything; ``None`` while it works.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.failing_since: float | None = None

    async def persist(self, unit: Unit) -> Committed:
        """
        Commit *unit*, again and again until the store takes it.
        """
        pause = 0.05
        while True:
            try:
                committed = await self._store.commit(unit)
            except StoreError as exc:
                self.note_failure(str(exc))
                await self._clock.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                continue
            if self.failing_since is not None:
                self.failing_since = None
                log.warning("store_works_again")
            return committed

    def note_failure(self, reason: str) -> None:
        """
        Remember since when the store fails; one log line an incident.
        """
        if self.failing_since is None:
            self.failing_since = self._clock.monotonic()
            log.error("store_fails", extra={"reason": reason})

    async def settle(
        self,
        contributors: Sequence[Contributor],
        settlements: Sequence[Settlement] = (),
        lease: Lease | None = None,
    ) -> Committed | None:
        """
        Write all that *contributors* give, together with *settlements*.

        Returns:
            The commit, or ``None`` when the event belongs to another process by now; what that one records has the
            same ids.
        """
        for _ in range(PLANS):
            contributions = [await contributor.contribute() for contributor in contributors]
            unit = Unit(
                appends=[entry for contribution in contributions for entry in contribution.appends],
                marks=[mark for contribution in contributions for mark in contribution.marks],
                settlements=settlements,
                lease=lease,
            )
            if not (unit.appends or unit.marks or unit.settlements):
                return None
            committed = await self.persist(unit)
            if committed.verdict is Verdict.COMMITTED:
                for contributor in contributors:
                    contributor.committed(committed)
                return committed
            if committed.verdict is Verdict.LEASE_LOST:
                log.warning("lease_lost")
                return None
        log.error("unit_never_fits", extra={"failed_key": committed.failed_key})
        return None
