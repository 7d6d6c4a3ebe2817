"""
One log line an incident, not an event: when it begins, once a minute with a count while it lasts, when it is over.
"""

from __future__ import annotations

import logging

import attrs

from .clock import Clock

REPEAT_SECONDS = 60.0
"""How often an incident that lasts is told again."""


@attrs.define
class _Lasting:
    told_at: float
    untold: int = 0
    total: int = 1


class Incidents:
    """
    What goes wrong now, by event name and subject. Neither may hold anything private.

    Args:
        clock: Time.
        logger: Of the room that it happens in.
    """

    def __init__(self, clock: Clock, logger: logging.Logger) -> None:
        self._clock = clock
        self._logger = logger
        self._lasting: dict[tuple[str, str], _Lasting] = {}

    def report(self, event: str, subject: str = "", *, reason: str = "", level: int = logging.WARNING) -> None:
        """It happened (again)."""
        now = self._clock.monotonic()
        lasting = self._lasting.get((event, subject))
        if lasting is None:
            self._lasting[event, subject] = _Lasting(told_at=now)
            self._logger.log(level, "%s", _joined(event, subject, reason))
            return
        lasting.untold += 1
        lasting.total += 1
        if now - lasting.told_at >= REPEAT_SECONDS:
            self._logger.log(level, "%s (%d more)", _joined(event, subject, reason), lasting.untold)
            lasting.told_at, lasting.untold = now, 0

    def over(self, event: str, subject: str = "") -> None:
        """It works again. Without an incident, nothing is logged."""
        if not self._lasting:
            return
        lasting = self._lasting.pop((event, subject), None)
        if lasting is not None:
            self._logger.info("%s is over (%d in all)", _joined(event, subject), lasting.total)


def _joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
