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

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import attrs


class Queue(enum.StrEnum):
    """
    The kinds of work this package stores. A store treats the name as opaque.
    """

    INBOX = "inbox"
    """Webhook events, committed before Facebook is answered."""

    TRACK = "track"
    """Records for Kochava's ``track/json`` and its relatives."""

    PING = "ping"
    """Impression and click pings."""

    TIMER = "timer"
    """Waits for delivery events that may never come."""


@attrs.frozen(kw_only=True)
class Entry:
    """
    One piece of work. The store never looks into `body`.

    Attributes:
        id: Unique over all queues; an id seen before is ignored by `commit`.
        queue: Kind of work, one of `Queue`.
        lane: Order is kept within one lane of one queue.
        schema: Version of the body's format, for the reader.
        created_at: Wall-clock seconds since the epoch, as its maker saw it.
        body: Opaque bytes.
        due_at: Not to be claimed before this time (wall-clock seconds); ``None`` means at once.
    """

    id: str
    queue: str
    lane: str
    schema: int = 1
    created_at: float
    body: bytes = attrs.field(repr=False)
    due_at: float | None = None


@attrs.frozen(kw_only=True)
class Claim:
    """
    The right to work on one entry until `expires_at`.

    Attributes:
        entry: The work.
        token: Proves ownership; a settlement with another token changes nothing.
        expires_at: By the store's clock, in seconds since the epoch.
        attempt: 1 for the first claim of this entry, counted up with each further one.
    """

    entry: Entry
    token: str
    expires_at: float
    attempt: int


class Outcome(enum.Enum):
    """
    How the work on a claimed entry ended.
    """

    DONE = "done"
    """Delivered, or handled. The body is erased."""

    RETRY = "retry"
    """Not now: due again at `Settlement.retry_at`, still first in its lane."""

    RELEASE = "release"
    """Never begun (shutdown, say): due at once, and the claim does not count as an attempt."""

    DEAD = "dead"
    """Given up. The body is kept so that it can be listed, mended and retried."""

    DROPPED = "dropped"
    """Must not be sent (consent, opt-out, forgotten). The body is erased, the reason kept."""


@attrs.frozen(kw_only=True)
class Settlement:
    """
    The end of a claim.

    Attributes:
        claim: What was claimed. Entry id and token must both match, else the whole unit is refused.
        outcome: How it ended.
        retry_at: For `Outcome.RETRY`: wall-clock seconds since the epoch; ``None`` means at once.
        reason: For `DEAD`, `DROPPED` and `RETRY`: one short constant phrase, such as ``"rejected by Kochava"``.
        detail: What helps a person to understand it, such as the start of the answer. Never a secret.
    """

    claim: Claim
    outcome: Outcome
    retry_at: float | None = None
    reason: str = ""
    detail: str = ""


class Condition(enum.Enum):
    """
    When a mark may be written. If one condition of a unit fails, nothing of the unit is written.

    Conditions look at what was before the unit: marks of one unit do not see each other.
    """

    ALWAYS = "always"
    IF_ABSENT = "if absent"
    IF_EQUAL = "if equal"
    """Only if the stored value equals `Mark.expected` (``None``: only if there is none)."""


@attrs.frozen(kw_only=True)
class Mark:
    """
    A change of one small keyed value: funnel state, known identities, tombstones, handled keys.

    Attributes:
        key: Unique over the whole store; begins with its owner's name, such as ``funnel:``.
        value: The new value; ``None`` deletes.
        expires_at: Wall-clock seconds since the epoch after which the mark is absent; ``None``: never.
        condition: When it may be written.
        expected: For `Condition.IF_EQUAL`.
    """

    key: str
    value: bytes | None
    expires_at: float | None = None
    condition: Condition = Condition.ALWAYS
    expected: bytes | None = None


@attrs.frozen(kw_only=True)
class Lease:
    """
    A wish to lease, within a commit, each head that this very commit made claimable.

    A head is made claimable by appending to an empty lane, or by settling its predecessor. Only heads of `queue` that
    are due are leased. So a webhook's event is stored and owned in one transaction, and a worker that settles one
    entry goes on with the lane's next without another round trip.

    Attributes:
        queue: Which heads.
        seconds: How long, by the store's clock.
    """

    queue: str
    seconds: float


@attrs.frozen(kw_only=True)
class Unit:
    """
    What is written together or not at all.

    Attributes:
        appends: New entries, in order. One whose id was seen before is skipped; the rest of the unit goes on.
        settlements: Ends of claims. One whose lease is lost refuses the whole unit.
        marks: Changes of keyed state. One whose condition fails refuses the whole unit.
        lease: Lease the heads this unit makes claimable; ``None`` leaves them to `Store.claim`.
    """

    appends: Sequence[Entry] = ()
    settlements: Sequence[Settlement] = ()
    marks: Sequence[Mark] = ()
    lease: Lease | None = None


class Verdict(enum.Enum):
    """
    What became of a unit.
    """

    COMMITTED = "committed"
    CONDITION_FAILED = "condition failed"
    """A mark's condition did not hold: read the marks again and plan anew."""

    LEASE_LOST = "lease lost"
    """
    A settlement's claim belongs to somebody else by now, or is settled: stop working on it. A lease that lapsed and
    that nobody took since is not lost. Where a condition fails too, this is the verdict.
    """


@attrs.frozen(kw_only=True)
class Committed:
    """
    The answer to `Store.commit`. Unless `verdict` is `COMMITTED`, nothing was written.

    Attributes:
        verdict: Whether it was written.
        appended: Ids of the appends that are new, in the order given.
        repeated: Ids that were seen before and therefore skipped.
        leased: The heads leased because of `Unit.lease`.
        failed_key: The mark or entry id that refused the unit; ``None`` when committed.
    """

    verdict: Verdict
    appended: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    leased: tuple[Claim, ...] = ()
    failed_key: str | None = None


class State(enum.StrEnum):
    """
    Where an entry is. `DONE` entries are only counted.
    """

    WAITING = "waiting"
    IN_FLIGHT = "in flight"
    DONE = "done"
    DEAD = "dead"
    DROPPED = "dropped"


@attrs.frozen(kw_only=True)
class QueueStats:
    """
    Counts of one queue: ``accepted == waiting + in_flight + done + dead + dropped``.

    Attributes:
        accepted: Entries ever appended (ids seen before not counted).
        waiting: Neither claimed nor settled.
        in_flight: Claimed, lease not lapsed.
        done: Delivered or handled.
        dead: Given up, still listed.
        dropped: Not sent on purpose.
        oldest_waiting_at: `created_at` of the lane head that was appended first, leased or not; ``None`` when there is
            none.
    """

    accepted: int = 0
    waiting: int = 0
    in_flight: int = 0
    done: int = 0
    dead: int = 0
    dropped: int = 0
    oldest_waiting_at: float | None = None


@attrs.frozen(kw_only=True)
class Listed:
    """
    One row of `Store.browse`.

    Attributes:
        entry: The entry; the body of an inbox or dropped one is always empty here.
        state: Where it is.
        attempts: Claims so far.
        due_at: When it is next due; ``None`` for ended ones.
        reason: Why it was retried, dropped or given up; empty otherwise.
        detail: See `Settlement.detail`.
        ended_at: When it died or was dropped; ``None`` otherwise.
    """

    entry: Entry
    state: State
    attempts: int
    due_at: float | None = None
    reason: str = ""
    detail: str = ""
    ended_at: float | None = None


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
        Open now rather than at first use, so that a bad address is reported at start.

        Raises:
            StoreUnavailable: Says what was tried and how to mend it.
            SchemaTooNew: A newer release wrote it.
        """

    async def commit(self, unit: Unit) -> Committed:
        """
        Write *unit* in one transaction, durable when this returns.
        """

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        """
        Lease up to *limit* due heads of *queue*, longest due first. A lapsed lease makes a head due again.
        """

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        """
        Extend leases. What is missing from the answer is lost: somebody else owns it, or it is settled.
        """

    async def recall(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """
        The values of those marks that exist and have not expired.
        """

    async def next_due_at(self, queue: str) -> float | None:
        """
        When the next head of *queue* is due (a lease counts as due at its end); ``None`` when the queue is empty.
        """

    async def stats(self) -> Mapping[str, QueueStats]:
        """
        Counts by queue.
        """

    async def browse(
        self,
        queue: str,
        *,
        state: State | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        """
        Entries for a person to look at, in the order they were appended; *after* is the id of the last row of the
        previous page. Nothing follows an id that is not, or no longer, known.
        """

    async def retry_dead(self, ids: Sequence[str]) -> int:
        """
        Put dead entries back at the end of their lanes, due at once, their attempts counted anew; returns how many.
        """

    async def purge(self, *, dead_before: float) -> int:
        """
        Remove dead and dropped rows that ended before that time; returns how many. The counts keep them.
        """

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        """
        Drop, in one transaction, all that waits, is in flight or is dead in these lanes of every queue, and write
        *tombstone*, whatever its condition. A claim on a dropped entry is fenced: its settlement answers `LEASE_LOST`.
        Returns how many.
        """

    async def sweep(self) -> None:
        """
        Remove expired marks and ids remembered for longer than the store keeps them. Cheap; called now and then.
        """

    async def close(self) -> None:
        """
        Finish what was begun and let go of the engine. Idempotent. Later calls raise `StoreUnavailable`.
        """


@runtime_checkable
class AnnouncesAppends(Protocol):
    """
    A store that tells at once when another process appended something; the others are asked now and then.
    """

    def on_append(self, callback: Callable[[], None]) -> None:
        """
        Call *callback*, in the event loop, whenever there may be something to claim. Only a hint: it can be lost.
        """


class StoreProvider(Protocol):
    """
    A middleware that owns a store and lends it to its host, so that "handled" and "recorded" are one commit.
    """

    def provide_store(self) -> Store:
        """
        The store, not necessarily open yet.
        """
