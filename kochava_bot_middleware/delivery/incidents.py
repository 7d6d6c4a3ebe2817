"""
One log line an incident, not an event: when it begins, once a minute with a count while it lasts, when it is over.
"""

from __future__ import annotations

import logging

import attrs

from ..clock import Clock

logger = logging.getLogger("kochava_bot_middleware.delivery")

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
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lasting: dict[tuple[str, str], _Lasting] = {}

    def report(self, event: str, subject: str = "", *, reason: str = "", level: int = logging.WARNING) -> None:
        """
        It happened (again).
        """
        now = self._clock.monotonic()
        lasting = self._lasting.get((event, subject))
        if lasting is None:
            self._lasting[event, subject] = _Lasting(told_at=now)
            logger.log(level, "%s %s %s", event, subject, reason)
            return
        lasting.untold += 1
        lasting.total += 1
        if now - lasting.told_at >= REPEAT_SECONDS:
            logger.log(level, "%s %s %s (%d more)", event, subject, reason, lasting.untold)
            lasting.told_at, lasting.untold = now, 0

    def over(self, event: str, subject: str = "") -> None:
        """
        It works again. Without an incident, nothing is logged.
        """
        if not self._lasting:
            return
        lasting = self._lasting.pop((event, subject), None)
        if lasting is not None:
            logger.info("%s %s is over (%d in all)", event, subject, lasting.total)
