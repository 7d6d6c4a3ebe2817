"""
How far ahead a record can rightly be put off. What is due later was put off before the store's clock was set back.
"""

from __future__ import annotations

from ..clock import Clock
from .settings import DeliverySettings

_SPARE = 1.5
"""Another worker may have longer waits or leases by its settings."""


class Horizon:
    """
    The longest wait of any record, by the settings and by what this worker has put off itself.

    Kochava may ask for a day's rest (``Retry-After``), which is far longer than all other waits. Only the worker that
    was asked knows of it; another one, or this one after a restart, tries the record earlier and is asked itself.
    """

    def __init__(self, settings: DeliverySettings, clock: Clock) -> None:
        self._clock = clock
        self._longest = _longest_wait(settings)
        self._known_until = clock.monotonic()

    def note(self, seconds: float) -> None:
        """A record was put off for so long."""
        self._known_until = max(self._known_until, self._clock.monotonic() + seconds)

    def seconds(self) -> float:
        """What to tell a store as ``at_most_ahead_seconds``."""
        return _SPARE * max(self._longest, self._known_until - self._clock.monotonic())


def _longest_wait(settings: DeliverySettings) -> float:
    turn = 0.0 if settings.rate_per_second is None else 1.0 / settings.rate_per_second
    probe = max(*settings.probe_waits_seconds, *settings.refused_waits_seconds, turn)
    return max(
        1.0 + max(settings.retry_waits_seconds),
        # Who is not the probe waits up to half as long again, and two seconds, so that the probe comes first.
        2.0 + 1.5 * probe,
        settings.unknown_wait_seconds,
        settings.lease_seconds,
    )
