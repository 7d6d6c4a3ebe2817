"""Claims, reading, and an operator's commands. Each function runs within a transaction of its own."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from ..page import without_private_body
from ..records import Claim, EntryState, Listed, Mark, QueueStats
from ..settings import NewToken
from . import statements as sql
from .commit import add_counts, add_heads, add_marks, lock_heads, take_places
from .session import CombinedStatement, PostgresSession, columns, entry_of, from_text, to_text


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
    session: PostgresSession, *, queue: str, limit: int, lease_seconds: float, tokens: TokenSupply
) -> list[Claim]:
    """Lease up to *limit* due heads, longest due first. What another process is just claiming is passed over."""
    given = [tokens() for _ in range(limit)]
    rows = await session.fetch(sql.CLAIM, to_text(queue), limit, lease_seconds, given)
    tokens.give_back(given[len(rows) :])
    return [Claim(entry=entry_of(entry), token=token, attempt=attempts) for token, attempts, *entry in rows]


async def renew_leases(session: PostgresSession, *, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
    """Extend the leases whose token is still the head's."""
    if not claims:
        return []
    owned = [
        (to_text(claim.entry.queue), to_text(claim.entry.lane), to_text(claim.entry.id), claim.token)
        for claim in claims
    ]
    renewed = {token for (token,) in await session.fetch(sql.RENEW, *columns(owned), lease_seconds)}
    return [claim for claim in claims if claim.token in renewed]


async def next_due_in(session: PostgresSession, *, queue: str) -> float | None:
    """Seconds until the next head is due; ``None`` when the queue is empty."""
    rows = await session.fetch(sql.NEXT_DUE_IN, to_text(queue))
    return rows[0][0] if rows else None


async def recall(session: PostgresSession, *, keys: Sequence[str]) -> Mapping[str, bytes]:
    """The values of those state entries that exist and have not expired."""
    return {from_text(key): value for key, value in await session.fetch(sql.RECALL, list(map(to_text, keys)))}


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


async def browse(
    session: PostgresSession,
    *,
    queue: str,
    states: Sequence[EntryState],
    lane: str | None,
    limit: int,
    after: str | None,
    dedupe_seconds: float,
) -> list[Listed]:
    """A page of entries in these states, in the order of appending."""
    asked = [to_text(queue), None if after is None else to_text(after), limit, dedupe_seconds]
    if lane is None:
        rows = await session.fetch(sql.listing(states), *asked)
    else:
        rows = await session.fetch(sql.LIST_LANE, *asked, to_text(lane), [state.value for state in states])
    return list(map(_listed, rows))


async def find(session: PostgresSession, *, entry_id: str, dedupe_seconds: float) -> Listed | None:
    """The entry of that id, whichever queue and state it is in."""
    rows = await session.fetch(sql.FIND, to_text(entry_id), dedupe_seconds)
    return _listed(rows[0]) if rows else None


async def retry_dead(session: PostgresSession, *, ids: Sequence[str], dedupe_seconds: float) -> int:
    """Put dead entries back at the end of their lanes, in the order of *ids*."""
    await session.fetch(sql.LOCK_UPKEEP)
    dead = {id_: (queue, lane) for id_, queue, lane in await session.fetch(sql.LOCK_DEAD, list(map(to_text, ids)))}
    retried = [(id_, *dead[id_]) for id_ in dict.fromkeys(map(to_text, ids)) if id_ in dead]
    if not retried:
        return 0
    now, heads = await lock_heads(session, sql.LOCK_HEADS, *columns(sorted(set(dead.values()))))
    places, _ = await take_places(session, list(dead), dedupe_seconds)
    moved: list[tuple[str, int]] = []
    new_heads: dict[tuple[str, str], Sequence[Any]] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for id_, queue, lane in retried:
        place = next(places)
        moved.append((id_, place))
        counts[from_text(queue), "dead"] -= 1
        if (from_text(queue), from_text(lane)) not in heads:
            new_heads.setdefault((queue, lane), (queue, lane, place, id_, now, None, 0))
    writes = CombinedStatement()
    writes.add("retried_entries", sql.RETRIED_ENTRIES, *columns(moved), now)
    add_heads(writes, list(new_heads.values()), are_new=True)
    add_counts(writes, counts)
    await writes.run(session)
    return len(retried)


async def forget_lanes(session: PostgresSession, *, lanes: Sequence[str], reason: str, tombstone: Mark) -> int:
    """Drop what is not settled, or dead, in *lanes* of every queue, blank all their rows, and write *tombstone*."""
    await session.fetch(sql.LOCK_UPKEEP)
    wanted = list(map(to_text, lanes))
    now, heads = await lock_heads(session, sql.LOCK_HEADS_OF_LANES, wanted)
    # A lane that was empty when it should have been locked was not locked: what is in it now came later and stays.
    locked = columns([(to_text(queue), to_text(lane)) for queue, lane in heads]) or [[], []]
    counts: Counter[tuple[str, str]] = Counter()
    for queue, dropped, dead in await session.fetch(sql.FORGET, wanted, *locked, to_text(reason), now):
        counts[from_text(queue), "dropped"] += dropped
        counts[from_text(queue), "dead"] -= dead
    writes = CombinedStatement()
    add_marks(writes, [tombstone], now)
    add_counts(writes, counts)
    await writes.run(session)
    return sum(count for (_, name), count in counts.items() if name == "dropped")


async def purge_some(session: PostgresSession, *, ended_for_seconds: float, limit: int) -> int:
    """Remove up to *limit* rows that ended longer ago than that, but for the memory of their ids."""
    return int(await session.value(sql.PURGE, ended_for_seconds, limit))


async def sweep_some(
    session: PostgresSession, *, longest_waits: Mapping[str, float], dedupe_seconds: float, limit: int
) -> bool:
    """Remove what has expired and bound the waits, up to *limit* rows of each; returns whether there may be more."""
    queues, longest = list(map(to_text, longest_waits)), list(longest_waits.values())
    return bool(await session.value(sql.SWEEP, dedupe_seconds, limit, queues, longest) == limit)


def _listed(row: Sequence[Any]) -> Listed:
    _, state, attempts, reason, detail, due_at, ended_at, *entry = row
    return Listed(
        entry=without_private_body(entry_of(entry)),
        state=EntryState(state),
        attempts=attempts,
        due_at=due_at,
        reason=from_text(reason),
        detail=from_text(detail),
        ended_at=ended_at,
    )
