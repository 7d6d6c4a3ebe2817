"""
The records of a store: what waits, what is claimed, and the one atomic unit that changes it.

What is made for each event is not frozen, since a frozen record costs two to three times as much to make. Nobody
changes a record that was handed over.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import attrs


class Queue(enum.StrEnum):
    """The kinds of work this package stores. A store treats the name as opaque."""

    INBOX = "inbox"
    """Webhook events, committed before Facebook is answered."""

    TRACK = "track"
    """Events. What follows has queues of its own, so that one kind that fails or hangs holds up no other."""

    INSTALL = "install"
    """Installs."""

    LINK = "link"
    """Identity links."""

    PING = "ping"
    """Impressions."""

    CLICK = "click"
    """Clicks."""

    DELETION = "deletion"
    """Requests to delete a person's data."""

    TIMER = "timer"
    """Waits for delivery events that may never come."""


OUTBOX = (Queue.TRACK, Queue.INSTALL, Queue.LINK, Queue.PING, Queue.CLICK, Queue.DELETION)
"""What is sent to Kochava."""


@attrs.define(kw_only=True)
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
        wait_seconds: Not to be claimed earlier than this long after its commit; ``None`` means at once. ``None`` in an
            entry that is read back: the store keeps the time instead.
        kind: What the entry is, such as ``event``; kept with the id after settlement, and shown in listings.
        name: A name for people, such as the event's; kept likewise. Never anything private.
        label: As what it is counted, as `day_counts.label_of` makes it; empty: it is not. Kept until it is done,
            dropped or purged.
    """

    id: str
    queue: str
    lane: str
    schema: int = 1
    created_at: float
    body: bytes = attrs.field(repr=False)
    wait_seconds: float | None = None
    kind: str = ""
    name: str = ""
    label: str = ""

    def as_listed(self) -> Entry:
        """What may be listed of it: the body of an inbox entry is private."""
        return attrs.evolve(self, body=b"") if self.queue == Queue.INBOX else self

    def as_settled(self) -> Entry:
        """What is kept once it is done or dropped: an inbox entry then names nobody."""
        if self.queue == Queue.INBOX:
            return attrs.evolve(self, body=b"", label="", lane="", name="")
        return attrs.evolve(self, body=b"", label="")


@attrs.define(kw_only=True)
class Claim:
    """
    The right to work on one entry for as long as the lease lasts. The holder measures that time from before it asked.

    Attributes:
        entry: The work.
        token: Proves ownership; a settlement with another token changes nothing.
        attempt: 1 for the first claim of this entry, counted up with each further one.
        is_takeover: The lease of the claim before lapsed without a settlement: whoever held it may have done the work.
    """

    entry: Entry
    token: str
    attempt: int
    is_takeover: bool = False


class Outcome(enum.StrEnum):
    """How the work on a claimed entry ended."""

    DONE = "done"
    """Delivered, or handled. The body is erased."""

    RETRY = "retry"
    """Not now: due again after `Settlement.retry_after_seconds`, still first in its lane."""

    RELEASE = "release"
    """Never begun (shutdown, say): due as with `RETRY`, but the claim does not count as an attempt."""

    DEAD = "dead"
    """Given up. The body is kept so that it can be listed, corrected and retried."""

    DROPPED = "dropped"
    """Must not be sent (consent, opt-out, forgotten). The body is erased, the reason kept."""


@attrs.define(kw_only=True)
class Settlement:
    """
    The end of a claim.

    Attributes:
        claim: What was claimed. Entry id and token must both match, else the whole unit is refused.
        outcome: How it ended.
        retry_after_seconds: For `RETRY` and `RELEASE`: how long the entry waits from the commit on; ``None``: not.
        reason: For `DEAD`, `DROPPED` and `RETRY`: one short constant phrase, such as ``"rejected by Kochava"``.
        detail: What helps a person to understand it, such as the start of the answer. Never a secret.
    """

    claim: Claim
    outcome: Outcome
    retry_after_seconds: float | None = None
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


@attrs.define(kw_only=True)
class Mark:
    """
    A change of one state entry, a small keyed value: funnel state, known identities, opt-outs.

    Attributes:
        lane: Whose state it is. A store in several parts keeps it with the entries of that lane, so that a unit about
            one person is atomic. Only `key` is stored.
        key: Unique over the whole store; begins with its owner's name, such as ``funnel:``.
        value: The new value; ``None`` deletes.
        expires_after_seconds: How long after the commit the state entry is absent again; ``None``: never.
        condition: When it may be written.
        expected: For `Condition.IF_EQUAL`.
    """

    lane: str
    key: str
    value: bytes | None
    expires_after_seconds: float | None = None
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


@attrs.frozen
class DayCount:
    """
    One counter of one day, or what is added to it.

    Attributes:
        day: Days since 1970-01-01.
        facts: What is counted, as the one who counts writes it, without NUL characters.
        what: What became of it; see `day_counts`.
        amount: Sum of the amounts, in millionths.
    """

    day: int
    facts: str
    what: str
    count: int = 1
    amount: int = 0


@attrs.define(kw_only=True)
class Unit:
    """
    What is written together or not at all.

    Attributes:
        appends: New entries, in order. One whose id was seen before is skipped; the rest of the unit goes on.
        settlements: Ends of claims. One whose lease is lost refuses the whole unit.
        marks: Changes of state entries. One whose condition fails refuses the whole unit.
        counts: What is counted beside the entries, which are counted by their labels.
        lease: Lease the heads this unit makes claimable; ``None`` leaves them to `Store.claim`.
    """

    appends: Sequence[Entry] = ()
    settlements: Sequence[Settlement] = ()
    marks: Sequence[Mark] = ()
    counts: Sequence[DayCount] = ()
    lease: Lease | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.appends or self.settlements or self.marks or self.counts)


class CommitVerdict(enum.Enum):
    """What became of a unit."""

    COMMITTED = "committed"
    CONDITION_FAILED = "condition failed"
    """A condition did not hold: read the state entries again and plan again."""

    LEASE_LOST = "lease lost"
    """
    A settlement's claim belongs to another process by now, or is settled: stop working on it. A lease that lapsed but
    was not taken over since is not lost. Where a condition fails too, this is the verdict.
    """


@attrs.define(kw_only=True)
class Committed:
    """
    The answer to `Store.commit`. Unless `verdict` is `COMMITTED`, nothing was written.

    Attributes:
        verdict: Whether it was written.
        appended: Ids of the appends that are new, in the order given.
        repeated: Ids that were seen before and therefore skipped.
        leased: The heads leased because of `Unit.lease`.
        failed_key: The key of the state entry, or the entry id, that refused the unit; ``None`` when committed.
        set_aside: Ids of appends that the store can never keep, where the rest was written without them. Only
            `CommitRetry` does so; a store refuses the whole unit with `NotStorable`.
    """

    verdict: CommitVerdict
    appended: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    leased: tuple[Claim, ...] = ()
    failed_key: str | None = None
    set_aside: tuple[str, ...] = ()


class EntryState(enum.StrEnum):
    """Where an entry is."""

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
    One row of `Store.browse` and `Store.find`.

    Attributes:
        entry: The entry. The body of an inbox entry, and of one that is done or dropped, is empty here.
        state: Where it is.
        attempts: Claims so far.
        due_at: When it is next due; ``None`` for ended ones, and for what only waits for those before it in its lane.
        reason: Why it was retried, dropped or given up; empty otherwise.
        detail: See `Settlement.detail`.
        ended_at: When it was settled for good; ``None`` before.
        token: Of the last claim that is not settled; ``None`` when there is none.
    """

    entry: Entry
    state: EntryState
    attempts: int
    due_at: float | None = None
    reason: str = ""
    detail: str = ""
    ended_at: float | None = None
    token: str | None = None
