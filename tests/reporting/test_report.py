"""How counters become a report."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.reporting.report import Report, ReportBy, Totals, day_number, money, report_of
from kochava_bot_middleware.reporting.tables import tables_of, to_csv
from kochava_bot_middleware.store.records import DayCount
from kochava_bot_middleware.tracking.counting import Facts

DAY = day_number(date(2026, 11, 27))

FACTS = st.builds(
    Facts,
    st.sampled_from(["", "1001"]),
    st.sampled_from(["", "messenger"]),
    st.sampled_from(["engagement", "impression", "click", "link", "greeting", "left out"]),
    st.sampled_from(["", "Purchase", "=cmd"]),
    st.sampled_from(["", "USD"]),
)
COUNTS = st.lists(
    st.builds(
        DayCount,
        st.integers(0, 2),
        FACTS.map(Facts.to_text),
        st.sampled_from(
            ["recorded", "done:1", "done:inf", "dead:a", "dropped:", "sent", "rewritten", "left alone:b", "?"]
        ),
        st.integers(0, 5),
        st.integers(-(10**9), 10**9),
    ),
    max_size=20,
)


def counted(
    what: str, count: int = 1, amount: int = 0, *, day: int = DAY, kind: str = "engagement", name: str = "Purchase"
) -> DayCount:
    currency = "USD" if kind == "engagement" else ""
    return DayCount(day, Facts("1001", "messenger", kind, name, currency).to_text(), what, count, amount)


def total(*counts: DayCount) -> Totals:
    return report_of(counts, by=ReportBy.DAY).total


@given(counts=COUNTS, by=st.sampled_from(ReportBy))
def test_parts_add_up_to_the_total(counts: list[DayCount], by: ReportBy) -> None:
    """Whatever the parts are, nothing is in none of them or in two."""
    report = report_of(counts, by=by)
    for name in ("recorded", "delivered", "dead", "dropped"):
        assert getattr(report.total.records, name) == sum(getattr(each.records, name) for each in report.parts.values())
    assert report.total.links_rewritten == sum(each.links_rewritten for each in report.parts.values())


@given(counts=COUNTS, by=st.sampled_from(ReportBy))
def test_every_report_has_tables_and_csv(counts: list[DayCount], by: ReportBy) -> None:
    """No counter is too strange for them, and each row of a table is as wide as its head."""
    report = report_of(counts, by=by)
    for table in tables_of(report):
        assert {len(table.heads)} == set(map(len, table.rows))
    assert {4} == set(map(len, csv.reader(io.StringIO(to_csv(report)))))


def test_rates_are_of_the_step_before() -> None:
    """A step after an empty one has no rate, and events are no part of the clicks."""
    steps = total(
        counted("sent", 8, kind="greeting"),
        counted("recorded", 4, kind="impression"),
        counted("recorded", 1, kind="click"),
        counted("recorded", 3, kind="engagement"),
    ).steps()
    assert [
        ("sent", 8, None),
        ("shown", 4, 0.5),
        ("clicked", 1, 0.25),
        ("events", 3, None),
        ("purchases", 3, 1.0),
    ] == steps


def test_steps_of_the_funnel_say_what_they_count() -> None:
    """In tables and for spreadsheets; the keys of JSON are short."""
    report = report_of([counted("sent", 8, kind="greeting")], by=ReportBy.DAY)
    steps = ["greetings sent", "greetings shown", "greetings clicked", "events", "purchases"]
    assert steps == [row[0] for row in tables_of(report)[0].rows]
    assert steps == [row[2] for row in csv.reader(io.StringIO(to_csv(report))) if row[:2] == ["total", "funnel"]]
    assert ["sent", "shown", "clicked", *steps[3:]] == [step["step"] for step in report.as_json()["total"]["funnel"]]


def test_revenue_is_exact() -> None:
    """A hundred times ten cents is ten, and a tenth of a cent is kept."""
    sums = total(*[counted("recorded", 1, 100_000)] * 100, counted("done:1", 1, 1_000)).revenue["USD"]
    assert ("10.00", "0.001") == (money(sums["recorded"]), money(sums["delivered"]))


def test_view_of_a_price_is_no_revenue() -> None:
    """Only a purchase or a subscription brings money."""
    assert {} == total(counted("recorded", 1, 5_000_000, name="View")).revenue


@pytest.mark.parametrize(("percent", "seconds"), [(50, 1.0), (90, 60.0), (99, float("inf"))])
def test_percentile_is_the_bound_of_its_bucket(percent: int, seconds: float) -> None:
    """Half of the deliveries took a second at most, 90 of 100 a minute."""
    assert seconds == total(counted("done:1", 50), counted("done:60", 40), counted("done:inf", 10)).latency(percent)


def test_days_outside_are_left_out() -> None:
    """The last day is included."""
    report: Report = report_of(
        [counted("recorded", day=DAY + offset) for offset in range(4)],
        by=ReportBy.DAY,
        since=date(2026, 11, 28),
        until=date(2026, 11, 29),
    )
    assert ["2026-11-28", "2026-11-29"] == list(report.parts)


def test_name_of_an_event_is_no_formula_in_a_spreadsheet() -> None:
    """It is preceded by an apostrophe."""
    report = report_of([counted("recorded", name="=cmd")], by=ReportBy.EVENT)
    assert "'=cmd" in to_csv(report)
    assert "\n=cmd" not in to_csv(report)
