"""The tables of a report: what the terminal, CSV and HTML show."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence

import attrs

from .report import QUANTILES, Report, Totals, money

_STEPS = {"sent": "greetings sent", "shown": "greetings shown", "clicked": "greetings clicked"}
"""What people read in place of the steps of the funnel."""


@attrs.frozen
class ReportTable:
    """
    A table of a report.

    Attributes:
        rows: The first cell names the row.
        chart: Numbers of the columns to draw, from 1; empty: none.
    """

    name: str
    heads: Sequence[str]
    rows: Sequence[Sequence[object]]
    chart: Sequence[int] = ()


def tables_of(report: Report) -> list[ReportTable]:
    """The tables, most important first; one without rows is left out."""
    total = report.total
    by = [(name, *_outcomes(part), _amounts(part)) for name, part in report.parts.items()]
    reasons = [("dead", total.dead), ("dropped", total.dropped), ("left out", total.left_out)]
    why = [(reason, how, count) for how, counts in reasons for reason, count in _most(counts)]
    outcomes = ("recorded", "delivered", "dead", "dropped", "waiting")
    tables = [
        ReportTable(
            "Funnel",
            ("step", "count", "of the step before"),
            [
                (_STEPS.get(name, name), count, "" if rate is None else f"{rate:.1%}")
                for name, count, rate in total.steps()
            ],
            (1,),
        ),
        ReportTable(
            "Revenue",
            ("currency", "recorded", "delivered"),
            [(currency, money(sums["recorded"]), money(sums["delivered"])) for currency, sums in _revenue(total)],
            (1, 2),
        ),
        ReportTable(
            "Events",
            ("event", *outcomes),
            [(name, *each.as_json().values()) for name, each in sorted(total.events.items())],
            (1, 2),
        ),
        ReportTable(f"Records by {report.by}", (str(report.by), *outcomes, "revenue recorded"), by, (1, 2)),
        ReportTable(
            "Links",
            ("what became of them", "links"),
            [("rewritten", total.links_rewritten), *((f"left: {why}", n) for why, n in _most(total.links_left_alone))]
            if total.links_rewritten or total.links_left_alone
            else [],
            (1,),
        ),
        ReportTable("Not delivered", ("reason", "outcome", "count"), why, (2,)),
        ReportTable(
            "Delivery latency",
            ("percentile", "seconds, at most"),
            [(f"p{percent}", f"{seconds:g}") for percent in QUANTILES if (seconds := total.latency(percent))],
            (1,),
        ),
    ]
    return [table for table in tables if table.rows]


def to_csv(report: Report) -> str:
    """One row a part and measure, for a spreadsheet: part, measure, name, value."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((str(report.by), "measure", "name", "value"))
    for part, totals in {**report.parts, "total": report.total}.items():
        for measure, value in totals.as_json().items():
            writer.writerows((_safe(part), *row) for row in _flat(measure, value))
    return file.getvalue()


def _flat(measure: str, value: object, name: str = "") -> list[tuple[str, str, object]]:
    if measure == "funnel" and isinstance(value, list):
        return [(measure, _STEPS.get(step["step"], step["step"]), step["count"]) for step in value]
    if isinstance(value, dict):
        return [row for key, each in value.items() for row in _flat(measure, each, f"{name} {key}".strip())]
    return [(measure, _safe(name), "" if value is None else value)]


def _safe(text: str) -> str:
    """A spreadsheet must not take the name of an event for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _outcomes(part: Totals) -> Sequence[int]:
    return tuple(part.records.as_json().values())


def _revenue(totals: Totals) -> list[tuple[str, Counter[str]]]:
    return sorted(totals.revenue.items())


def _amounts(part: Totals) -> str:
    return ", ".join(f"{money(sums['recorded'])} {currency}" for currency, sums in _revenue(part))


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    return [(reason, count) for reason, count in counts.most_common() if count]
