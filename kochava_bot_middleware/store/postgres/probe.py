"""Whether this user may write all that a bot and a worker write, and whether the tables keep it."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg  # type: ignore[import-untyped]

from .. import probe
from ..records import Committed, CommitVerdict, Unit
from .commit import commit_units
from .queries import recall, renew_leases
from .session import PostgresSession

_PROVE_WRITABLE = """
WITH new_entries AS (INSERT INTO {s}.entries SELECT * FROM {s}.entries WHERE false),
    entries AS (UPDATE {s}.entries SET place = place WHERE false),
    old_entries AS (DELETE FROM {s}.entries WHERE false),
    new_heads AS (INSERT INTO {s}.heads SELECT * FROM {s}.heads WHERE false),
    heads AS (UPDATE {s}.heads SET place = place WHERE false),
    old_heads AS (DELETE FROM {s}.heads WHERE false),
    new_marks AS (INSERT INTO {s}.marks SELECT * FROM {s}.marks WHERE false),
    marks AS (UPDATE {s}.marks SET key = key WHERE false),
    old_marks AS (DELETE FROM {s}.marks WHERE false),
    new_counts AS (INSERT INTO {s}.counts SELECT * FROM {s}.counts WHERE false),
    counts AS (UPDATE {s}.counts SET part = part WHERE false),
    new_day_counts AS (INSERT INTO {s}.day_counts SELECT * FROM {s}.day_counts WHERE false),
    day_counts AS (UPDATE {s}.day_counts SET part = part WHERE false),
    old_day_counts AS (DELETE FROM {s}.day_counts WHERE false)
SELECT nextval('{s}.places')
"""
"""Rights are looked at even where no row is meant. The place is written indeed, which a standby cannot do."""

_DELETE_ENDED = "DELETE FROM {s}.entries WHERE id = $1 AND state = 'done' RETURNING id"


async def prove_writable(session: PostgresSession) -> bool:
    """
    Do what needs each right, and write what commits write; returns whether all of it was there. No row is changed when
    it is done, and some places are given to nobody.
    """
    await session.fetch(_PROVE_WRITABLE)
    await session.fetch("SAVEPOINT probe")
    try:
        is_kept = await _is_kept(session)
        await session.fetch("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.SerializationError:
        # Nobody else has these ids.
        is_kept = False
    await session.fetch("ROLLBACK TO SAVEPOINT probe")
    return is_kept


async def _is_kept(session: PostgresSession) -> bool:
    claims = (await _committed(session, probe.beginning())).leased
    name = claims[0].entry.id
    if len(await renew_leases(session, claims, 60.0)) != 1:
        return False
    if (await _committed(session, probe.end_of(claims[0]))).verdict is not CommitVerdict.COMMITTED:
        return False
    if await renew_leases(session, claims, 60.0) or await recall(session, [name]):
        return False
    deleted: Sequence[object] = await session.fetch(_DELETE_ENDED, name)
    return len(deleted) == 1


async def _committed(session: PostgresSession, unit: Unit) -> Committed:
    (answer,) = await commit_units(session, [unit], lambda: probe.TOKEN)
    return answer
