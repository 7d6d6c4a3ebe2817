"""Claims, reading, and an operator's commands. Each function runs within a transaction of its own."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from ..day_counts import DayCounts, what_of
from ..plan import Lane, QueuedEntry
from ..records import Claim, DayCount, Entry, EntryState, Listed, Mark, QueueStats
from ..settings import NewToken
from . import statements as sql
from .commit import add_counts, add_day_counts, add_marks, add_new_heads, lock_heads
from .session import CombinedStatement, PostgresSession, columns, entry_of, from_text

SOME_ROWS = 500
"""How many rows a sweep or purge removes in one transaction, so that commits never wait long for it."""


class TokenSupply:
    """Gives tokens. A claim does not know beforehand how many it needs; what it did not use is for the next one."""

    def __init__(self, new_token: NewToken) -> None:
        self._new_token = new_token
        self._unused: deque[str] = deque()

    def __call__(self) -> str:
        return self._unused.popleft() if self._unused else self._new_token()

    def give_back(self, tokens: Sequence[str]) -> None:
        """Only what was surely not used may come back."""
        self._unused.extendleft(reversed(tokens))


async def claim_heads(
    session: PostgresSession, queue: str, limit: int, lease_seconds: float, tokens: TokenSupply
) -> list[Claim]:
    """Lease up to *limit* due heads, longest due first. What another process is just claiming is passed over."""
    given = [tokens() for _ in range(limit)]
    rows = await session.fetch(sql.CLAIM, queue, limit, lease_seconds, given)
    tokens.give_back(given[len(rows) :])
    return [
        Claim(entry=entry_of(entry), token=token, attempt=attempts, is_takeover=is_leased)
        for token, attempts, is_leased, *entry in rows
    ]


async def renew_leases(session: PostgresSession, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
    """Extend the leases whose token is still the head's."""
    if not claims:
        return []
    owned = columns([(claim.entry.queue, claim.entry.lane, claim.entry.id, claim.token) for claim in claims])
    renewed = {token for (token,) in await session.fetch(sql.RENEW, *owned, lease_seconds)}
    return [claim for claim in claims if claim.token in renewed]


async def next_due_in(session: PostgresSession, queue: str) -> float | None:
    """Seconds until the next head is due; ``None`` when the queue is empty."""
    rows = await session.fetch(sql.NEXT_DUE_IN, queue)
    return rows[0][0] if rows else None


async def recall(session: PostgresSession, keys: Sequence[str]) -> Mapping[str, bytes]:
    """The values of those state entries that exist and have not expired."""
    return {from_text(key): value for key, value in await session.fetch(sql.RECALL, keys)}


async def read_stats(session: PostgresSession) -> Mapping[str, QueueStats]:
    """The counts of every queue that ever accepted something. Costs the same however much waits."""
    return {
        from_text(queue): QueueStats(
            accepted=accepted,
            waiting=accepted - done - dead - dropped - in_flight,
            in_flight=in_flight,
            done=done,
            dead=dead,
            dropped=dropped,
            oldest_waiting_at=oldest,
        )
        for queue, accepted, done, dead, dropped, in_flight, oldest in await session.fetch(sql.STATS)
    }


async def read_day_counts(session: PostgresSession, since: int | None, until: int | None) -> list[DayCount]:
    """See `Store.counts`."""
    rows = await session.fetch(sql.READ_DAY_COUNTS, since, until)
    counts = (DayCount(day, from_text(facts), from_text(what), n, int(amount)) for day, facts, what, n, amount in rows)
    return DayCounts(counts).rows()


async def forget_day_counts(session: PostgresSession, before: int) -> None:
    """Remove the counters of earlier days."""
    await session.fetch(sql.FORGET_DAY_COUNTS, before)


async def join_day_counts(session: PostgresSession) -> None:
    """Put the counters of connections that ended together, unless another process does."""
    if await session.value(sql.LOCK_DAY_COUNTS):
        await session.fetch(sql.JOIN_DAY_COUNTS)


async def browse(
    session: PostgresSession, queue: str, *, state: EntryState | None, lane: str | None, limit: int, after: str | None
) -> list[Listed]:
    """See `Store.browse`."""
    states = [each for each in EntryState if each is not EntryState.DONE] if state is None else [state]
    if lane is None:
        rows = await session.fetch(sql.listing(states), queue, after, limit)
    else:
        rows = await session.fetch(sql.LIST_LANE, queue, after, limit, lane, [each.value for each in states])
    return list(map(_listed, rows))


async def find(session: PostgresSession, entry_id: str) -> Listed | None:
    """The entry of that id, whichever queue and state it is in."""
    rows = await session.fetch(sql.FIND, entry_id)
    return _listed(rows[0]) if rows else None


async def history(session: PostgresSession, lanes: Sequence[str], limit: int) -> list[Listed]:
    """See `Store.history`."""
    return list(map(_listed, reversed(await session.fetch(sql.HISTORY, list(lanes), limit))))


async def retry_dead(session: PostgresSession, ids: Sequence[str]) -> int:
    """Put dead entries back at the end of their lanes, in the order of *ids*."""
    await session.fetch(sql.LOCK_UPKEEP)
    dead: dict[str, Entry] = {}
    day_counts = DayCounts()
    for reason, *row in await session.fetch(sql.LOCK_DEAD, list(ids)):
        entry = entry_of(row)
        dead[entry.id] = entry
        day_counts.add_entry(entry.label, what_of(EntryState.DEAD, reason=from_text(reason)), -1)
    retried = [dead[id_] for id_ in dict.fromkeys(ids) if id_ in dead]
    if not retried:
        return 0
    lanes = sorted({(entry.queue, entry.lane) for entry in retried})
    now, heads = await lock_heads(session, sql.LOCK_HEADS, *columns(lanes))
    places = sorted(place for (place,) in await session.fetch(sql.PLACES, len(retried)))
    moved = [(entry.id, place) for entry, place in zip(retried, places, strict=True)]
    new_heads: dict[Lane, QueuedEntry] = {}
    for entry, (_, place) in zip(retried, moved, strict=True):
        if (entry.queue, entry.lane) not in heads:
            new_heads.setdefault((entry.queue, entry.lane), QueuedEntry(entry=entry, place=place, due_at=now))
    writes = CombinedStatement()
    writes.add("retried_entries", sql.RETRIED_ENTRIES, moved, now)
    add_new_heads(writes, list(new_heads.values()))
    add_counts(writes, {(queue, "dead"): -count for queue, count in Counter(e.queue for e in retried).items()})
    add_day_counts(writes, day_counts)
    await writes.run(session)
    return len(retried)


async def forget_lanes(session: PostgresSession, lanes: Sequence[str], reason: str, tombstone: Mark) -> int:
    """Drop what is not settled, or dead, in *lanes* of every queue, blank all their rows, and write *tombstone*."""
    await session.fetch(sql.LOCK_UPKEEP)
    wanted = list(lanes)
    now, heads = await lock_heads(session, sql.LOCK_HEADS_OF_LANES, wanted)
    # A lane that was empty when it should have been locked was not locked: what is in it now came later and stays.
    locked = columns(list(heads)) or [[], []]
    counts: Counter[tuple[str, str]] = Counter()
    day_counts = DayCounts()
    for queue, state, label, former_reason, count in await session.fetch(sql.FORGET, wanted, *locked, reason, now):
        counts[from_text(queue), "dropped"] += count
        day_counts.add_entry(from_text(label), what_of(EntryState.DROPPED, reason=reason), count)
        if state is not None:
            counts[from_text(queue), state] -= count
            what = what_of(EntryState(state), reason=from_text(former_reason))
            day_counts.add_entry(from_text(label), what, -count)
    writes = CombinedStatement()
    add_marks(writes, [tombstone], now)
    add_counts(writes, counts)
    add_day_counts(writes, day_counts)
    await writes.run(session)
    return sum(count for (_, name), count in counts.items() if name == "dropped")


async def purge_some(session: PostgresSession, ended_for_seconds: float) -> int:
    """Remove up to `SOME_ROWS` rows that ended longer ago than that, but for the memory of their ids."""
    return int(await session.value(sql.PURGE, ended_for_seconds, SOME_ROWS))


async def sweep_some(session: PostgresSession, longest_waits: Mapping[str, float]) -> bool:
    """
    Remove what has expired and bound the waits, up to `SOME_ROWS` rows of each; returns whether there may be more.
    """
    queues, longest = list(longest_waits), list(longest_waits.values())
    return bool(await session.value(sql.SWEEP, SOME_ROWS, queues, longest) == SOME_ROWS)


def _listed(row: Sequence[Any]) -> Listed:
    _, state, attempts, reason, detail, due_at, ended_at, token, *entry = row
    return Listed(
        entry=entry_of(entry).as_listed(),
        state=EntryState(state),
        attempts=attempts,
        due_at=due_at,
        reason=from_text(reason),
        detail=from_text(detail),
        ended_at=ended_at,
        token=token,
    )
