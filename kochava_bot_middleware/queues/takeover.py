"""What a consumer does first: it ends the leases of processes of this machine that are dead for certain."""

from __future__ import annotations

import functools

from ..store.contract import Store
from ..store.owner import is_owner_dead, owner_of
from ..store.records import Claim, EntryState

PAGE = 500
"""Leases that are read at once."""


async def end_leases_of_the_dead(store: Store, queue: str) -> int:
    """
    Let such leases of *queue* lapse now; returns how many.

    So a process that is started again goes on at once with what the one before it had claimed.
    """
    is_dead = functools.cache(is_owner_dead)
    lapsed = 0
    after: str | None = None
    while rows := await store.browse(queue, state=EntryState.IN_FLIGHT, limit=PAGE, after=after):
        after = rows[-1].entry.id
        dead = [
            Claim(entry=row.entry, token=row.token, attempt=row.attempts)
            for row in rows
            if row.token is not None and is_dead(owner_of(row.token))
        ]
        if dead:
            lapsed += len(await store.renew(dead, 0.0))
    return lapsed
