"""
What every store promises: durable queues of lanes, changed by one atomic commit.

A *queue* is a kind of work (``inbox``, ``track``, ``ping``, ``timer``). A *lane* keeps order within a queue: only its
first entry, the *head*, can be claimed, and the next one only when the head is settled. Lanes never wait for one
another.

::

    append ──▶ waiting ──claim──▶ in flight ──settle──▶ done      (the row is gone, its id is remembered)
                  ▲                   │      ├────────▶ waiting   (RETRY: due again at `retry_at`)
                  └── lease lapsed ───┘      ├────────▶ dead      (kept, can be listed and retried)
                                             └────────▶ dropped   (only id, lane and reason are kept)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from .records import Claim, Committed, EntryState, Listed, Mark, QueueStats, Unit


class Store(Protocol):
    """
    A durable queue of lanes. One contract suite runs against every implementation.

    A store is opened lazily by its first call, in the running event loop, and is safe for concurrent use within it.
    Every method raises `StoreUnavailable` when the engine cannot be reached or written.
    """

    durable: bool
    """Whether what is committed survives a crash of the process."""

    async def open(self) -> None:
        """
        Open now rather than at first use, so that a bad address is reported at start; or open again after `close`.

        Raises:
            StoreUnavailable: Says what was tried and how to mend it.
            SchemaTooNew: A newer release wrote it.
        """

    async def commit(self, unit: Unit) -> Committed:
        """Write *unit* in one transaction, durable when this returns."""

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, at_most_ahead_seconds: float | None = None
    ) -> list[Claim]:
        """
        Lease up to *limit* due heads of *queue*, longest due first. A lapsed lease makes a head due again.

        Args:
            at_most_ahead_seconds: Nothing of *queue* is ever put off or leased for longer; above 0. So a head that is
                due later than that from now was put off before the store's clock was set back. It counts as due now,
                after all that is due by the clock. If it is leased, its owner may live: its lease is only made to end
                so many seconds from now. ``None``: the clock is trusted.
        """

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        """Extend leases. What is missing from the answer is lost: somebody else owns it, or it is settled."""

    async def recall(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The values of those marks that exist and have not expired."""

    async def next_due_at(self, queue: str, *, at_most_ahead_seconds: float | None = None) -> float | None:
        """
        When the next head of *queue* is due (a lease counts as due at its end); ``None`` when the queue is empty.

        Args:
            at_most_ahead_seconds: See `claim`. If anything is due later than so many seconds from now, leased or not,
                a claim is worth while now.
        """

    async def stats(self) -> Mapping[str, QueueStats]:
        """Counts by queue."""

    async def browse(
        self,
        queue: str,
        *,
        state: EntryState | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        """
        Entries for a person to look at, in the order they were appended; *after* is the id of the last row of the
        previous page. Nothing follows an id that is not, or no longer, known.
        """

    async def find(self, entry_id: str) -> Listed | None:
        """
        The entry of that id as `browse` lists it, whichever queue and state it is in; ``None`` when the id is unknown,
        or only remembered since it is done.
        """

    async def retry_dead(self, ids: Sequence[str]) -> int:
        """
        Put dead entries back at the end of their lanes, due at once, their attempts counted anew; returns how many.
        """

    async def purge(self, *, dead_before: float) -> int:
        """Remove dead and dropped rows that ended before that time; returns how many. The counts keep them."""

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        """
        Drop, in one transaction, all that waits, is in flight or is dead in these lanes of every queue, and write
        *tombstone*, whatever its condition. A claim on a dropped entry is fenced: its settlement answers `LEASE_LOST`.
        Returns how many.
        """

    async def sweep(self) -> None:
        """Remove expired marks and ids remembered for longer than the store keeps them. Cheap; called now and then."""

    async def close(self) -> None:
        """
        Finish what was begun and let go of the engine. Idempotent. Later calls raise `StoreUnavailable`, until `open`.
        """


@runtime_checkable
class AnnouncesAppends(Protocol):
    """A store that tells at once when another process appended something; the others are asked now and then."""

    def on_append(self, callback: Callable[[], None]) -> None:
        """Call *callback*, in the event loop, whenever there may be something to claim. Only a hint: it can be lost."""


class StoreProvider(Protocol):
    """A middleware that owns a store and lends it to its host, so that "handled" and "recorded" are one commit."""

    def provide_store(self) -> Store:
        """The store, not necessarily open yet."""
