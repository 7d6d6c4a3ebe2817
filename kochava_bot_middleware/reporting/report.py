"""
Adds counters up to a report. Purely from values.

What is recorded on a day, and what becomes of it later, is counted on the day on which it happened (UTC).
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs

from ..kochava.records import Click, Engagement, Impression
from ..kochava.standard import StandardEvent
from ..store.day_counts import LATENCIES, RECORDED
from ..store.records import DayCount
from ..tracking.counting import GREETING_SENT, LEFT_OUT, LINK_LEFT_ALONE, LINK_REWRITTEN, Facts

QUANTILES = (50, 90, 99)

_EPOCH = date(1970, 1, 1)
_PURCHASES = (StandardEvent.PURCHASE, StandardEvent.SUBSCRIBE)


class ReportBy(enum.StrEnum):
    """What the parts of a report are."""

    DAY = "day"
    PAGE = "page"
    CHANNEL = "channel"
    EVENT = "event"


def day_number(day: date) -> int:
    """The number of a day, as in `DayCount`."""
    return (day - _EPOCH).days


def date_of(number: int) -> date:
    """The day of that number."""
    return _EPOCH + timedelta(days=number)


def today(now: float) -> date:
    """The day of a time, in UTC."""
    return datetime.fromtimestamp(now, UTC).date()


@attrs.define(kw_only=True)
class Outcomes:
    """How many records there are, and what became of them."""

    recorded: int = 0
    delivered: int = 0
    dead: int = 0
    dropped: int = 0

    @property
    def waiting(self) -> int:
        """Neither delivered nor given up."""
        return self.recorded - self.delivered - self.dead - self.dropped

    def add(self, what: str, count: int) -> None:
        """Add a counter."""
        name = {"done": "delivered"}.get(what, what)
        setattr(self, name, getattr(self, name) + count)

    def as_json(self) -> dict[str, int]:
        """For JSON."""
        return {**attrs.asdict(self), "waiting": self.waiting}


@attrs.define(kw_only=True)
class Totals:
    """
    What is known of some counters.

    Attributes:
        records: Of every kind; over all days they equal `Store.stats` of the outbox.
        events: By name.
        revenue: By currency, the amounts of purchases and subscriptions; in millionths.
        funnel: By step.
        dead: By reason; `dropped` and `left_out`, of what was never recorded, likewise.
        latencies: Deliveries by bucket.
    """

    records: Outcomes = attrs.field(factory=Outcomes)
    events: dict[str, Outcomes] = attrs.field(factory=dict)
    revenue: dict[str, Counter[str]] = attrs.field(factory=dict)
    funnel: Counter[str] = attrs.field(factory=Counter)
    links_rewritten: int = 0
    links_left_alone: Counter[str] = attrs.field(factory=Counter)
    dead: Counter[str] = attrs.field(factory=Counter)
    dropped: Counter[str] = attrs.field(factory=Counter)
    left_out: Counter[str] = attrs.field(factory=Counter)
    latencies: Counter[str] = attrs.field(factory=Counter)

    def add(self, facts: Facts, counted: DayCount) -> None:
        """Add a counter."""
        what, count = counted.what, counted.count
        if what == GREETING_SENT:
            self.funnel["sent"] += count
        elif what == LINK_REWRITTEN:
            self.links_rewritten += count
        elif what.startswith(LINK_LEFT_ALONE):
            self.links_left_alone[what.removeprefix(LINK_LEFT_ALONE)] += count
        elif what.startswith(LEFT_OUT):
            self.left_out[what.removeprefix(LEFT_OUT)] += count
        else:
            self._add_records(facts, counted)

    def _add_records(self, facts: Facts, counted: DayCount) -> None:
        what, _, detail = counted.what.partition(":")
        count = counted.count
        if what not in (RECORDED, "done", "dead", "dropped"):
            return
        self.records.add(what, count)
        if facts.kind == Engagement.kind:
            self.events.setdefault(facts.name, Outcomes()).add(what, count)
            if facts.name in _PURCHASES and facts.currency and what in (RECORDED, "done"):
                name = "delivered" if what == "done" else what
                self.revenue.setdefault(facts.currency, Counter())[name] += counted.amount
        if what == RECORDED:
            step = {Impression.kind: "shown", Click.kind: "clicked", Engagement.kind: "events"}.get(facts.kind)
            if step is not None:
                self.funnel[step] += count
            if facts.kind == Engagement.kind and facts.name == StandardEvent.PURCHASE:
                self.funnel["purchases"] += count
        elif what == "done":
            self.latencies[detail] += count
        else:
            (self.dead if what == "dead" else self.dropped)[detail or "no reason"] += count

    def steps(self) -> list[tuple[str, int, float | None]]:
        """
        Each step of the funnel, how many there were, and what part of the step before.

        The part is ``None`` where the step before is empty, and of events: a person causes many after one click.
        """
        steps: list[tuple[str, int, float | None]] = []
        for name, of in (
            ("sent", ""),
            ("shown", "sent"),
            ("clicked", "shown"),
            ("events", ""),
            ("purchases", "events"),
        ):
            before = self.funnel[of]
            steps.append((name, self.funnel[name], round(self.funnel[name] / before, 4) if before else None))
        return steps

    def latency(self, percent: int) -> float | None:
        """
        A percentile of the seconds from recording to delivery: the upper bound of its bucket; ``None`` without
        deliveries, and ``inf`` beyond the last bound.
        """
        wanted = sum(self.latencies.values()) * percent / 100
        seen = 0
        for bound in LATENCIES:
            seen += self.latencies[bound]
            if seen and seen >= wanted:
                return float(bound)
        return None

    def as_json(self) -> dict[str, Any]:
        """For JSON; amounts are texts, since they are exact."""
        return {
            "records": self.records.as_json(),
            "events": {name: each.as_json() for name, each in sorted(self.events.items())},
            "revenue": {
                currency: {name: money(amounts[name]) for name in (RECORDED, "delivered")}
                for currency, amounts in sorted(self.revenue.items())
            },
            "funnel": [{"step": name, "count": count, "rate": rate} for name, count, rate in self.steps()],
            "links": {"rewritten": self.links_rewritten, "left_alone": _sorted(self.links_left_alone)},
            "latency_seconds": {f"p{percent}": _finite(self.latency(percent)) for percent in QUANTILES},
            "dead": _sorted(self.dead),
            "dropped": _sorted(self.dropped),
            "left_out": _sorted(self.left_out),
        }


@attrs.frozen(kw_only=True)
class Report:
    """
    A report.

    Attributes:
        since: The first day; ``None``: the first there is.
        until: The last day, included; ``None``: the last there is.
        parts: By day, Page, channel or event, in order.
    """

    since: date | None
    until: date | None
    by: ReportBy
    total: Totals
    parts: Mapping[str, Totals]

    def as_json(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "since": None if self.since is None else self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            "total": self.total.as_json(),
            f"by_{self.by}": {name: part.as_json() for name, part in self.parts.items()},
        }


def report_of(
    counts: Iterable[DayCount], *, by: ReportBy, since: date | None = None, until: date | None = None
) -> Report:
    """Add *counts* up. Those of other days, or that a newer release wrote, are passed over."""
    total = Totals()
    parts: dict[str, Totals] = {}
    for each in counts:
        facts, day = Facts.from_text(each.facts), date_of(each.day)
        if facts is None or (since is not None and day < since) or (until is not None and day > until):
            continue
        total.add(facts, each)
        parts.setdefault(_part_of(by, facts, day), Totals()).add(facts, each)
    return Report(since=since, until=until, by=by, total=total, parts=dict(sorted(parts.items())))


def _part_of(by: ReportBy, facts: Facts, day: date) -> str:
    match by:
        case ReportBy.DAY:
            return day.isoformat()
        case ReportBy.PAGE:
            return facts.page_id or "(none)"
        case ReportBy.CHANNEL:
            return facts.channel or "(none)"
        case ReportBy.EVENT:
            return facts.name or f"({facts.kind})"


def money(millionths: int) -> str:
    """An amount as an exact decimal, with two digits at least."""
    amount = (Decimal(millionths) / 1_000_000).normalize()
    exponent = amount.as_tuple().exponent
    return f"{amount:f}" if isinstance(exponent, int) and exponent < -2 else f"{amount:.2f}"


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return {reason: count for reason, count in sorted(counts.items()) if count}


def _finite(seconds: float | None) -> float | None:
    return None if seconds is None or seconds == float("inf") else seconds
