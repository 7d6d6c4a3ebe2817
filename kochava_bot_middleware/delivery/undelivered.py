"""Records that wait while nothing delivers them."""

from __future__ import annotations

from collections.abc import Mapping

from ..clock import Clock
from ..incidents import Incidents
from ..store.contract import Store
from ..store.records import OUTBOX, QueueStats

RECORDS_WAIT = "records_wait"
"""Name of the incident."""

CHECK_SECONDS = 60.0

OLDEST = 20
"""How many of the oldest records of a queue are looked at for signs of a worker."""

Signs = tuple[int, dict[str, int]]
"""How many records have ended, and the attempts of the oldest that wait."""


async def undelivered(store: Store) -> int:
    """How many records wait or are being sent."""
    stats = await store.stats()
    return _waiting(stats) + _in_flight(stats)


class UndeliveredWatch:
    """
    Warns while records wait and nothing delivers them.

    Args:
        cause: Why nothing may deliver them, and what to do.
        is_certain: Nothing does. Otherwise a worker is expected, and its signs are looked for: a record that was
            settled, is being sent, or was tried since the last look.
    """

    def __init__(self, store: Store, clock: Clock, incidents: Incidents, *, cause: str, is_certain: bool) -> None:
        self._store = store
        self._clock = clock
        self._incidents = incidents
        self._cause = cause
        self._is_certain = is_certain

    async def run(self) -> None:
        """Look once a minute, for ever."""
        before: Signs | None = None
        while True:
            try:
                stats = await self._store.stats()
                signs = None if self._is_certain else await self._signs(stats)
            except Exception:  # noqa: BLE001 - those who commit to the store say what is wrong with it
                before = None
            else:
                waiting = _waiting(stats)
                if waiting and (self._is_certain or not (_in_flight(stats) or _is_worked_on(before, signs))):
                    self._incidents.report(RECORDS_WAIT, reason=f"{waiting} records wait: {self._cause}")
                else:
                    self._incidents.over(RECORDS_WAIT)
                before = signs
            await self._clock.sleep(CHECK_SECONDS)

    async def _signs(self, stats: Mapping[str, QueueStats]) -> Signs:
        ended = sum(each.done + each.dead + each.dropped for each in map(stats.get, OUTBOX) if each is not None)
        rows = [row for queue in OUTBOX for row in await self._store.browse(queue, limit=OLDEST)]
        return ended, {row.entry.id: row.attempts for row in rows}


def _is_worked_on(before: Signs | None, now: Signs | None) -> bool:
    """Whether there was a worker between two looks; also when it is too early to say."""
    if before is None or now is None or not before[1]:
        return True
    return now[0] != before[0] or any(now[1].get(entry_id) != attempts for entry_id, attempts in before[1].items())


def _waiting(stats: Mapping[str, QueueStats]) -> int:
    return sum(stats[queue].waiting for queue in OUTBOX if queue in stats)


def _in_flight(stats: Mapping[str, QueueStats]) -> int:
    return sum(stats[queue].in_flight for queue in OUTBOX if queue in stats)
