"""
The events of this process: on their way into the store, and in flight: stored and leased or, while the store fails, at
risk.

Bookkeeping only; nothing here calls the store. Of one lane at most one leased event is in flight, since the store
leases only heads. Events at risk follow in the order they came, but never overtake what this process has stored before,
whichever process handles that: while the store cannot be asked how far it is, they wait until they are stored, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from ..messenger.events import Event
from ..queues.claims import Claimed
from ..store.records import Claim, Committed, Entry

MOST_WAITING = 20_000
"""Of how many lanes it is remembered that the store has something of them; beyond that, the oldest are forgotten."""


class Admission:
    """
    The new events of one webhook. Must be made in the running event loop.

    Attributes:
        events: What is to be stored, each with its event.
        waiter: Done when waiting is over: because this has ended, or because it takes too long.
        has_ended: The store has the events, or will never have them.
        error: Why it will never have them.
        together: All that are stored in one unit, this one included.
        task: What stores them.
        is_given_up: Nobody waits for it any more.
    """

    __slots__ = ("error", "events", "has_ended", "is_given_up", "task", "together", "waiter")

    def __init__(self, events: Sequence[tuple[Entry, Event]]) -> None:
        self.events = events
        self.waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_ended = False
        self.error: Exception | None = None
        self.together: Sequence[Admission] = ()
        self.task: asyncio.Task[Any] | None = None
        self.is_given_up = False

    def end(self, error: Exception | None = None) -> None:
        """The events are stored or, with an *error*, never will be."""
        self.has_ended = True
        self.error = error
        _finish(self.waiter)


class WaitLimit:
    """
    Ends waits that take too long. One timer serves all of them, since nearly none of them needs it.

    Args:
        seconds: How long each may take.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, waiter: asyncio.Future[None]) -> None:
        """Return when *waiter* is done; when the time is over, it is given ``None``."""
        loop, waiting = asyncio.get_running_loop(), self._waiting
        while waiting and waiting[0][1].done():
            waiting.popleft()
        deadline = loop.time() + self._seconds
        waiting.append((deadline, waiter))
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._expire, loop)
        await waiter

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting, now = self._waiting, loop.time()
        while waiting and (waiting[0][0] <= now or waiting[0][1].done()):
            _finish(waiting.popleft()[1])
        self._timer = loop.call_at(waiting[0][0], self._expire, loop) if waiting else None


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Flag:
    """
    Is set once, and can be waited for. Nothing waits while the store works, so the `asyncio.Event` behind it is made
    only when it is needed.
    """

    __slots__ = ("_event", "_is_set")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._event: asyncio.Event | None = None

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it."""
        self._is_set = True
        if self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        """Return once it is set."""
        if self._is_set:
            return
        if self._event is None:
            self._event = asyncio.Event()
        await self._event.wait()


ALREADY = Flag(is_set=True)
"""Of events that are leased: they are stored, and need not become ready."""


@attrs.define(eq=False, kw_only=True)
class InFlightEvent:
    """
    One event that this process handles.

    Attributes:
        entry: The event as stored.
        event: As it came; ``None`` when it was read from the store.
        claimed: Proves that it is ours. ``None`` while it is only in memory, and once the lease is lost.
        before: Of an event at risk: the one it follows.
        after: The event at risk that follows.
        is_begun: Its handler has been started.
        is_handled: Its handler has ended.
        ready: Of an event at risk: it may be handled, or is stored by now.
        stored: The store has it, or will never have it.
        ended: It is settled, or no longer ours.
    """

    entry: Entry
    event: Event | None = None
    claimed: Claimed | None = None
    before: InFlightEvent | None = None
    after: InFlightEvent | None = None
    is_begun: bool = False
    is_handled: bool = False
    ready: Flag = ALREADY
    stored: Flag = ALREADY
    ended: Flag = attrs.field(factory=Flag)

    @property
    def claim(self) -> Claim | None:
        """The claim, if there is one."""
        return None if self.claimed is None else self.claimed.claim


class InFlight:
    """All events in flight."""

    def __init__(self) -> None:
        self._by_id: dict[str, InFlightEvent] = {}
        self._heads: dict[str, InFlightEvent] = {}
        self._tails: dict[str, InFlightEvent] = {}
        # By lane, the last that the store got from this process and that this process has not claimed since.
        self._waiting: dict[str, str] = {}
        self._at_risk: set[str] = set()

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, entry_id: object) -> bool:
        return entry_id in self._by_id

    @property
    def at_risk(self) -> int:
        """How many are only in memory."""
        return len(self._at_risk)

    def lease(self, claimed: Claimed, event: Event | None = None) -> tuple[InFlightEvent, bool]:
        """
        Add an event that was claimed.

        Args:
            event: Given when it was stored by the commit that leased it, which shows that its lane was empty.

        Returns:
            The event, and whether it is new: it is not if it was at risk, and the store has it now.
        """
        entry = claimed.claim.entry
        known = self._by_id.get(entry.id)
        found = known or InFlightEvent(entry=entry, event=event)
        found.claimed = claimed
        found.stored.set()
        self._comes_first(entry, was_empty=event is not None)
        self._by_id[entry.id] = self._heads[entry.lane] = found
        return found, known is None

    def hold(self, entry: Entry, event: Event) -> InFlightEvent | None:
        """Add an event at risk; ``None`` if it is in flight already."""
        if entry.id in self._by_id:
            return None
        before = self._tails.get(entry.lane) or self._heads.get(entry.lane)
        added = InFlightEvent(entry=entry, event=event, before=before, ready=Flag(), stored=Flag())
        if before is not None:
            before.after = added
        if (before is None or before.is_handled) and entry.lane not in self._waiting:
            added.ready.set()
        self._by_id[entry.id] = self._tails[entry.lane] = added
        self._at_risk.add(entry.id)
        return added

    def written(self, entries: Iterable[Entry], committed: Committed) -> None:
        """The store has *entries* now; `lease` was called before for those that it leased."""
        gone = {claim.entry.id for claim in committed.leased}.union(committed.set_aside)
        fresh = set(committed.appended)
        for entry in entries:
            self._at_risk.discard(entry.id)
            found = self._by_id.get(entry.id)
            if found is None:
                if entry.id not in gone:
                    self._waits(entry, is_last=entry.id in fresh)
                continue
            if found.claimed is None and not found.is_begun and entry.id not in gone:
                # It is not begun any more: it is handled once it is claimed.
                self._waits(entry)
            found.stored.set()
            found.ready.set()

    def refused(self, entries: Iterable[Entry]) -> None:
        """The store will never have *entries*; what is begun ends without it."""
        for entry in entries:
            self._at_risk.discard(entry.id)
            found = self._by_id.get(entry.id)
            if found is not None:
                found.stored.set()
                found.ready.set()

    def handled(self, ended: InFlightEvent) -> None:
        """Its handler has ended, well or not."""
        ended.is_handled = True
        if ended.after is not None and ended.entry.lane not in self._waiting:
            ended.after.ready.set()

    def leave(self, ended: InFlightEvent) -> None:
        """It is settled, or no longer ours."""
        lane = ended.entry.lane
        if self._by_id.get(ended.entry.id) is ended:
            del self._by_id[ended.entry.id]
        is_head = self._heads.get(lane) is ended
        if is_head:
            del self._heads[lane]
        if self._tails.get(lane) is ended:
            del self._tails[lane]
        if is_head and not ended.is_begun:
            # Its lease lapsed. Whichever process handles it, it comes first.
            self._waits(ended.entry, is_last=False)
        ended.ended.set()
        ended.before = ended.after = None

    def _waits(self, entry: Entry, *, is_last: bool = True) -> None:
        """
        The store has *entry*, which this process has not claimed, or no longer.

        Args:
            is_last: It was appended just now. One that was stored before may be handled already, or be followed by
                others.
        """
        if is_last:
            self._waiting.pop(entry.lane, None)
        self._waiting.setdefault(entry.lane, entry.id)
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]

    def _comes_first(self, entry: Entry, *, was_empty: bool) -> None:
        if was_empty or self._waiting.get(entry.lane) == entry.id:
            self._waiting.pop(entry.lane, None)
