"""Deliveries that this worker knows of, though the store does not yet."""

from __future__ import annotations

import attrs

from ..store.records import Outcome
from .attempt import Settled
from .leases import Held

_MOST = 10_000


class KnownEnds:
    """
    Remembers what was delivered until that is committed.

    A store that was away, or a process that was, may outlast a lease. When such a record is claimed anew, here of all
    places it is known that Kochava has it: it is settled, not sent a second time.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._delivered: dict[str, Settled] = {}

    def note(self, settled: Settled) -> None:
        """An end that is about to be committed."""
        if settled.settlement.outcome is Outcome.DONE:
            self._delivered[settled.settlement.claim.entry.id] = settled
            if len(self._delivered) > self._most:
                del self._delivered[next(iter(self._delivered))]

    def committed(self, settled: Settled) -> None:
        """The store knows it, too."""
        self._delivered.pop(settled.settlement.claim.entry.id, None)

    def of(self, held: Held) -> Settled | None:
        """The end of *held* if it is known, to be committed with the new claim."""
        known = self._delivered.get(held.claim.entry.id)
        if known is None:
            return None
        return attrs.evolve(known, settlement=attrs.evolve(known.settlement, claim=held.claim))
