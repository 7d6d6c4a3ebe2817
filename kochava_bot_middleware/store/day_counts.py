"""
Counters by day, which outlive what they count.

An entry is counted with its label: the day, an amount, and facts that mean nothing to a store. What is counted of it is
``recorded``, and when it is settled ``done:`` with how long that took, ``dead:`` or ``dropped:`` with the reason.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache

from .records import DayCount, EntryState

LATENCIES = ("0.5", "1", "2", "5", "10", "30", "60", "300", "900", "3600", "21600", "86400", "inf")
"""Upper bounds of the buckets of latencies, in seconds, as they are stored."""

RECORDED = "recorded"

LONGEST_REASON = 200
"""Bytes of a reason. A longer one is no constant phrase, and there could be any number of them."""

_BOUNDS = tuple(map(float, LATENCIES))


def label_of(day: int, facts: str, amount: int = 0) -> str:
    """The label of an entry."""
    return f"{day} {amount} {facts}"


@lru_cache(maxsize=1024)
def _parts_of(label: str) -> tuple[int, int, str]:
    """Day, amount and facts. Few labels are counted again and again."""
    day, amount, facts = label.split(" ", 2)
    return int(day), int(amount), facts


def what_of(state: EntryState, *, reason: str, seconds: float = 0.0) -> str:
    """
    What is counted of an entry that is settled.

    Args:
        seconds: From its creation until it was settled.
    """
    if state is EntryState.DONE:
        return f"done:{LATENCIES[bisect_left(_BOUNDS, seconds)]}"
    return f"{state}:{reason if len(reason.encode('utf-8', 'surrogatepass')) <= LONGEST_REASON else ''}"


class DayCounts:
    """Adds counters up."""

    def __init__(self, counts: Iterable[DayCount] = ()) -> None:
        self._sums: dict[tuple[int, str, str], tuple[int, int]] = {}
        for each in counts:
            self.add(each)

    def add(self, count: DayCount) -> None:
        """Add to one counter."""
        self._add((count.day, count.facts, count.what), count.count, count.amount)

    def add_entry(self, label: str, what: str, by: int = 1) -> None:
        """Count *by* entries of that label; of one without a label, nothing is counted."""
        if label:
            day, amount, facts = _parts_of(label)
            self._add((day, facts, what), by, by * amount)

    def _add(self, key: tuple[int, str, str], count: int, amount: int) -> None:
        counted, summed = self._sums.get(key, (0, 0))
        self._sums[key] = (counted + count, summed + amount)

    def drop_before(self, day: int) -> None:
        """Forget earlier days."""
        self._sums = {key: sums for key, sums in self._sums.items() if key[0] >= day}

    def between(self, since: int | None, until: int | None) -> list[DayCount]:
        """Those of some days, as of `Store.counts`."""
        return [
            row for row in self.rows() if (since is None or row.day >= since) and (until is None or row.day <= until)
        ]

    def rows(self) -> list[DayCount]:
        """Those that are not zero, always in the same order."""
        return [DayCount(*change) for change in self.changes()]

    def changes(self) -> list[tuple[int, str, str, int, int]]:
        """The same as `rows`, each as its day, facts, what, count and amount."""
        return [(*key, *sums) for key, sums in sorted(self._sums.items()) if sums != (0, 0)]
