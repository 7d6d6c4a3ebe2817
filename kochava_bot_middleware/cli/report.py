"""``kochava-bot report``: what the bot brought, from the counters by day."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

from ..clock import Clock, SystemClock
from ..reporting.html import to_html
from ..reporting.report import Report, ReportBy, day_number, report_of
from ..reporting.tables import tables_of, to_csv
from ..tracking.settings import KochavaSettings
from .command import GOOD
from .entries import opened
from .output import print_table
from .settings import add_settings_argument, read_settings

TABLE = "table"

_FORMATS: dict[str, Callable[[Report], str]] = {
    "html": to_html,
    "csv": to_csv,
    "json": lambda report: json.dumps(report.as_json(), indent=2) + "\n",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_settings_argument(parser)
    add_days(parser)
    parser.add_argument(
        "--by", type=ReportBy, choices=list(ReportBy), default=ReportBy.DAY, help="what the parts are (%(default)s)"
    )
    parser.add_argument("--format", choices=(TABLE, *_FORMATS), default=TABLE, help="(%(default)s)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it there; not with --format table")


def add_days(parser: argparse.ArgumentParser) -> None:
    """Add ``--since`` and ``--until``."""
    parser.add_argument("--since", type=day, metavar="DAY", help="the first day, such as 2026-11-01 (UTC)")
    parser.add_argument("--until", type=day, metavar="DAY", help="the last day, included")


def day(given: str) -> date:
    """An argument's type: a day."""
    try:
        return date.fromisoformat(given)
    except ValueError:
        msg = f"wanted a day such as 2026-11-01, got {given!r}"
        raise argparse.ArgumentTypeError(msg) from None


def run(arguments: argparse.Namespace) -> int:
    """Print the report, or write it to a file."""
    settings = read_settings(arguments.settings)
    report = asyncio.run(
        read_report(settings, SystemClock(), since=arguments.since, until=arguments.until, by=arguments.by)
    )
    if arguments.format != TABLE:
        text = _FORMATS[arguments.format](report)
        if arguments.output is None:
            print(text, end="")
        else:
            arguments.output.write_text(text, encoding="utf-8")
        return GOOD
    tables = tables_of(report)
    for number, table in enumerate(tables):
        print(f"{'' if number == 0 else chr(10)}{table.name}")
        print_table(table.heads, table.rows)
    if not tables:
        print("nothing was counted on these days")
    return GOOD


async def read_report(
    settings: KochavaSettings, clock: Clock, *, since: date | None, until: date | None, by: ReportBy
) -> Report:
    """The report of some days."""
    async with opened(settings, clock, only_reads=True) as store:
        counts = await store.counts(
            since=None if since is None else day_number(since), until=None if until is None else day_number(until)
        )
    return report_of(counts, by=by, since=since, until=until)
