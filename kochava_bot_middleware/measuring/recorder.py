"""
Makes recordings, finds the current one, and writes those that no host writes.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence

from ..clock import Clock
from ..incidents import Incidents
from ..receiving.handling import Handling, current_handling
from ..receiving.settling import Settler
from ..store.unit import Settlement
from .apps import Apps
from .counts import LeftOut, Tally
from .planning import Planner
from .recording import Recording

log = logging.getLogger(__name__)


class Recorder:
    """
    The recordings of one middleware.

    Args:
        commit_timeout_seconds: How long a commit is waited for; it goes on in the background, at risk.
        at_risk_limit: How many commits are held in memory at most while the store does not work.
        on_committed: Called with the number of new records of each commit.
    """

    def __init__(
        self,
        *,
        apps: Apps,
        planner: Planner,
        settler: Settler,
        clock: Clock,
        incidents: Incidents,
        tally: Tally,
        commit_timeout_seconds: float,
        at_risk_limit: int,
        on_committed: Callable[[int], None],
    ) -> None:
        self._apps = apps
        self._planner = planner
        self._settler = settler
        self._clock = clock
        self._incidents = incidents
        self._tally = tally
        self._commit_timeout = commit_timeout_seconds
        self._at_risk_limit = at_risk_limit
        self._on_committed = on_committed
        self._commits: set[asyncio.Task[None]] = set()

    @property
    def at_risk(self) -> int:
        """
        Commits that are only in memory.
        """
        return len(self._commits)

    def of(self, handling: Handling) -> Recording:
        """
        The recording of *handling*; made when it is asked for first.
        """
        recording: Recording | None = handling.kept.get(self)
        if recording is None:
            recording = handling.kept[self] = self._new(handling)
            recording.observe(handling.event)
        return recording

    def current(self) -> Recording | None:
        """
        The recording of the event being handled; ``None`` outside of handling, and when it is written already.
        """
        handling = current_handling()
        recording: Recording | None = None if handling is None else handling.kept.get(self)
        return recording if recording is not None and recording.is_open else None

    def alone(self) -> Recording:
        """
        A recording that belongs to no event.
        """
        return self._new(None)

    async def commit(self, recording: Recording) -> None:
        """
        Make a recording durable, waiting no longer than allowed; it goes on in the background if need be.
        """
        if len(self._commits) >= self._at_risk_limit:
            self._tally.left_out[LeftOut.AT_RISK_LIMIT] += 1
            self._incidents.report("tracking_lost", reason="the store does not work, and memory is full")
            return
        task = asyncio.create_task(self.settle(recording))
        self._commits.add(task)
        task.add_done_callback(self._committed)
        await asyncio.wait({task}, timeout=self._commit_timeout)

    async def settle(self, recording: Recording, settlements: Sequence[Settlement] = ()) -> None:
        """
        Write a recording together with *settlements*, for as long as it takes.
        """
        await self._settler.settle([recording], settlements)
        recording.finish()

    async def drain(self, deadline_seconds: float) -> None:
        """
        Wait for what is at risk; what is not written by then is lost.
        """
        if self._commits:
            _, lost = await asyncio.wait(self._commits, timeout=deadline_seconds)
            for task in lost:
                task.cancel()
            if lost:
                log.error("tracking_lost_at_risk: %d", len(lost))
            await asyncio.gather(*lost, return_exceptions=True)

    def _new(self, handling: Handling | None) -> Recording:
        return Recording(
            apps=self._apps,
            planner=self._planner,
            now=self._clock.now,
            new_id=_random_id,
            incidents=self._incidents,
            tally=self._tally,
            handling=handling,
            on_committed=self._on_committed,
        )

    def _committed(self, task: asyncio.Task[None]) -> None:
        self._commits.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._incidents.report("tracking_failed", reason=type(task.exception()).__name__)


def _random_id() -> str:
    return uuid.uuid4().hex
