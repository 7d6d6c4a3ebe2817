"""
Claims, reading and upkeep. What changes the file runs within a write transaction of its caller.

Each function is given the connection and the time, in seconds since the epoch. `dedupe_seconds` is how long the id of a
settled entry is remembered.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .. import probe
from ..day_counts import DayCounts, what_of
from ..records import Claim, Committed, CommitVerdict, DayCount, EntryState, Listed, Mark, QueueStats, Unit
from ..settings import NewToken
from . import statements as sql
from .commit import (
    add_counts,
    add_day_counts,
    commit_units,
    entry_of,
    insert,
    json_of,
    json_of_texts,
    next_place,
    recall,
    write_marks,
)

MOST_DAYS = 2**62
"""Beyond any day."""


def nothing(_connection: sqlite3.Connection, _now: float) -> None:
    """To have the file opened."""


def prove_writable(connection: sqlite3.Connection, now: float, *, dedupe_seconds: float) -> bool:
    """
    Write something, to which a file that can only be read fails, and take back what commits write; returns whether all
    of it was there.
    """
    next_place(connection)
    is_counted = connection.execute(sql.PROVE_WRITABLE).rowcount == 1
    connection.execute("SAVEPOINT probe")

    def committed(unit: Unit) -> Committed:
        (answer,) = commit_units(connection, [unit], now, new_token=lambda: probe.TOKEN, dedupe_seconds=dedupe_seconds)
        return answer

    def owned() -> int:
        return len(renew_leases(connection, now, claims=claims, lease_seconds=60.0))

    claims = committed(probe.beginning()).leased
    name = claims[0].entry.id
    is_kept = is_counted and owned() == 1 and committed(probe.end_of(claims[0])).verdict is CommitVerdict.COMMITTED
    is_kept = is_kept and owned() == 0 and not recall(connection, now, keys=[name])
    is_kept = is_kept and connection.execute(sql.DELETE_ENDED, (name,)).rowcount == 1
    connection.execute("ROLLBACK TO probe")
    connection.execute("RELEASE probe")
    return is_kept


def claim_heads(
    connection: sqlite3.Connection, now: float, *, queue: str, limit: int, lease_seconds: float, new_token: NewToken
) -> list[Claim]:
    """Lease up to *limit* due heads, longest due first."""
    expires_at = now + lease_seconds
    claims: list[Claim] = []
    leases: list[tuple[object, ...]] = []
    for place, attempts, is_leased, *columns in connection.execute(sql.DUE_HEADS, (queue, now, limit)):
        entry = entry_of(columns)
        claim = Claim(entry=entry, token=new_token(), attempt=attempts + 1, is_takeover=bool(is_leased))
        claims.append(claim)
        leases.append((claim.token, expires_at, claim.attempt, queue, place))
    if not claims:
        # An idle process notices it, too.
        next_place(connection)
    connection.executemany(sql.LEASE_HEAD, leases)
    return claims


def renew_leases(
    connection: sqlite3.Connection, now: float, *, claims: Sequence[Claim], lease_seconds: float
) -> list[Claim]:
    """Extend the leases whose token is still the head's."""
    expires_at = now + lease_seconds
    return [
        claim
        for claim in claims
        if connection.execute(sql.RENEW_HEAD, (expires_at, claim.token, claim.entry.queue, claim.entry.id)).rowcount
    ]


def next_due_in(connection: sqlite3.Connection, now: float, *, queue: str) -> float | None:
    """Seconds until the next head is due; ``None`` when the queue is empty."""
    (due_at,) = connection.execute(sql.NEXT_DUE, (queue,)).fetchone()
    return None if due_at is None else max(0.0, due_at - now)


def read_stats(connection: sqlite3.Connection, now: float) -> Mapping[str, QueueStats]:
    """The counts of every queue that ever accepted something. Costs the same however much waits."""
    stats = {}
    for queue, accepted, done, dead, dropped in connection.execute(sql.READ_COUNTS).fetchall():
        (in_flight,) = connection.execute(sql.IN_FLIGHT, (queue, now)).fetchone()
        first = connection.execute(sql.FIRST_HEAD, (queue,)).fetchone()
        stats[queue] = QueueStats(
            accepted=accepted,
            waiting=accepted - done - dead - dropped - in_flight,
            in_flight=in_flight,
            done=done,
            dead=dead,
            dropped=dropped,
            oldest_waiting_at=None if first is None else first[0],
        )
    return stats


def read_day_counts(
    connection: sqlite3.Connection, _now: float, *, since: int | None, until: int | None
) -> list[DayCount]:
    """See `Store.counts`."""
    between = (-MOST_DAYS if since is None else since, MOST_DAYS if until is None else until)
    rows = connection.execute(sql.READ_DAY_COUNTS, between)
    # A sum beyond 64 bits is a float.
    return DayCounts(DayCount(day, facts, what, n, int(amount)) for day, facts, what, n, amount in rows).rows()


def forget_day_counts(connection: sqlite3.Connection, _now: float, *, before: int) -> None:
    """Remove the counters of earlier days."""
    connection.execute(sql.DELETE_DAY_COUNTS, (before,))


def find(connection: sqlite3.Connection, now: float, *, entry_id: str, dedupe_seconds: float) -> Listed | None:
    """The entry of that id, whichever queue and state it is in."""
    values = {"id": entry_id, "now": now, "forgotten_at": now - dedupe_seconds}
    row = connection.execute(sql.FIND, values).fetchone()
    return None if row is None else _listed(row)


def read_page(
    connection: sqlite3.Connection,
    now: float,
    *,
    queue: str,
    state: EntryState | None,
    lane: str | None,
    limit: int,
    after: str | None,
    dedupe_seconds: float,
) -> list[Listed]:
    """The rows of a page of `Store.browse`."""
    place = -1
    if after is not None:
        row = connection.execute(sql.PLACE_OF, (after, now - dedupe_seconds)).fetchone()
        if row is None:
            return []
        (place,) = row
    statement = sql.page(state, of_lane=lane is not None)
    values = {"queue": queue, "lane": lane, "limit": limit, "after": place, "now": now}
    return [_listed(row) for row in connection.execute(statement, values)]


def read_history(
    connection: sqlite3.Connection, now: float, *, lanes: Sequence[str], limit: int, dedupe_seconds: float
) -> list[Listed]:
    """The rows of `Store.history`. Reads each row of the file."""
    values = {"lanes": json_of_texts(lanes), "limit": limit, "now": now, "forgotten_at": now - dedupe_seconds}
    return [_listed(row) for row in reversed(connection.execute(sql.HISTORY, values).fetchall())]


def retry_dead(connection: sqlite3.Connection, now: float, *, ids: Sequence[str]) -> int:
    """Put dead entries back at the end of their lanes."""
    place = first_place = next_place(connection)
    counts: Counter[tuple[str, str]] = Counter()
    day_counts = DayCounts()
    for entry_id in ids:
        row = connection.execute(sql.FIND_DEAD, (entry_id,)).fetchone()
        if row is None:
            continue
        old_place, queue, lane, created_at, label, reason = row
        is_head = connection.execute(sql.IS_BUSY, (lane, queue)).fetchone() is None
        connection.execute(sql.REVIVE, (place, now, old_place))
        if is_head:
            insert(connection, sql.HEADS, [(queue, place, created_at, 0, now, None, 0, "", "")])
        counts[queue, "dead"] -= 1
        counts[queue, "retried"] += 1
        day_counts.add_entry(label, what_of(EntryState.DEAD, reason=reason), -1)
        place += 1
    add_counts(connection, counts)
    add_day_counts(connection, day_counts)
    return place - first_place


def places_of_lanes(
    connection: sqlite3.Connection, _now: float, *, lanes: Sequence[str], first_place: int = 0
) -> tuple[list[int], int]:
    """The places of all rows of *lanes* from *first_place* on, and the next place. Reads each row of the file."""
    values = {"lanes": json_of_texts(lanes), "first_place": first_place}
    places = [place for (place,) in connection.execute(sql.PLACES_OF_LANES, values)]
    return places, next_place(connection)


def forget_lanes(
    connection: sqlite3.Connection,
    now: float,
    *,
    lanes: Sequence[str],
    found: tuple[Sequence[int], int],
    reason: str,
    tombstone: Mark,
) -> int:
    """
    Drop what lives or is dead in *lanes*, blank every row of them, and write *tombstone*.

    Args:
        found: What `places_of_lanes` found before; only rows that were appended since are looked at here.
    """
    earlier, first_place = found
    later, _ = places_of_lanes(connection, now, lanes=lanes, first_place=first_place)
    places = json_of([*earlier, *later])
    values = {"places": places, "reason": reason, "now": now}
    counts: Counter[tuple[str, str]] = Counter()
    day_counts = DayCounts()
    for queue, state, label, former_reason, count in connection.execute(sql.COUNT_UNSENT, values).fetchall():
        counts[queue, "dropped"] += count
        day_counts.add_entry(label, what_of(EntryState.DROPPED, reason=reason), count)
        if state is not None:
            counts[queue, state] -= count
            day_counts.add_entry(label, what_of(EntryState(state), reason=former_reason), -count)
    connection.execute(sql.DROP_UNSENT, values)
    connection.execute(sql.DELETE_HEADS, (places,))
    connection.execute(sql.BLANK_ENTRIES, values)
    add_counts(connection, counts)
    add_day_counts(connection, day_counts)
    write_marks(connection, [tombstone], now)
    return sum(count for (_, name), count in counts.items() if name == "dropped")


def purge_some(connection: sqlite3.Connection, now: float, *, ended_for_seconds: float, limit: int) -> int:
    """Purge up to *limit* dead and dropped rows that ended longer ago than that."""
    return connection.execute(sql.PURGE, (now - ended_for_seconds, limit)).rowcount


def sweep_some(
    connection: sqlite3.Connection, now: float, *, dedupe_seconds: float, longest_waits: Mapping[str, float], limit: int
) -> bool:
    """Remove or move up to *limit* rows of each kind; returns whether there may be more."""
    changed = [
        connection.execute(sql.SWEEP_IDS, (now - dedupe_seconds, limit)).rowcount,
        connection.execute(sql.SWEEP_MARKS, (now, limit)).rowcount,
        *(
            connection.execute(sql.SHORTEN_WAITS, (queue, now + longest, limit)).rowcount
            for queue, longest in longest_waits.items()
        ),
    ]
    return max(changed) == limit


def _listed(row: Sequence[Any]) -> Listed:
    _, *columns, state, attempts, reason, detail, due_at, ended_at, token = row
    return Listed(
        entry=entry_of(columns).as_listed(),
        state=EntryState(state),
        attempts=attempts,
        due_at=due_at,
        reason=reason,
        detail=detail,
        ended_at=ended_at,
        token=token,
    )
