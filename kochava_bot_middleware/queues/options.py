"""What a consumer is given: what to do with a claim, and how to make claims."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import attrs

from ..store.records import Settlement
from .leases import Claimed

Work = Coroutine[Any, Any, Settlement | None]
Process = Callable[[Claimed], Work]
"""
Works on one claim. A settlement that it returns is committed together with others. ``None``: it has settled the claim
itself, or the lease is lost.
"""


class OnEnded(Protocol):
    """What is called with the ends of claims."""

    def __call__(self, settlement: Settlement, *, is_committed: bool) -> None:
        """
        Take notice of a settlement. Must not raise.

        Args:
            is_committed: If it is not, another process owns the entry.
        """


def _ignore(settlement: Settlement, *, is_committed: bool) -> None:
    pass


@attrs.frozen(kw_only=True)
class ConsumerOptions:
    """
    How a consumer works.

    Attributes:
        concurrency: How many claims are processed at a time, by so many tasks. Nothing is claimed while more than half
            as many wait to begin.
        most_held: Claims are made until so many are held. Those that a commit leased come on top.
        lease_seconds: How long a claim is owned without being renewed.
        poll_seconds: How often to look for what other processes appended.
        longest_wait_seconds: Returns the longest time that anything in the queue may wait or be leased from now on;
            see `Store.sweep`.
        is_isolated: Process each claim in a task, and so in a context, of its own, beginning with the synchronous part
            of the process at once. Then the process bounds how many are processed at a time, and says when it begins
            with one (`Consumer.begin`).
        room: Given how many claims are wanted, returns how many are worth making now, and in how many seconds to ask
            again. ``None``: any number.
        on_ended: Called with each settlement that a process returned.
    """

    concurrency: int
    most_held: int
    lease_seconds: float
    poll_seconds: float
    longest_wait_seconds: Callable[[], float]
    is_isolated: bool = False
    room: Callable[[int], tuple[int, float]] | None = None
    on_ended: OnEnded = _ignore
