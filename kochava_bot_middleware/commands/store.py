"""
``kochava-bot store``: look into the store.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Mapping

from ..clock import Clock, SystemClock
from ..exceptions import StoreUnavailable
from ..store.address import open_store
from ..store.contract import Queue, QueueStats
from ..store.sqlite import SqliteStore
from .command import GOOD, Parsers, add_command
from .settings_source import add_settings_argument, read_settings

_COUNTS = ("accepted", "done", "waiting", "in_flight", "dead", "dropped")


def add_store(parsers: Parsers) -> None:
    """
    Add the commands.
    """
    summary = "Look into the store."
    actions = parsers.add_parser("store", help=summary, description=summary).add_subparsers(
        required=True, metavar="ACTION"
    )
    stats = add_command(actions, "stats", run_stats, "Print how many entries each queue has, and where they are.")
    add_settings_argument(stats)


def run_stats(arguments: argparse.Namespace) -> int:
    """
    Print the counts.
    """
    settings = read_settings(arguments.settings)
    clock = SystemClock()
    for line in stats_table(asyncio.run(_stats(settings.store, clock)), now=clock.now()):
        print(line)
    return GOOD


async def _stats(url: str, clock: Clock) -> Mapping[str, QueueStats]:
    store = open_store(url, clock=clock)
    if isinstance(store, SqliteStore) and not store.path.exists():
        # Opening it would make an empty one.
        msg = f"there is no store at {store.path}; a bot makes it when it starts"
        raise StoreUnavailable(msg)
    try:
        return await store.stats()
    finally:
        await store.close()


def stats_table(stats: Mapping[str, QueueStats], *, now: float) -> Iterator[str]:
    """
    One line a queue; accepted is the sum of what follows.

    Args:
        now: Seconds since the epoch.
    """
    yield f"{'queue':<8}" + "".join(f"{name.replace('_', ' '):>12}" for name in (*_COUNTS, "oldest"))
    for queue in [*Queue, *sorted(set(stats) - set(Queue))]:
        counts = stats.get(queue, QueueStats())
        oldest = "-" if counts.oldest_waiting_at is None else f"{max(0.0, now - counts.oldest_waiting_at):.0f} s"
        yield f"{queue:<8}" + "".join(f"{getattr(counts, name):>12}" for name in _COUNTS) + f"{oldest:>12}"
