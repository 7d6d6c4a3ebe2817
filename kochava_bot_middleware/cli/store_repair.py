"""The actions of ``kochava-bot store`` that change it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..clock import Clock
from ..exceptions import KochavaBotError
from ..store.contract import Store
from ..store.records import EntryState
from ..tracking.settings import KochavaSettings
from .command import GOOD, NOT_RUN, SOMETHING_WRONG
from .output import progress
from .store_listing import queues_named
from .store_opening import opened
from .store_rows import PAGE, every_row

_DAY = 86400.0


async def init_store(settings: KochavaSettings, _arguments: argparse.Namespace, clock: Clock) -> int:
    """Make the store."""
    async with opened(settings, clock, makes=True):
        print(f"the store at {settings.kept_in} is ready")
    return GOOD


async def retry_dead(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Put dead entries back."""
    if bool(arguments.ids) == arguments.all:
        msg = "store retry: name entries, or give --all"
        raise KochavaBotError(msg)
    if arguments.queue is not None and not arguments.all:
        msg = "store retry: --queue goes with --all"
        raise KochavaBotError(msg)
    async with opened(settings, clock) as store:
        if arguments.all:
            print(_told(await _retry_all(store, await queues_named(store, arguments.queue))))
            return GOOD
        retried, unknown = await _retry_named(store, list(dict.fromkeys(arguments.ids)))
    if retried or not unknown:
        print(_told(retried))
    for entry_id in unknown:
        print(f"kochava-bot: no dead entry has the id {entry_id!r}", file=sys.stderr)
    if unknown:
        return SOMETHING_WRONG if retried else NOT_RUN
    return GOOD


async def purge_dead(settings: KochavaSettings, arguments: argparse.Namespace, clock: Clock) -> int:
    """Remove dead and dropped entries that ended long ago."""
    async with opened(settings, clock) as store:
        with progress("purging"):
            purged = await store.purge(dead_before=clock.now() - arguments.dead_older_than * _DAY)
    print(f"{purged} removed")
    return GOOD


async def _retry_named(store: Store, ids: Sequence[str]) -> tuple[int, list[str]]:
    """How many were put back, and the ids of those that were not dead."""
    unknown = [entry_id for entry_id in ids if not await store.retry_dead([entry_id])]
    return len(ids) - len(unknown), unknown


async def _retry_all(store: Store, queues: Sequence[str]) -> int:
    # All ids first: what dies again meanwhile is not put back again.
    ids = [row.entry.id for queue in queues async for row in every_row(store, queue, state=EntryState.DEAD)]
    retried = 0
    with progress("putting back", len(ids)) as steps:
        for start in range(0, len(ids), PAGE):
            some = ids[start : start + PAGE]
            retried += await store.retry_dead(some)
            steps.done(len(some))
    return retried


def _told(retried: int) -> str:
    return f"{retried} put back"
