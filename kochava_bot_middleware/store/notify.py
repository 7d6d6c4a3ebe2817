"""When a store tells other processes that there is something to claim, whatever it tells them by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .records import Committed, CommitVerdict, Outcome, Unit

RING_SECONDS = 0.005
"""At least so long lies between two rings of one process, however much it commits."""


def leaves_work(unit: Unit, answer: Committed) -> bool:
    """Whether *unit* left something for others: entries that it did not lease itself, or a claim given back."""
    leased = {claim.entry.id for claim in answer.leased}
    is_released = any(settlement.outcome is Outcome.RELEASE for settlement in unit.settlements)
    return is_released or not leased.issuperset(answer.appended)


class Planned(Protocol):
    """What is to be called later."""

    def cancel(self) -> None:
        """Do not call it."""


CallLater = Callable[[float, Callable[[], None]], Planned]
"""Calls something after so many seconds: an event loop's ``call_later``."""


class NotifyThrottle:
    """
    Rings at once, and then not again for a while; what asked meanwhile is one ring at the end of it.

    Args:
        strike: Tells the others; must not raise.
        call_later: See `CallLater`.
    """

    def __init__(self, strike: Callable[[], None], call_later: CallLater) -> None:
        self._strike = strike
        self._call_later = call_later
        self._resting: Planned | None = None
        self._is_asked = False

    def committed(self, unit: Unit, answer: Committed) -> None:
        """Ring if *unit* left something for others to claim; not looked into while a ring is asked for already."""
        if not self._is_asked and answer.verdict is CommitVerdict.COMMITTED and leaves_work(unit, answer):
            self.ring()

    def ring(self) -> None:
        """Ring now, or as soon as it may."""
        if self._resting is not None:
            self._is_asked = True
            return
        self._resting = self._call_later(RING_SECONDS, self._rested)
        self._strike()

    def close(self) -> None:
        """Ring what is still to be rung."""
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        if self._is_asked:
            self._is_asked = False
            self._strike()

    def _rested(self) -> None:
        self._resting = None
        if self._is_asked:
            self._is_asked = False
            self.ring()
