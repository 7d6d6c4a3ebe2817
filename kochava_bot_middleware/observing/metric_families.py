"""
Counts that others keep, in the form in which Prometheus' client takes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..delivery.circuit import Target
from ..measuring.counts import Counts
from ..store.listing import QueueStats

if TYPE_CHECKING:
    from prometheus_client.core import Metric

STATES = ("waiting", "in_flight", "done", "dead", "dropped")
"""Where an entry can be, by the names of `QueueStats`."""


def count_families(all_counts: Sequence[Counts]) -> Iterator[Metric]:
    """
    What middlewares counted; nothing if none is watched.
    """
    if not all_counts:
        return
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - it may not be installed

    rewritten = sum(counts.links_rewritten for counts in all_counts)
    yield CounterMetricFamily("kochava_bot_links_rewritten", "Links that left as SmartLinks.", value=rewritten)
    failures = sum(counts.provider_failures for counts in all_counts)
    meaning = "Times that a LinkProvider failed or was slow."
    yield CounterMetricFamily("kochava_bot_link_provider_failures", meaning, value=failures)
    by_label = (
        ("links_left_alone", "Links that left as they were.", "reason", [each.links_left_alone for each in all_counts]),
        ("recorded", "Records made durable.", "kind", [each.recorded for each in all_counts]),
        ("left_out", "What was not recorded.", "reason", [each.left_out for each in all_counts]),
    )
    for name, meaning, label, parts in by_label:
        family = CounterMetricFamily(f"kochava_bot_{name}", meaning, labels=[label])
        for value, count in sorted(_sum(parts).items()):
            family.add_metric([value], count)
        yield family
    at_risk = sum(counts.at_risk for counts in all_counts)
    meaning = "Commits that are only in memory, since the store does not work."
    yield GaugeMetricFamily("kochava_bot_at_risk", meaning, value=at_risk)


def store_families(stats: Mapping[str, QueueStats], *, is_up: bool, now: float) -> Iterator[Metric]:
    """
    What a store counted.

    Args:
        now: Seconds since the epoch.
    """
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415 - it may not be installed

    yield GaugeMetricFamily("kochava_bot_store_up", "Whether the store could be read.", value=float(is_up))
    accepted = CounterMetricFamily("kochava_bot_store_accepted", "Entries ever appended.", labels=["queue"])
    entries = GaugeMetricFamily("kochava_bot_store_entries", "Entries by state.", labels=["queue", "state"])
    meaning = "Age of the lane head that waits longest; 0 when nothing waits."
    oldest = GaugeMetricFamily("kochava_bot_store_oldest_waiting_seconds", meaning, labels=["queue"])
    for queue, counts in sorted(stats.items()):
        accepted.add_metric([queue], counts.accepted)
        for state in STATES:
            entries.add_metric([queue, state], getattr(counts, state))
        since = counts.oldest_waiting_at
        oldest.add_metric([queue], 0.0 if since is None else max(0.0, now - since))
    yield from (accepted, entries, oldest)


def destination_families(destinations: Iterable[tuple[Target, bool]]) -> Iterator[Metric]:
    """
    Which destinations are left alone.

    Args:
        destinations: Each with whether it is.
    """
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415 - it may not be installed

    family = GaugeMetricFamily(
        "kochava_bot_destination_down", "1 while it is left alone or probed.", labels=["host", "app", "queue"]
    )
    for target, is_down in destinations:
        family.add_metric([target.host, target.app_id, target.queue], float(is_down))
    yield family


def _sum(parts: Sequence[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total
