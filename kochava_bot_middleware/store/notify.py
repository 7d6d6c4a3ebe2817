"""When a store notifies other processes that there is something to claim, by whatever means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .records import Committed, CommitVerdict, Outcome, Unit

NOTIFY_SECONDS = 0.005
"""The shortest time between two notifications of one process, however much it commits."""


def leaves_work(unit: Unit, answer: Committed) -> bool:
    """Whether *unit* left something for others: entries that it did not lease itself, or a released claim."""
    leased = {claim.entry.id for claim in answer.leased}
    is_released = any(settlement.outcome is Outcome.RELEASE for settlement in unit.settlements)
    return is_released or not leased.issuperset(answer.appended)


class Cancellable(Protocol):
    """A call that is to be made later."""

    def cancel(self) -> None:
        """Do not make it."""


CallLater = Callable[[float, Callable[[], None]], Cancellable]
"""Calls something after so many seconds, as an event loop's ``call_later`` does."""


class NotifyThrottle:
    """
    Sends a notification at once, and the next one not before `NOTIFY_SECONDS` have passed; what is asked for meanwhile
    becomes one notification at the end of that time.

    Args:
        send: Notifies the others; must not raise.
        call_later: See `CallLater`.
    """

    def __init__(self, send: Callable[[], None], call_later: CallLater) -> None:
        self._send = send
        self._call_later = call_later
        self._pause: Cancellable | None = None
        self._is_pending = False

    def committed(self, unit: Unit, answer: Committed) -> None:
        """Notify if *unit* left something for others to claim; not checked while a notification is pending anyway."""
        if not self._is_pending and answer.verdict is CommitVerdict.COMMITTED and leaves_work(unit, answer):
            self.notify()

    def notify(self) -> None:
        """Notify now, or as soon as the pause is over."""
        if self._pause is not None:
            self._is_pending = True
            return
        self._pause = self._call_later(NOTIFY_SECONDS, self._end_pause)
        self._send()

    def close(self) -> None:
        """Send what is pending."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._is_pending:
            self._is_pending = False
            self._send()

    def _end_pause(self) -> None:
        self._pause = None
        if self._is_pending:
            self._is_pending = False
            self.notify()
