"""What time it is for the store, which may be another machine."""

from __future__ import annotations

from ..clock import Clock
from ..store.records import Claim


class StoreClock:
    """
    Learns the store's time from each lease it grants, since a lease ends by the store's clock.

    Where a record waits until, the store decides by its own clock: reckoned by that of a machine an hour ahead, each
    retry would come an hour late.
    """

    def __init__(self, clock: Clock, lease_seconds: float) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._ahead: float | None = None

    def note(self, claim: Claim, asked_at: float) -> None:
        """A lease was granted that was asked for at the monotonic time *asked_at*."""
        self._ahead = claim.expires_at - self._lease_seconds - asked_at

    def now(self) -> float:
        """Seconds since the epoch; by this machine's clock as long as no lease was seen."""
        return self._clock.now() if self._ahead is None else self._clock.monotonic() + self._ahead
