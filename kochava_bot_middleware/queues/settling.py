"""
The end of an event's handling: what the middlewares contribute and "handled" become one commit.

Nothing that a contributor does can keep an event from being settled: an event that is not settled is handled again,
and the person gets every answer twice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import attrs

from ..clock import Clock
from ..exceptions import StoreError
from ..handling import Contributor, trail_of
from ..store.contract import Store
from ..store.records import Committed, CommitVerdict, Lease, Settlement, Unit
from .commit_retry import LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS, TEMPORARY, CommitRetry

log = logging.getLogger(__name__)

PLANS = 20
"""How often a unit is planned anew when a state entry was changed in between. Each failure means that another commit
succeeded, so this is reached only when something is broken."""


class HandlingCommitter:
    """
    Writes what contributors give.

    Args:
        commits: Shared with others that commit to the same store; by default one of its own.
    """

    def __init__(self, store: Store, clock: Clock, commits: CommitRetry | None = None) -> None:
        self._clock = clock
        self._commits = commits or CommitRetry(store, clock)

    async def settle(
        self,
        contributors: Sequence[Contributor],
        settlements: Sequence[Settlement] = (),
        lease: Lease | None = None,
    ) -> Committed | None:
        """
        Write all that *contributors* give, together with *settlements*.

        A contributor that raises is left out. One whose conditions never hold keeps its records but not its state
        changes.

        Returns:
            The commit, or ``None`` when there was nothing to write, or the event belongs to another process by now;
            what that one records has the same ids.

        Raises:
            StoreError: The store cannot keep even the bare settlements.
        """
        willing = list(contributors)
        plans = 0
        while True:
            plans += 1
            contributions = await self._ask(willing)
            if plans > PLANS:
                contributions = [attrs.evolve(contribution, marks=()) for contribution in contributions]
            unit = Unit(
                appends=[entry for contribution in contributions for entry in contribution.appends],
                marks=[mark for contribution in contributions for mark in contribution.marks],
                settlements=settlements,
                lease=lease,
            )
            if not (unit.appends or unit.marks or unit.settlements):
                return None
            try:
                committed = await self._commits.commit(unit)
            except StoreError as exc:
                if not willing:
                    raise
                log.error("contributions_refused: %s", trail_of(exc))
                willing.clear()
                continue
            if committed.verdict is CommitVerdict.COMMITTED:
                _report(willing, committed)
                return committed
            if committed.verdict is CommitVerdict.LEASE_LOST:
                log.warning("lease_lost")
                return None
            if plans == PLANS:
                # Only the owner of the state entry: the rest of the key names a person.
                log.error("marks_never_fit: %s", (committed.failed_key or "").partition(":")[0])

    async def _ask(self, willing: list[Contributor]) -> list[Unit]:
        """What each contributes. One that raises is removed; while the store cannot be read, it is asked again."""
        contributions = []
        for contributor in tuple(willing):
            try:
                contributions.append(await self._contribution(contributor))
            except Exception as exc:  # noqa: BLE001 - a middleware may raise anything
                log.error("contribution_failed: %s", trail_of(exc))
                willing.remove(contributor)
        return contributions

    async def _contribution(self, contributor: Contributor) -> Unit:
        pause = SHORTEST_PAUSE_SECONDS
        while True:
            try:
                return await contributor.contribute()
            except TEMPORARY as exc:
                self._commits.note_failure(str(exc))
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def _report(contributors: Sequence[Contributor], committed: Committed) -> None:
    for contributor in contributors:
        try:
            contributor.committed(committed)
        except Exception as exc:  # noqa: BLE001 - it is written: the lane must go on
            log.error("contributor_failed_after_commit: %s", trail_of(exc))
