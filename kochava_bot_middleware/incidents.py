"""Logging of incidents: a line at the beginning, one a minute with a count while it lasts, and one at the end."""

from __future__ import annotations

import logging

import attrs

from .clock import Clock

REPEAT_SECONDS = 60.0
"""How often an incident that lasts is logged again."""


@attrs.define
class _Incident:
    logged_at: float
    unlogged: int = 0
    total: int = 1


class Incidents:
    """
    The incidents that last now, by event name and subject. Neither may hold anything private.

    Args:
        clock: Time.
        logger: Of the package in which they happen.
    """

    def __init__(self, clock: Clock, logger: logging.Logger) -> None:
        self._clock = clock
        self._logger = logger
        self._incidents: dict[tuple[str, str], _Incident] = {}

    def report(self, event: str, subject: str = "", *, reason: str = "", level: int = logging.WARNING) -> None:
        """Something went wrong, for the first time or again."""
        now = self._clock.monotonic()
        incident = self._incidents.get((event, subject))
        if incident is None:
            self._incidents[event, subject] = _Incident(logged_at=now)
            self._logger.log(level, "%s", _joined(event, subject, reason))
            return
        incident.unlogged += 1
        incident.total += 1
        if now - incident.logged_at >= REPEAT_SECONDS:
            self._logger.log(level, "%s (%d more)", _joined(event, subject, reason), incident.unlogged)
            incident.logged_at, incident.unlogged = now, 0

    def over(self, event: str, subject: str = "") -> None:
        """It works again. Nothing is logged if there was no incident."""
        if not self._incidents:
            return
        incident = self._incidents.pop((event, subject), None)
        if incident is not None:
            self._logger.info("%s is over (%d in all)", _joined(event, subject), incident.total)


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
