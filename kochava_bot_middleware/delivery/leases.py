"""Whether a claim is still this worker's at the moment its request would leave."""

from __future__ import annotations

import attrs

from ..clock import Clock
from ..store.contract import Store
from ..store.records import Claim

_SPARE = 2 / 3
"""Of a lease; when more of it has passed, a request that begins now might outlast it."""


@attrs.frozen(kw_only=True)
class Held:
    """
    A claim, and when the worker asked for it by its own clocks.

    The store's clock may be another machine's, so the time that has passed here tells whether the lease still holds.
    """

    claim: Claim
    monotonic_at: float
    wall_at: float


@attrs.frozen(kw_only=True)
class Owned:
    """
    A claim whose lease outlasts a request that begins now.

    Attributes:
        claim: The claim, perhaps renewed.
        at: When that was looked up: monotonic seconds, right before the request.
    """

    claim: Claim
    at: float


class Leases:
    """
    Looks at the clocks, and renews what might lapse under way.

    Args:
        lease_seconds: How long a claim is this worker's.
    """

    def __init__(self, store: Store, clock: Clock, lease_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._lease_seconds = lease_seconds

    async def owned(self, held: Held) -> Owned | None:
        """
        The claim, renewed if its lease might lapse under the request; ``None`` when it is lost.

        The last thing it does is to look at the clocks, since the process may be stopped while the store answers.
        """
        while True:
            now, wall = self._clock.monotonic(), self._clock.now()
            if max(now - held.monotonic_at, wall - held.wall_at) <= self._lease_seconds * _SPARE:
                return Owned(claim=held.claim, at=now)
            renewed = await self._store.renew([held.claim], self._lease_seconds)
            if not renewed:
                return None
            held = Held(claim=renewed[0], monotonic_at=now, wall_at=wall)
