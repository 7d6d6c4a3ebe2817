"""
What this process has in hand: the events it handles, whether stored and leased or, while the store fails, at risk.

Bookkeeping only; nothing here waits for the store. Of one lane at most one leased event is in hand, since the store
leases only heads. Events at risk follow in the order they came, but never overtake what waits in the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import attrs

from ..messenger.events import Event
from ..store.records import Claim, Committed, Entry

REMEMBERED = 10_000
"""How many events that were handled without a claim are remembered, so that this process does not run them again."""


class Moment:
    """
    Something that happens once and can be waited for. Nobody does while the store works, so the event that would wake
    them is made only when it is needed.
    """

    __slots__ = ("_event", "_happened")

    def __init__(self) -> None:
        self._happened = False
        self._event: asyncio.Event | None = None

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._happened

    def set(self) -> None:
        """It happens now."""
        self._happened = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        """Return once it has happened."""
        if self._happened:
            return
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()


@attrs.define(eq=False, kw_only=True)
class InFlightEvent:
    """
    One event in the hands of this process.

    Attributes:
        entry: The event as stored.
        event: As it came; ``None`` when it was read from the store.
        claim: Proves that it is ours; renewed now and then. ``None`` while it is only in memory.
        before: Of an event at risk: whom it follows.
        after: The event at risk that follows.
        ready: Of an event at risk: its predecessor has been handled.
        begun: Its handler has been started.
        stirred: Of an event at risk: something changed.
        stored: The store has it.
        handled: Its handler has ended.
        ended: It is settled, or no longer ours.
    """

    entry: Entry
    event: Event | None = None
    claim: Claim | None = None
    before: InFlightEvent | None = None
    after: InFlightEvent | None = None
    ready: bool = False
    begun: bool = False
    handled: bool = False
    stirred: Moment = attrs.field(factory=Moment)
    stored: Moment = attrs.field(factory=Moment)
    ended: Moment = attrs.field(factory=Moment)


class InFlight:
    """All events in hand."""

    def __init__(self) -> None:
        self._by_id: dict[str, InFlightEvent] = {}
        self._heads: dict[str, InFlightEvent] = {}
        self._tails: dict[str, InFlightEvent] = {}
        # By lane, in order: what the store has behind what is in hand, as far as this process knows.
        self._waiting: dict[str, dict[str, None]] = {}
        self._at_risk: set[str] = set()
        self._handled_unclaimed: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._by_id

    @property
    def at_risk(self) -> int:
        """How many are only in memory."""
        return len(self._at_risk)

    @property
    def claims(self) -> list[Claim]:
        """All leases held."""
        return [run.claim for run in self._by_id.values() if run.claim is not None]

    def unbegun(self) -> list[Claim]:
        """The leases of what nobody has begun to handle."""
        return [run.claim for run in self._by_id.values() if run.claim is not None and not run.begun]

    def lease(self, claim: Claim, event: Event | None = None) -> InFlightEvent | None:
        """
        Take *claim* in hand.

        Returns:
            A new run; ``None`` if the event is in hand already: an event at risk that the store has now, or one whose
            lease lapsed and that this process took over from itself.
        """
        entry = claim.entry
        known = self._by_id.get(entry.id)
        run = known or InFlightEvent(entry=entry, event=event)
        run.claim = claim
        run.stored.set()
        self._comes_first(entry, was_empty=event is not None)
        self._by_id[entry.id] = self._heads[entry.lane] = run
        return None if known else run

    def hold(self, entry: Entry, event: Event) -> InFlightEvent | None:
        """Take an event at risk in hand; ``None`` if it is in hand already."""
        if entry.id in self._by_id:
            return None
        before = self._tails.get(entry.lane) or self._heads.get(entry.lane)
        run = InFlightEvent(entry=entry, event=event, before=before)
        if before is not None:
            before.after = run
        run.ready = (before is None or before.handled) and entry.lane not in self._waiting
        if run.ready:
            run.stirred.set()
        self._by_id[entry.id] = self._tails[entry.lane] = run
        self._at_risk.add(entry.id)
        return run

    def written(self, entries: Iterable[Entry], committed: Committed) -> None:
        """The store has *entries* now; those it leased to us have been taken in hand before this call."""
        fresh = set(committed.appended).difference(claim.entry.id for claim in committed.leased)
        for entry in entries:
            self._at_risk.discard(entry.id)
            run = self._by_id.get(entry.id)
            if run is None:
                if entry.id in fresh:
                    self._waits(entry)
                continue
            if run.claim is None and not run.begun:
                # Nobody begins it now: its turn comes by the store.
                self._waits(entry)
            run.stored.set()
            run.stirred.set()

    def given_up(self, entries: Iterable[Entry]) -> None:
        """The store will never have *entries*; what is begun ends without it."""
        for entry in entries:
            self._at_risk.discard(entry.id)
            run = self._by_id.get(entry.id)
            if run is not None:
                run.stored.set()
                run.stirred.set()

    def has_handled(self, run: InFlightEvent) -> None:
        """The handler has ended, well or not."""
        run.handled = True
        after = run.after
        if after is not None and run.entry.lane not in self._waiting:
            after.ready = True
            after.stirred.set()

    def remember_unclaimed(self, entry_id: str) -> None:
        """It was handled and recorded, but the store's entry is not ours to settle, yet."""
        self._handled_unclaimed[entry_id] = None
        while len(self._handled_unclaimed) > REMEMBERED:
            del self._handled_unclaimed[next(iter(self._handled_unclaimed))]

    def was_handled(self, entry_id: str) -> bool:
        """Whether this process handled it without owning it. Asked once: then it is forgotten."""
        return self._handled_unclaimed.pop(entry_id, False) is None

    def renewed(self, claims: Iterable[Claim]) -> None:
        """Leases were extended."""
        for claim in claims:
            run = self._by_id.get(claim.entry.id)
            if run is not None and run.claim is not None and run.claim.token == claim.token:
                run.claim = claim

    def leave(self, run: InFlightEvent) -> None:
        """It is settled, or no longer ours."""
        lane = run.entry.lane
        if self._by_id.get(run.entry.id) is run:
            del self._by_id[run.entry.id]
        is_head = self._heads.get(lane) is run
        if is_head:
            del self._heads[lane]
        if self._tails.get(lane) is run:
            del self._tails[lane]
        if is_head and not run.begun:
            # Its lease lapsed. Whoever handles it, it comes first.
            self._waiting[lane] = {run.entry.id: None, **self._waiting.get(lane, {})}
        elif lane not in self._heads and lane not in self._tails:
            # Another process may go on with the lane, and would not tell.
            self._waiting.pop(lane, None)
        run.ended.set()
        run.before = run.after = None

    def _waits(self, entry: Entry) -> None:
        lane = entry.lane
        if lane in self._heads or lane in self._tails or lane in self._waiting:
            self._waiting.setdefault(lane, {})[entry.id] = None

    def _comes_first(self, entry: Entry, *, was_empty: bool) -> None:
        waiting = self._waiting.get(entry.lane)
        if waiting is None:
            return
        if was_empty:
            waiting.clear()
        elif entry.id in waiting:
            for entry_id in tuple(waiting):
                del waiting[entry_id]
                if entry_id == entry.id:
                    break
        if not waiting:
            del self._waiting[entry.lane]
