"""``kochava-bot reconcile``: compares an export of Kochava with what was delivered."""

from __future__ import annotations

import argparse
import asyncio
import csv
import re
from collections import Counter
from datetime import UTC, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..clock import Clock, SystemClock
from ..exceptions import KochavaBotError
from ..reporting.reconciliation import Columns, DayEvent, delivered_in, differences, exported_in
from ..reporting.report import day_number
from ..tracking.settings import KochavaSettings
from .command import GOOD, SOMETHING_WRONG
from .entries import opened
from .output import print_table
from .settings import add_settings_argument, read_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "export", type=Path, metavar="EXPORT.csv", help="from Kochava: one row an event, or with counts"
    )
    add_settings_argument(parser)
    parser.add_argument("--date-column", required=True, metavar="NAME", help="when the event happened")
    parser.add_argument("--event-column", required=True, metavar="NAME", help="the event's name")
    parser.add_argument("--count-column", metavar="NAME", help="how many events a row stands for; by default one")
    parser.add_argument("--timezone", type=zone, default=UTC, metavar="ZONE", help="of times that name none (UTC)")
    parser.add_argument(
        "--tolerance", type=part, default=Decimal(0), metavar="1%", help="difference that is not worth a line (0%%)"
    )


def zone(given: str) -> tzinfo:
    """An argument's type: a time zone."""
    try:
        return UTC if given.upper() == "UTC" else ZoneInfo(given)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        msg = f"wanted a time zone such as Europe/Berlin, got {given!r}"
        raise argparse.ArgumentTypeError(msg) from None


def part(given: str) -> Decimal:
    """An argument's type: a percentage."""
    try:
        percent = Decimal(given.removesuffix("%").strip())
    except InvalidOperation:
        percent = Decimal(-1)
    if not 0 <= percent <= 100:
        msg = f"wanted a percentage such as 1%, got {given!r}"
        raise argparse.ArgumentTypeError(msg)
    return percent / 100


def run(arguments: argparse.Namespace) -> int:
    """Print what differs; the status says whether anything does."""
    columns = Columns(
        date=arguments.date_column,
        event=arguments.event_column,
        count=arguments.count_column,
        zone=arguments.timezone,
    )
    exported = read_export(arguments.export, columns)
    if not exported:
        msg = f"{arguments.export} has no events"
        raise KochavaBotError(msg)
    delivered = asyncio.run(read_delivered(read_settings(arguments.settings), exported, SystemClock()))
    rows = [
        (each.day.isoformat(), each.event, each.delivered, each.exported, each.exported - each.delivered)
        for each in differences(delivered, exported, tolerance=arguments.tolerance)
    ]
    if not rows:
        print(f"nothing differs: {exported.total()} events in the export")
        return GOOD
    print_table(("day", "event", "delivered", "exported", "difference"), rows)
    return SOMETHING_WRONG


def read_export(path: Path, columns: Columns) -> Counter[DayEvent]:
    """The events of an export by day and name."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            separator = separator_of(file.readline())
            file.seek(0)
            reader = csv.DictReader(file, delimiter=separator)
            return exported_in(reader, reader.fieldnames or (), columns)
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        msg = f"{path} cannot be read as CSV: {exc}"
        raise KochavaBotError(msg) from None


def separator_of(heads: str) -> str:
    """Comma, semicolon or tab: whichever is most often between the names of the columns."""
    return max(",;\t", key=re.sub('"[^"]*"', "", heads).count)


async def read_delivered(settings: KochavaSettings, exported: Counter[DayEvent], clock: Clock) -> Counter[DayEvent]:
    """The delivered events of the days of the export."""
    days = [day_number(day) for day, _ in exported]
    async with opened(settings, clock, only_reads=True) as store:
        return delivered_in(await store.counts(since=min(days), until=max(days)))
