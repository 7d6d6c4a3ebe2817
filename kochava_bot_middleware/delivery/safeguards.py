"""What a worker asks of the store before it sends a record: whose turn it is, and whether it was begun before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from ..queues.claims import Claimed
from ..store.contract import Store
from ..store.records import Claim, Entry, EntryState, Mark, Queue, Unit

PAGE = 100
"""Rows of a lane that are read at once."""

BEGUN_SECONDS = 90 * 86_400.0
"""For how long it is remembered that a request had begun. Its settlement removes the mark; this is for lost ones."""

LONGEST_WAIT_SECONDS = 300.0
"""For how long an install that fails holds up the person's events, or an impression its click."""

SHORTEST_TURN_SECONDS = 0.25
LONGEST_TURN_SECONDS = 300.0
"""How soon a record that must not be sent before another one asks again."""

REMEMBERED_LANES = 10_000
"""People of whom it is known that their install is not waited for."""


class Safeguards:
    """
    The questions about the claims of one queue. Each may raise a `StoreError`.

    Args:
        has_installs: Whether there may be installs.
        is_owned: Whether a claim is still this process's.
        begin: Called when work on a claim begins; from then on a shutdown does not release it.
    """

    def __init__(
        self,
        store: Store,
        *,
        has_installs: bool,
        is_owned: Callable[[Claimed], Awaitable[bool]],
        begin: Callable[[Claimed], None],
    ) -> None:
        self._store = store
        self._has_installs = has_installs
        self._installed: OrderedDict[str, None] = OrderedDict()
        self.is_owned = is_owned
        self.begin = begin

    def may_wait(self, entry: Entry) -> bool:
        """Whether `wait_seconds` has to ask the store."""
        if entry.queue == Queue.TRACK:
            return self._has_installs and entry.lane not in self._installed
        return entry.queue in (Queue.LINK, Queue.CLICK)

    async def wait_seconds(self, claim: Claim, age_seconds: float) -> float | None:
        """
        In how many seconds to ask again, if something of the person must be sent first.

        Kochava does not join an identity link to a person it does not know, so a link follows all that was recorded
        before it. Events follow the person's install, and a click its impression, though for a limited time.
        """
        entry = claim.entry
        if not self.may_wait(entry):
            return None
        # The longer it waits already, the less often it asks: what comes first may be in an outage of days.
        seconds = min(max(age_seconds / 4, SHORTEST_TURN_SECONDS), LONGEST_TURN_SECONDS)
        match entry.queue:
            case Queue.LINK:
                first = await self._predecessor(Queue.TRACK, entry) or await self._predecessor(Queue.INSTALL, entry)
                return None if first is None else seconds
            case Queue.CLICK:
                first = await self._predecessor(Queue.PING, entry)
            case _:
                first = await self._install(entry)
        left = 0.0 if first is None else LONGEST_WAIT_SECONDS - (age_seconds + entry.created_at - first.created_at)
        return min(seconds, left) if left > 0 else None

    async def note_begun(self, claim: Claim) -> None:
        """Write down that the request is about to be made."""
        await self._store.commit(Unit(marks=[_begun(claim, b"1", BEGUN_SECONDS)]))

    async def was_begun(self, claim: Claim) -> bool:
        """Whether a request had been begun that was never settled."""
        key = (claim.entry.lane, _begun(claim, None).key)
        return claim.is_takeover and key[1] in await self._store.recall([key])

    async def _install(self, entry: Entry) -> Entry | None:
        # There is one install at most, recorded with the person's first event.
        install = await self._predecessor(Queue.INSTALL, entry)
        if install is None:
            self._installed[entry.lane] = None
            if len(self._installed) > REMEMBERED_LANES:
                self._installed.popitem(last=False)
        return install

    async def _predecessor(self, queue: Queue, entry: Entry) -> Entry | None:
        """The first of the same lane in *queue* that was recorded before *entry* and is not settled."""
        after: str | None = None
        while rows := await self._store.browse(queue, lane=entry.lane, limit=PAGE, after=after):
            for row in rows:
                # They are in the order in which they were appended.
                if row.state in (EntryState.WAITING, EntryState.IN_FLIGHT):
                    return row.entry if row.entry.created_at <= entry.created_at else None
            after = rows[-1].entry.id
        return None


def end_of_begun(claim: Claim) -> Sequence[Mark]:
    """What removes the mark of `Safeguards.note_begun`."""
    return [_begun(claim, None)]


def _begun(claim: Claim, value: bytes | None, expires_after_seconds: float | None = None) -> Mark:
    entry = claim.entry
    key = f"begun:{entry.id}"
    return Mark(lane=entry.lane, key=key, value=value, expires_after_seconds=expires_after_seconds)
