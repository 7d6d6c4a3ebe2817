"""One line of the table of budgets."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Self

import attrs
from rich.table import Table


@attrs.frozen(kw_only=True)
class Row:
    """
    What something costs or manages, measured in turn with a bare floor.

    Attributes:
        what: What was measured.
        floor: What it is compared with.
        unit: Of `ours` and `floors`.
        ours: Median.
        floors: Median of the floor.
        ratio: Median of the ratios of each round, or the difference where a difference is the budget.
        budget: What the ratio may be; ``None`` when nothing is promised.
        at_most: Whether the budget is an upper limit.
    """

    what: str
    floor: str
    unit: str
    ours: float
    floors: float
    ratio: float
    budget: float | None = None
    at_most: bool = True

    @classmethod
    def of_rounds(
        cls,
        rounds: Iterable[tuple[float, float]],
        *,
        what: str,
        floor: str,
        unit: str,
        budget: float | None = None,
        at_most: bool = True,
    ) -> Self:
        """From pairs of ours and the floor's, each of one round, so that what else the machine does hits both."""
        pairs = list(rounds)
        return cls(
            what=what,
            floor=floor,
            unit=unit,
            ours=statistics.median(ours for ours, _ in pairs),
            floors=statistics.median(bare for _, bare in pairs),
            ratio=statistics.median(ours / bare for ours, bare in pairs),
            budget=budget,
            at_most=at_most,
        )

    @property
    def is_met(self) -> bool | None:
        """Whether the budget is kept; ``None`` without one."""
        if self.budget is None:
            return None
        return self.ratio <= self.budget if self.at_most else self.ratio >= self.budget


def table_of(rows: Sequence[Row]) -> Table:
    """For a person."""
    table = Table(title="Budgets")
    for heading in ("what", "floor"):
        table.add_column(heading)
    for heading in ("floor's", "ours", "ratio", "budget"):
        table.add_column(heading, justify="right")
    table.add_column("met")
    for row in rows:
        limit = "" if row.budget is None else f"{'≤' if row.at_most else '≥'} {row.budget:g}"
        met = {None: "", True: "[green]yes[/green]", False: "[red]no[/red]"}[row.is_met]
        bare, ours = (f"{value:,.{0 if value >= 1000 else 2}f} {row.unit}" for value in (row.floors, row.ours))
        table.add_row(row.what, row.floor, bare, ours, f"{row.ratio:.2f}", limit, met)
    return table
