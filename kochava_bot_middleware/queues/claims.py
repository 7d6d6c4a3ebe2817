"""
How a consumer makes claims, what it does with them, and the claims that it holds while their leases last.

The store speaks in durations. So a lease surely lasts until its length has passed on the clocks of this process,
counted from before the store was asked. Both clocks are looked at: the monotonic one stands still while some machines
sleep, and the wall clock may be set.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

import attrs

from ..clock import Clock
from ..store.contract import Store
from ..store.records import Claim, CommitVerdict, Mark, Settlement

Instant: TypeAlias = tuple[float, float]
"""Monotonic seconds and wall-clock seconds, read together."""


@attrs.define(eq=False, kw_only=True)
class Claimed:
    """
    A claim that this process holds.

    Attributes:
        claim: Replaced when the lease has lapsed and this process claims the entry anew.
        asked_at: When the lease, or its renewal, was asked for.
        is_begun: Work on it has begun, so a shutdown does not release it.
    """

    claim: Claim
    asked_at: Instant
    is_begun: bool = False


Work = Coroutine[Any, Any, Settlement | None]
Process = Callable[[Claimed], Work]
"""
Works on one claim. A settlement that it returns is committed together with others. ``None``: it has settled the claim
itself, or the lease is lost.
"""


@attrs.frozen(kw_only=True)
class ConsumerOptions:
    """
    How a consumer works.

    Attributes:
        concurrency: How many claims are processed at a time, by so many tasks. Nothing is claimed while more than half
            as many wait to begin.
        most_held: Claims are made until so many are held. Those that a commit leased come on top.
        lease_seconds: How long a claim is owned without being renewed.
        work_seconds: Work that begins may take so long although the lease cannot be renewed; ``None``: a third of it.
        poll_seconds: How often to look for what other processes appended.
        longest_wait_seconds: Returns the longest time that anything in the queue may wait or be leased from now on;
            see `Store.sweep`.
        is_isolated: Process each claim in a task, and so in a context, of its own, beginning with the synchronous part
            of the process at once. Then the process bounds how many are processed at a time, and says when it begins
            with one (`Consumer.begin`).
        takes_up: Asked first for each claim of an isolated consumer: whether it works on it without a task of its own,
            and says when it ends (`Consumer.end`).
        room: Given how many claims are wanted, returns how many are worth making now, and in how many seconds to ask
            again. ``None``: any number.
        marks: Given a settlement that a process returned, the state changes to commit with it.
        on_ended: Called with each settlement that a process returned, and with the verdict on its commit:
            ``LEASE_LOST`` when another process owns the entry. Must not raise.
    """

    concurrency: int
    most_held: int
    lease_seconds: float
    poll_seconds: float
    longest_wait_seconds: Callable[[], float]
    work_seconds: float | None = None
    is_isolated: bool = False
    takes_up: Callable[[Claimed], bool] = lambda _claimed: False
    room: Callable[[int], tuple[int, float]] | None = None
    marks: Callable[[Settlement], Sequence[Mark]] = lambda _settlement: ()
    on_ended: Callable[[Settlement, CommitVerdict], None] = lambda _settlement, _verdict: None

    @property
    def spare_seconds(self) -> float:
        """How much of a lease may have passed when work begins."""
        return self.lease_seconds - (self.lease_seconds / 3 if self.work_seconds is None else self.work_seconds)


class Leases:
    """
    The claims held of one queue, by entry.

    Args:
        lease_seconds: The length of a lease.
        spare_seconds: When more of it has passed, what begins now might outlast it.

    Attributes:
        unbegun: How many of them are not begun.
    """

    def __init__(self, store: Store, clock: Clock, *, lease_seconds: float, spare_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._spare_seconds = spare_seconds
        self._held: dict[str, Claimed] = {}
        self.unbegun = 0

    def __len__(self) -> int:
        return len(self._held)

    def now(self) -> Instant:
        """The time by both clocks of this process."""
        return self._clock.monotonic(), self._clock.now()

    def add(self, claim: Claim, asked_at: Instant) -> Claimed | None:
        """
        Hold *claim* from now on; ``None`` when the entry is held already: its lease had lapsed, and this process took
        it over from itself.
        """
        held = self._held.get(claim.entry.id)
        if held is not None:
            held.claim, held.asked_at = claim, asked_at
            return None
        held = self._held[claim.entry.id] = Claimed(claim=claim, asked_at=asked_at)
        self.unbegun += 1
        return held

    def begin(self, claimed: Claimed) -> None:
        """Work on it begins."""
        if not claimed.is_begun:
            claimed.is_begun = True
            self.unbegun -= 1

    def discard(self, claimed: Claimed) -> None:
        """It is settled, released or lost."""
        if self._held.get(claimed.claim.entry.id) is claimed:
            del self._held[claimed.claim.entry.id]
            if not claimed.is_begun:
                self.unbegun -= 1

    def discard_unbegun(self) -> list[Claim]:
        """Hold no longer what is not begun; returns the claims."""
        unbegun = [claimed for claimed in self._held.values() if not claimed.is_begun]
        for claimed in unbegun:
            self.discard(claimed)
        return [claimed.claim for claimed in unbegun]

    async def is_owned(self, claimed: Claimed) -> bool:
        """
        Whether the lease lasts for a while, renewed if need be. Last of all it looks at the clocks, since the process
        may be stopped while the store answers.

        Raises:
            StoreError: The lease may have lapsed, and the store cannot be asked.
        """
        while not self.is_fresh(claimed):
            token = claimed.claim.token
            if not await self._renew([claimed]) and claimed.claim.token == token:
                return False
        return True

    def is_fresh(self, claimed: Claimed) -> bool:
        """Whether the lease surely lasts for a while."""
        monotonic_at, wall_at = claimed.asked_at
        spare = self._spare_seconds
        return self._clock.monotonic() - monotonic_at <= spare and self._clock.now() - wall_at <= spare

    async def renew_all(self) -> None:
        """Renew every lease; what is lost is noticed when it is settled, at the latest."""
        if self._held:
            await self._renew(list(self._held.values()))

    async def _renew(self, held: Sequence[Claimed]) -> bool:
        asked_at = self.now()
        renewed = await self._store.renew([claimed.claim for claimed in held], self._lease_seconds)
        tokens = {claim.token for claim in renewed}
        for claimed in held:
            if claimed.claim.token in tokens:
                claimed.asked_at = asked_at
        return bool(tokens)
