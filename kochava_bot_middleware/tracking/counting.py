"""
What is counted by day: records as they are labelled, greetings that are sent, links, and what is left out.

Nothing of it names a person. Facts are texts of the developer and of the platform; there may be any number of them, so
each process counts only so many by their own name.
"""

from __future__ import annotations

import functools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation

import attrs

from ..kochava.records import Engagement, Record
from ..kochava.standard import REVENUE_KEYS, is_currency
from ..messenger.events import Channel
from ..settings import at_least
from ..store.day_counts import label_of
from ..store.records import DayCount

OTHER = "(other)"
"""Stands for names beyond the number that is kept, and for currencies that are none."""

MOST_NAMES = 500
"""Names of one sort that a process counts apart on one day."""

LONGEST_NAME = 100
"""Characters of a name; a longer one is counted as `OTHER`."""

MOST_AMOUNT = Decimal(10) ** 11
"""An amount beyond it is a mistake; it would make the sum useless, and is left out of it."""

DAY_SECONDS = 86_400
LAST_DAY = 2_932_896
"""9999-12-31."""

GREETING_SENT = "sent"
LINK_REWRITTEN = "rewritten"
LINK_LEFT_ALONE = "left alone:"
LEFT_OUT = "left out:"


@attrs.frozen(kw_only=True)
class ReportSettings:
    """
    What is counted for reports.

    Attributes:
        retention_days: How long the counters of a day are kept; with 0 nothing is counted.
    """

    retention_days: int = attrs.field(default=400, validator=at_least(0))


def day_of(seconds: float) -> int:
    """The day of a time, in UTC, as a number of days since 1970-01-01."""
    return min(max(int(seconds // DAY_SECONDS), 0), LAST_DAY)


@attrs.frozen
class Facts:
    """
    What is counted.

    Attributes:
        page_id: Empty when unknown, as `channel` is.
        kind: ``greeting``, ``link``, or a record's, such as ``engagement``.
        name: Of an event.
        currency: Of its amount; empty without one.
    """

    page_id: str
    channel: str
    kind: str
    name: str = ""
    currency: str = ""

    def to_text(self) -> str:
        """The stored form: ASCII without control characters, which every store takes."""
        return _text_of(self.page_id, self.channel, self.kind, self.name, self.currency)

    @classmethod
    def from_text(cls, text: str) -> Facts | None:
        """Read that form; ``None`` when it is none."""
        try:
            return cls(*json.loads(text))
        except (TypeError, ValueError):
            return None


@functools.lru_cache(maxsize=4096)
def _text_of(*facts: str) -> str:
    return json.dumps(facts, separators=(",", ":"))


def amount_of(data: object) -> tuple[int, str]:
    """The amount in the data of an event, in millionths, and its currency; 0 and an empty text where there is none."""
    if not isinstance(data, dict):
        return 0, ""
    for key in REVENUE_KEYS:
        if (value := data.get(key)) is not None:
            break
    else:
        return 0, ""
    if not isinstance(value, int | float | str):
        return 0, ""
    try:
        amount = Decimal(str(value))
        if not amount.is_finite() or abs(amount) > MOST_AMOUNT:
            return 0, OTHER
        millionths = round(amount * 1_000_000)
    except InvalidOperation:
        return 0, ""
    currency = data.get("currency")
    return millionths, str(currency) if is_currency(currency) else "" if currency is None else OTHER


class Counting:
    """What one process counts."""

    def __init__(self, settings: ReportSettings, *, is_dry_run: bool) -> None:
        self._is_on = settings.retention_days > 0 and not is_dry_run
        self._names = defaultdict[str, set[str]](set)
        self._names_day = 0
        self._links: Counter[DayCount] = Counter()

    def label(self, record: Record, channel: Channel | None) -> str:
        """The label of a record's entry; empty when nothing is counted."""
        if not self._is_on:
            return ""
        day = day_of(record.usertime)
        self._begin_day(day)
        name, amount, currency = "", 0, ""
        if isinstance(record, Engagement):
            name = self._bounded("event", record.event_name)
            amount, currency = amount_of(record.event_data)
        facts = self._facts(record.page_id, channel, record.kind, name, currency)
        return label_of(day, facts, amount)

    def others(
        self, page_id: str | None, channel: Channel | None, *, now: float, greetings: int, left_out: Iterable[str]
    ) -> list[DayCount]:
        """What is counted of a recording beside its records."""
        if not self._is_on:
            return []
        day, counts = day_of(now), []
        self._begin_day(day)
        if greetings:
            facts = self._facts(page_id, channel, "greeting")
            counts.append(DayCount(day, facts, GREETING_SENT, greetings))
        for reason, count in Counter(map(str, left_out)).items():
            what = LEFT_OUT + self._bounded("reason", reason)
            counts.append(DayCount(day, self._facts(page_id, channel, "left out"), what, count))
        return counts

    def add_links(
        self, page_id: str | None, channel: Channel | None, *, now: float, changed: int, left_alone: Mapping[str, int]
    ) -> None:
        """Count links of a message; they are written with the next commit of this process."""
        if self._is_on and (changed or left_alone):
            day, facts = day_of(now), self._facts(page_id, channel, "link")
            if changed:
                self._links[DayCount(day, facts, LINK_REWRITTEN)] += changed
            for reason, count in left_alone.items():
                self._links[DayCount(day, facts, f"{LINK_LEFT_ALONE}{reason}")] += count

    def take_links(self) -> list[DayCount]:
        """The links that are not written yet; whoever takes them writes them, or gives them back."""
        if not self._links:
            return []
        links, self._links = self._links, Counter()
        return [attrs.evolve(each, count=count) for each, count in links.items()]

    def give_back(self, links: Iterable[DayCount]) -> None:
        """They were not written."""
        for each in links:
            self._links[attrs.evolve(each, count=1)] += each.count

    def _facts(
        self, page_id: str | None, channel: Channel | None, kind: str, name: str = "", currency: str = ""
    ) -> str:
        page = self._bounded("page", page_id or "")
        return _text_of(page, channel or "", kind, name, currency)

    def _begin_day(self, day: int) -> None:
        if day > self._names_day:
            self._names_day = day
            self._names.clear()

    def _bounded(self, sort: str, name: str) -> str:
        known = self._names[sort]
        if name not in known:
            if len(name) > LONGEST_NAME or len(known) >= MOST_NAMES:
                return OTHER
            known.add(name)
        return name
