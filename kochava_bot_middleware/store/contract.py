"""
What every store promises: durable queues of lanes, changed by one atomic commit.

A *queue* is a kind of work (``inbox``, ``track``, ``ping``, ``timer``). A *lane* keeps order within a queue: only its
first entry, the *head*, can be claimed, and the next one only when the head is settled. Lanes never wait for one
another.

```text
append ──▶ waiting ──claim──▶ in flight ──settle──▶ done      (the row stays without its body, as memory of the id)
              ▲                   │      ├────────▶ waiting   (RETRY, RELEASE: due after `retry_after_seconds`)
              └── lease lapsed ───┘      ├────────▶ dead      (kept whole, can be listed and retried)
                                         └────────▶ dropped   (kept without its body, with the reason)
```

An entry of `Queue.INBOX` that is done or dropped keeps neither lane nor name: its lane names a person, and nobody looks
for a handled event by that. A dead one keeps both, since it can be retried.

The contract speaks in durations; the store's own clock turns them into times. Where that clock is set back, nothing is
lost or reordered, and `Store.sweep` bounds the delay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from .records import Claim, Committed, DayCount, EntryState, Listed, Mark, QueueStats, Unit


class Store(Protocol):
    """
    A durable queue of lanes. One contract suite runs against every implementation.

    A store is opened lazily by its first call, in the running event loop, and is safe for concurrent use within it.
    Each error of an engine is one of three, and every method may raise it:

    - `StoreUnavailable`: the engine cannot be reached or written now;
    - `StoreUnusable`, one of those: not before somebody repairs it;
    - `NotStorable`: the engine can never keep this unit, or has no form for this argument. It keeps all others, those
      that it was given at the same time included.
    """

    durable: bool
    """Whether what is committed survives a crash of the process."""

    is_one_part: bool
    """Whether a unit over several lanes is one transaction. Where it is not, units of several people are left apart."""

    async def open(self) -> None:
        """
        Open now rather than at first use, so that a bad address is reported at start, and write something, so that a
        store that can only be read is reported too; or open again after `close`.

        Raises:
            StoreUnavailable: Says what was tried and how to fix it.
            SchemaTooNew: A newer release wrote it.
        """

    async def commit(self, unit: Unit) -> Committed:
        """Write *unit* in one transaction, durable when this returns."""

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        """
        Lease up to *limit* due heads of *queue*, longest due first. A lapsed lease makes a head due again, and its next
        claim a takeover.
        """

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        """
        Let leases last so long from now on; with 0 seconds they lapse now. What is missing from the answer is lost:
        another process owns it, or it is settled.
        """

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        """
        The values, by key, of those state entries that exist and have not expired. A key that is `NotStorable` does not
        exist.

        Args:
            keys: Lane and key of each; see `Mark`.
        """

    async def next_due_in(self, queue: str) -> float | None:
        """
        Seconds until the next head of *queue* is due; a lease counts as due at its end. 0 when one is due now, ``None``
        when the queue is empty.
        """

    async def stats(self) -> Mapping[str, QueueStats]:
        """Counts by queue."""

    async def counts(self, *, since: int | None = None, until: int | None = None) -> list[DayCount]:
        """
        The counters by day that are not zero, in the order of their day, facts and what.

        They are changed in the transaction that changes what they count, and outlive it: neither `purge`, `forget` nor
        `sweep` takes anything from them but what is counted otherwise from then on.

        Args:
            since: The first day; ``None``: the first there is.
            until: The last day, included; ``None``: the last there is.
        """

    async def forget_counts(self, before: int) -> None:
        """Remove the counters of the days before that."""

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
        Entries for a person to look at, in the order they were appended.

        Args:
            state: ``None`` lists all but those that are done.
            after: Id of the last row of the previous page. Nothing follows an id that is not, or no longer, known.
        """

    async def find(self, entry_id: str) -> Listed | None:
        """The entry of that id, in whichever queue and state; ``None`` when the id is not, or no longer, known."""

    async def history(self, lanes: Sequence[str], *, limit: int = 1_000) -> list[Listed]:
        """
        What became of the entries of *lanes*, in every queue and state, in the order they were appended; of more than
        *limit* the last ones. Those that are settled are among them for as long as their ids are remembered. Those that
        were purged or forgotten are not, nor settled ones of the inbox: their rows name no lane.
        """

    async def retry_dead(self, ids: Sequence[str]) -> int:
        """
        Put dead entries back at the end of their lanes, due at once, their attempts counted anew; returns how many.
        """

    async def purge(self, *, ended_for_seconds: float) -> int:
        """
        Remove dead and dropped rows that ended longer ago than that; returns how many. The counts keep them, and their
        ids are remembered as long as those of other settled entries.
        """

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        """
        Drop, in one transaction, all that waits, is in flight or is dead in these lanes of every queue, and write
        *tombstone*, whatever its condition. Of all rows of these lanes, settled ones included, only what names nobody
        stays: id, queue, kind, outcome, reason and times. A claim on a dropped entry is fenced: its settlement answers
        `LEASE_LOST`. Returns how many were dropped.
        """

    async def sweep(self, longest_waits: Mapping[str, float] | None = None) -> None:
        """
        Remove what has expired: state entries, and rows of settled entries whose ids need not be remembered any more;
        and put together what counters of processes that ended are kept apart. Cheap; called now and then.

        Args:
            longest_waits: By queue, the longest time in seconds that anything of it waits or is leased. What is due
                later than that from now was put off before the clock was set back; it is moved to that time.
        """

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
    """A middleware that shares its store with its host, so that "handled" and "recorded" are one commit."""

    def provide_store(self) -> Store:
        """The store, not necessarily open yet."""
