"""
What many units change, decided in memory: each against what the units before it left. Nothing here knows SQL.

So a unit that is refused has changed nothing, and no savepoint is needed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

import attrs

from ..records import Claim, Committed, CommitVerdict, Condition, Entry, Lease, Mark, Outcome, Settlement, Unit
from ..settings import NewToken

Lane = tuple[str, str]
"""Queue and lane."""


@attrs.frozen(kw_only=True)
class StoredHead:
    """A lane's first entry as it was before."""

    place: int
    id: str
    token: str | None
    attempts: int


@attrs.define(kw_only=True)
class NewHead:
    """What becomes the first entry of its lane, or waits behind it."""

    entry: Entry
    place: int
    due_at: float
    token: str | None = None
    attempts: int = 0


@attrs.frozen(kw_only=True)
class KeptHead:
    """A head that was given back. Without a `reason` it keeps its former one."""

    due_at: float
    is_uncounted: bool
    reason: str | None
    detail: str | None


@attrs.frozen(kw_only=True)
class Ended:
    """An entry that is settled for good."""

    head: StoredHead
    queue: str
    settlement: Settlement


@attrs.define(kw_only=True)
class LaneChange:
    """
    One lane, as the units so far leave it.

    Attributes:
        stored: Its head as it was; ``None`` when the lane was empty.
        is_stored_gone: Whether that was settled.
        kept: How it was given back.
        head: Its new head.
        behind: What was appended behind the head.
    """

    stored: StoredHead | None
    is_stored_gone: bool = False
    kept: KeptHead | None = None
    head: NewHead | None = None
    behind: deque[NewHead] = attrs.field(factory=deque)

    @property
    def is_busy(self) -> bool:
        return self.head is not None or (self.stored is not None and not self.is_stored_gone)


@attrs.frozen(kw_only=True)
class Known:
    """
    What the decisions rest on, read under locks.

    Attributes:
        now: Wall-clock seconds since the epoch.
        heads: Of the lanes that units touch, where they have one.
        successors: Place and entry of what follows a head that may be settled.
        seen: Ids that were seen before.
        places: As many as there are appends, ascending.
        marks: Values of living marks that have a condition.
    """

    now: float
    heads: Mapping[Lane, StoredHead]
    successors: Mapping[Lane, tuple[int, Entry]]
    seen: frozenset[str]
    places: Sequence[int]
    marks: Mapping[str, bytes]


class Plan:
    """
    Decides units one after the other; its attributes are then what is to be written.

    Attributes:
        lanes: What becomes of each lane that a unit touches.
        entries: The new ones with their places.
        ended: What is settled for good.
        marks: The last change of each key.
        judged: Keys on whose value a unit rests.
    """

    def __init__(self, known: Known, new_token: NewToken) -> None:
        self.known = known
        self.lanes: dict[Lane, LaneChange] = {}
        self.entries: list[tuple[int, Entry]] = []
        self.ended: list[Ended] = []
        self.marks: dict[str, Mark] = {}
        self.judged: set[str] = set()
        self._new_token = new_token
        self._places = iter(known.places)
        self._seen = set(known.seen)
        self._values = dict(known.marks)

    def decide(self, unit: Unit) -> Committed:
        """Add what *unit* changes, unless it is refused."""
        refusal = self._refusal(unit)
        if refusal is not None:
            return refusal
        claimable = [head for settlement in unit.settlements if (head := self._settle(settlement)) is not None]
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
        return Committed(
            verdict=CommitVerdict.COMMITTED,
            appended=tuple(appended),
            repeated=tuple(repeated),
            leased=() if unit.lease is None else tuple(self._lease(claimable, unit.lease)),
        )

    def _refusal(self, unit: Unit) -> Committed | None:
        settled: set[str] = set()
        for settlement in unit.settlements:
            entry = settlement.claim.entry
            lane = self._lane(entry)
            head = lane.stored
            is_owned = head is not None and head.id == entry.id and head.token == settlement.claim.token
            if not is_owned or lane.is_stored_gone or lane.kept is not None or entry.id in settled:
                return Committed(verdict=CommitVerdict.LEASE_LOST, failed_key=entry.id)
            settled.add(entry.id)
        for mark in unit.marks:
            if mark.condition is Condition.ALWAYS:
                continue
            self.judged.add(mark.key)
            expected = None if mark.condition is Condition.IF_ABSENT else mark.expected
            if self._values.get(mark.key) != expected:
                return Committed(verdict=CommitVerdict.CONDITION_FAILED, failed_key=mark.key)
        return None

    def _settle(self, settlement: Settlement) -> NewHead | None:
        """End a claim; returns the head this made claimable."""
        entry = settlement.claim.entry
        lane = self._lane(entry)
        now = self.known.now
        if settlement.outcome is Outcome.RELEASE:
            lane.kept = KeptHead(due_at=now, is_uncounted=True, reason=None, detail=None)
            return None
        if settlement.outcome is Outcome.RETRY:
            due_at = max(now, settlement.retry_at or now)
            lane.kept = KeptHead(due_at=due_at, is_uncounted=False, reason=settlement.reason, detail=settlement.detail)
            return None
        assert lane.stored is not None
        self.ended.append(Ended(head=lane.stored, queue=entry.queue, settlement=settlement))
        lane.is_stored_gone = True
        successor = self.known.successors.get((entry.queue, entry.lane))
        if successor is not None:
            place, next_entry = successor
            lane.head = NewHead(entry=next_entry, place=place, due_at=self._due_at(next_entry))
        elif lane.behind:
            lane.head = lane.behind.popleft()
        return lane.head

    def _append(self, entry: Entry) -> NewHead | None:
        """Add an entry; returns it as a head if its lane was empty."""
        place = next(self._places)
        self._seen.add(entry.id)
        self.entries.append((place, entry))
        head = NewHead(entry=entry, place=place, due_at=self._due_at(entry))
        lane = self._lane(entry)
        if lane.is_busy:
            lane.behind.append(head)
            return None
        lane.head = head
        return head

    def _lane(self, entry: Entry) -> LaneChange:
        key = (entry.queue, entry.lane)
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = LaneChange(stored=self.known.heads.get(key))
        return lane

    def _due_at(self, entry: Entry) -> float:
        return self.known.now if entry.due_at is None else max(self.known.now, entry.due_at)

    def _write_mark(self, mark: Mark) -> None:
        self.marks[mark.key] = mark
        if mark.value is None or (mark.expires_at is not None and mark.expires_at <= self.known.now):
            self._values.pop(mark.key, None)
        else:
            self._values[mark.key] = mark.value

    def _lease(self, claimable: Sequence[NewHead], lease: Lease) -> Iterator[Claim]:
        for head in claimable:
            if head.entry.queue == lease.queue and head.due_at <= self.known.now:
                head.token = self._new_token()
                head.attempts = 1
                head.due_at = self.known.now + lease.seconds
                yield Claim(entry=head.entry, token=head.token, expires_at=head.due_at, attempt=1)
