"""``kochava-bot store``: look into the store, and put in order what is in it."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine

from ..clock import Clock, SystemClock
from ..store.records import Queue
from ..tracking.settings import KochavaSettings
from .command import Parsers, add_command, number_from
from .settings_source import add_settings_argument, read_settings
from .store_listing import export_rows, list_rows, show_row, show_stats
from .store_repair import init_store, purge_dead, retry_dead
from .store_rows import LISTED_STATES

Action = Callable[[KochavaSettings, argparse.Namespace, Clock], Coroutine[None, None, int]]
"""What one action does; gives the exit status."""


def add_store(parsers: Parsers) -> None:
    """Add the commands."""
    summary = "Look into the store, and put in order what is in it."
    actions = parsers.add_parser("store", help=summary, description=summary).add_subparsers(
        required=True, metavar="ACTION"
    )
    stats = _add(actions, "stats", show_stats, "Print how many entries each queue has, and where they are.")
    _add_json(stats)

    listing = _add(actions, "list", list_rows, "List entries: ids, names and times, no content.")
    _add_filters(listing)
    listing.add_argument(
        "--limit", type=number_from(int, 1), default=100, metavar="N", help="at most so many (%(default)s)"
    )
    listing.add_argument("--after", metavar="ID", help="go on after this entry, the last of an earlier list")
    _add_json(listing)

    show = _add(actions, "show", show_row, "Show one entry.")
    show.add_argument("id", metavar="ID")
    show.add_argument("--show-body", action="store_true", help="also the record itself; of dead ones only")
    _add_json(show)

    retry = _add(actions, "retry", retry_dead, "Put dead records back, to be sent again.")
    retry.add_argument("ids", metavar="ID", nargs="*")
    retry.add_argument("--all", action="store_true", help="all that are dead now")
    retry.add_argument("--queue", metavar="NAME", help=f"with --all: of this queue only: {', '.join(Queue)}")

    purge = _add(actions, "purge", purge_dead, "Remove what died or was dropped long ago.")
    purge.add_argument(
        "--dead-older-than", type=number_from(float, 0), required=True, metavar="DAYS", help="ended so long ago"
    )

    export = _add(actions, "export", export_rows, "Print entries with their records, one line of JSON each.")
    _add_filters(export)

    _add(actions, "init", init_store, "Make the store, or bring it up to this release.")


def _add(actions: Parsers, name: str, action: Action, summary: str) -> argparse.ArgumentParser:
    def run(arguments: argparse.Namespace) -> int:
        settings = read_settings(arguments.settings)
        return asyncio.run(action(settings, arguments, SystemClock()))

    parser = add_command(actions, name, run, summary)
    add_settings_argument(parser)
    return parser


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queue", metavar="NAME", help=f"one of {', '.join(Queue)}")
    parser.add_argument("--state", metavar="NAME", help=f"one of {', '.join(LISTED_STATES)}")
    parser.add_argument("--lane", metavar="LANE", help="<Kochava app>/<user id>; of the inbox <Page>/<user id>")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
