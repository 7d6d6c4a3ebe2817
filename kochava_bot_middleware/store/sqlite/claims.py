"""
Leasing lane heads, and what else changes the file outside of a commit. Each function runs within a write transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import attrs

from ..records import Claim, Mark
from ..settings import NewToken
from . import statements as sql
from .commit import write_marks
from .counts import Counts, next_place, set_next_place
from .dependencies import entry_of, json_text
from .rows import insert


def claim_heads(
    connection: sqlite3.Connection,
    now: float,
    *,
    queue: str,
    limit: int,
    lease_seconds: float,
    at_most_ahead_seconds: float | None,
    new_token: NewToken,
) -> list[Claim]:
    """Lease up to *limit* due heads, longest due first."""
    furthest = None if at_most_ahead_seconds is None else now + at_most_ahead_seconds
    if furthest is not None:
        connection.execute(sql.SHORTEN_LEASES, (queue, furthest))
    expires_at = now + lease_seconds
    claims: list[Claim] = []
    leases: list[tuple[object, ...]] = []
    for place, attempts, *columns in connection.execute(sql.DUE_HEADS, (queue, now, limit, furthest)):
        claim = Claim(entry=entry_of(columns), token=new_token(), expires_at=expires_at, attempt=attempts + 1)
        claims.append(claim)
        leases.append((claim.token, expires_at, claim.attempt, queue, place))
    connection.executemany(sql.LEASE_HEAD, leases)
    return claims


def renew_leases(
    connection: sqlite3.Connection, now: float, *, claims: Sequence[Claim], lease_seconds: float
) -> list[Claim]:
    """Extend the leases whose token is still the head's."""
    expires_at = now + lease_seconds
    return [
        attrs.evolve(claim, expires_at=expires_at)
        for claim in claims
        if connection.execute(sql.RENEW_HEAD, (expires_at, claim.token, claim.entry.queue, claim.entry.id)).rowcount
    ]


def retry_dead(connection: sqlite3.Connection, now: float, *, ids: Sequence[str]) -> int:
    """Put dead entries back at the end of their lanes."""
    counts = Counts()
    place = first_place = next_place(connection)
    for entry_id in ids:
        row = connection.execute(sql.DEAD_BY_ID, (entry_id,)).fetchone()
        if row is None:
            continue
        old_place, *columns = row
        entry = entry_of(columns)
        is_head = connection.execute(sql.BUSY_LANE, (entry.lane, entry.queue)).fetchone() is None
        connection.execute(sql.DELETE_ENDED, (old_place,))
        insert(connection, "entries", [(place, *columns)])
        if is_head:
            insert(connection, sql.HEADS, [(entry.queue, place, entry.created_at, 0, now, None, 0, "", "")])
        counts.add(entry.queue, "dead", -1)
        place += 1
    set_next_place(connection, place)
    counts.write(connection)
    return place - first_place


def forget_lanes(
    connection: sqlite3.Connection,
    now: float,
    *,
    lanes: Sequence[str],
    reason: str,
    tombstone: Mark,
    dedupe_seconds: float,
) -> int:
    """Drop what lives or is dead in *lanes* of every queue, and write *tombstone*."""
    counts = Counts()
    wanted = json_text(lanes)
    living = connection.execute(sql.LIVING_IN_LANES, (wanted,)).fetchall()
    dead = connection.execute(sql.DEAD_IN_LANES, (wanted,)).fetchall()
    many = connection.executemany
    many(sql.END_ENTRY, [(False, "dropped", reason, "", now, place) for place, _, _ in living])
    places = json_text(place for place, _, _ in living)
    connection.execute(sql.DELETE_HEADS, (places,))
    connection.execute(sql.DELETE_ENTRIES, (places,))
    many(sql.DROP_DEAD, [(reason, now, place) for place, _, _ in dead])
    many(sql.REMEMBER, [(entry_id, now + dedupe_seconds, place) for place, entry_id, _ in living + dead])
    for _, _, queue in living + dead:
        counts.add(queue, "dropped")
    for _, _, queue in dead:
        counts.add(queue, "dead", -1)
    counts.write(connection)
    write_marks(connection, [tombstone])
    return len(living) + len(dead)


def purge_some(connection: sqlite3.Connection, *, dead_before: float, limit: int) -> int:
    """Remove up to *limit* rows that ended before that time."""
    return connection.execute(sql.PURGE, (dead_before, limit)).rowcount


def sweep_some(connection: sqlite3.Connection, now: float, *, limit: int) -> bool:
    """Remove up to *limit* expired marks and as many remembered ids; returns whether there may be more."""
    ids = connection.execute(sql.SWEEP_REMEMBERED, (now, limit)).rowcount
    marks = connection.execute(sql.SWEEP_MARKS, (now, limit)).rowcount
    return max(ids, marks) == limit
