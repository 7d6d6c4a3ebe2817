"""
What units change, decided in memory: each unit against what the units before it left.

An engine reads a `Snapshot`, lets a `CommitPlan` decide its units, and writes what the plan holds. A unit that is
refused has changed nothing, so no savepoint is needed. Nothing here knows how an engine stores anything.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import attrs

from ..exceptions import NotStorable
from .day_counts import RECORDED, DayCounts, what_of
from .records import (
    Claim,
    Committed,
    CommitVerdict,
    Condition,
    Entry,
    EntryState,
    Lease,
    Mark,
    Outcome,
    Settlement,
    Unit,
)
from .settings import NewToken

Lane = tuple[str, str]
"""Queue and lane."""

Keys = Sequence[tuple[str, str]]
"""Lane and key of some state entries."""


async def recall_storable(recall: Callable[[Keys], Awaitable[Mapping[str, bytes]]], keys: Keys) -> Mapping[str, bytes]:
    """What `recall` finds; an engine refuses a key that it has no form for, and so can have no value of it either."""
    try:
        return await recall(keys)
    except NotStorable:
        storable = [(lane, key) for lane, key in keys if _is_utf8(lane) and _is_utf8(key)]
        if len(storable) == len(keys):
            raise
        return await recall(storable) if storable else {}


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


ENDED = {Outcome.DONE: EntryState.DONE, Outcome.DEAD: EntryState.DEAD, Outcome.DROPPED: EntryState.DROPPED}
"""The state of an entry that was settled for good."""

WHEN_FIRST = 0.0
"""The time at which an entry is due that waits only for those before it in its lane."""


@attrs.define(kw_only=True)
class StoredHead:
    """The first entry of a lane, as it was stored before the units."""

    place: int
    id: str
    token: str | None
    attempts: int


@attrs.define(kw_only=True)
class QueuedEntry:
    """
    An entry that becomes the head of its lane, or waits behind it.

    Attributes:
        place: Its rank among all that was ever appended.
        due_at: When it can be claimed, or until when it is leased.
        token: Of its lease; ``None`` while it is not leased.
        attempts: How often it was claimed.
    """

    entry: Entry
    place: int
    due_at: float
    token: str | None = None
    attempts: int = 0


@attrs.define(kw_only=True)
class ReturnedHead:
    """
    A head whose claim ended with a retry or a release.

    Attributes:
        due_at: When it can be claimed again.
        is_uncounted: The claim does not count as an attempt.
        reason: ``None`` keeps the former reason and detail.
    """

    due_at: float
    is_uncounted: bool
    reason: str | None
    detail: str | None


@attrs.define(kw_only=True)
class LaneChange:
    """
    One lane, as the units so far leave it.

    Attributes:
        stored: Its head before the units; ``None`` when the lane was empty.
        is_settled: Whether that head was settled for good.
        returned: How that head was given back.
        head: The new head.
        behind: What was appended behind a head.
    """

    stored: StoredHead | None
    is_settled: bool = False
    returned: ReturnedHead | None = None
    head: QueuedEntry | None = None
    behind: deque[QueuedEntry] | None = None


@attrs.define(kw_only=True)
class Snapshot:
    """
    What the decisions depend on, read in the transaction that writes them.

    Attributes:
        now: Wall-clock seconds since the epoch, by the store's clock.
        heads: Heads of the lanes that the units append to or settle in, where there is one.
        successors: What follows a head that a unit settles for good, with the time it is due.
        seen: Ids of appends that were seen before.
        places: A new place for each append, ascending.
        values: Values of the state entries that have a condition, where they exist.
    """

    now: float
    heads: Mapping[Lane, StoredHead]
    successors: Mapping[Lane, QueuedEntry]
    seen: frozenset[str]
    places: Iterator[int]
    values: Mapping[str, bytes]


class CommitPlan:
    """
    Decides units one after the other; its attributes are then what is to be written.

    Attributes:
        snapshot: What the decisions depend on.
        lanes: What becomes of each lane that a unit touches.
        appended: New entries, each with its place and the time it is due.
        settled: Heads settled for good, each with its settlement.
        marks: The last change of each state entry, by key.
        checked_keys: Keys whose value a decision depends on.
        counts: By queue and name (``accepted`` or an outcome), how much each count grows.
        day_counts: The same of the counters by day.
    """

    def __init__(self, snapshot: Snapshot, new_token: NewToken) -> None:
        self.snapshot = snapshot
        self.lanes: dict[Lane, LaneChange] = {}
        self.appended: list[QueuedEntry] = []
        self.settled: list[tuple[StoredHead, Settlement]] = []
        self.marks: dict[str, Mark] = {}
        self.checked_keys: set[str] = set()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.day_counts = DayCounts()
        self._new_token = new_token
        self._seen = set(snapshot.seen)
        self._values = dict(snapshot.values)

    def decide(self, unit: Unit) -> Committed:
        """Add what *unit* changes, unless it is refused."""
        refusal = self._refusal(unit)
        if refusal is not None:
            return refusal
        claimable: list[QueuedEntry] = []
        for settlement in unit.settlements:
            head = self._settle(settlement)
            if head is not None:
                claimable.append(head)
        appended: list[str] = []
        repeated: list[str] = []
        for entry in unit.appends:
            if entry.id in self._seen:
                repeated.append(entry.id)
                continue
            appended.append(entry.id)
            head = self._append(entry)
            if head is not None:
                claimable.append(head)
        for mark in unit.marks:
            self._write_mark(mark)
        for each in unit.counts:
            self.day_counts.add(each)
        return Committed(
            verdict=CommitVerdict.COMMITTED,
            appended=tuple(appended),
            repeated=tuple(repeated),
            leased=() if unit.lease is None or not claimable else self._lease(claimable, unit.lease),
        )

    def _refusal(self, unit: Unit) -> Committed | None:
        if unit.settlements:
            settled: set[str] = set()
            for settlement in unit.settlements:
                entry = settlement.claim.entry
                lane = self._lane(entry)
                head = lane.stored
                is_owned = head is not None and head.id == entry.id and head.token == settlement.claim.token
                if not is_owned or lane.is_settled or lane.returned is not None or entry.id in settled:
                    return Committed(verdict=CommitVerdict.LEASE_LOST, failed_key=entry.id)
                settled.add(entry.id)
        for mark in unit.marks:
            if mark.condition is Condition.ALWAYS:
                continue
            self.checked_keys.add(mark.key)
            expected = None if mark.condition is Condition.IF_ABSENT else mark.expected
            if self._values.get(mark.key) != expected:
                return Committed(verdict=CommitVerdict.CONDITION_FAILED, failed_key=mark.key)
        return None

    def _settle(self, settlement: Settlement) -> QueuedEntry | None:
        """End a claim; returns the head that this made claimable."""
        entry, outcome = settlement.claim.entry, settlement.outcome
        lane = self._lane(entry)
        if outcome is Outcome.RELEASE:
            due_at = self._due_at(settlement.retry_after_seconds)
            lane.returned = ReturnedHead(due_at=due_at, is_uncounted=True, reason=None, detail=None)
            return None
        if outcome is Outcome.RETRY:
            lane.returned = ReturnedHead(
                due_at=self._due_at(settlement.retry_after_seconds),
                is_uncounted=False,
                reason=settlement.reason,
                detail=settlement.detail,
            )
            return None
        assert lane.stored is not None
        state = ENDED[outcome]
        self.settled.append((lane.stored, settlement))
        self.counts[entry.queue, state] += 1
        if entry.label:
            seconds = self.snapshot.now - entry.created_at
            self.day_counts.add_entry(entry.label, what_of(state, reason=settlement.reason, seconds=seconds))
        lane.is_settled = True
        lane.head = self.snapshot.successors.get((entry.queue, entry.lane))
        if lane.head is None and lane.behind:
            lane.head = lane.behind.popleft()
            lane.head.due_at = max(self.snapshot.now, lane.head.due_at)
        return lane.head

    def _append(self, entry: Entry) -> QueuedEntry | None:
        """Add an entry; returns it if it is the head of its lane."""
        self._seen.add(entry.id)
        self.counts[entry.queue, "accepted"] += 1
        if entry.label:
            self.day_counts.add_entry(entry.label, RECORDED)
        queued = QueuedEntry(entry=entry, place=next(self.snapshot.places), due_at=self._due_at(entry.wait_seconds))
        self.appended.append(queued)
        lane = self._lane(entry)
        if lane.head is None and (lane.stored is None or lane.is_settled):
            lane.head = queued
            return queued
        if lane.behind is None:
            lane.behind = deque()
        if (entry.wait_seconds or 0.0) <= 0:
            # It is due when it comes first, also if the clock has been set back by then.
            queued.due_at = WHEN_FIRST
        lane.behind.append(queued)
        return None

    def _lane(self, entry: Entry) -> LaneChange:
        key = (entry.queue, entry.lane)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = LaneChange(stored=self.snapshot.heads.get(key))
        return lane

    def _due_at(self, wait_seconds: float | None) -> float:
        return self.snapshot.now + max(0.0, wait_seconds) if wait_seconds else self.snapshot.now

    def _write_mark(self, mark: Mark) -> None:
        self.marks[mark.key] = mark
        if mark.value is None or (mark.expires_after_seconds is not None and mark.expires_after_seconds <= 0):
            self._values.pop(mark.key, None)
        else:
            self._values[mark.key] = mark.value

    def _lease(self, claimable: Sequence[QueuedEntry], lease: Lease) -> tuple[Claim, ...]:
        now = self.snapshot.now
        claims: list[Claim] = []
        for head in claimable:
            if head.due_at <= now and head.entry.queue == lease.queue:
                head.token = self._new_token()
                head.attempts = 1
                head.due_at = now + lease.seconds
                claims.append(Claim(entry=head.entry, token=head.token, attempt=1))
        return tuple(claims)
