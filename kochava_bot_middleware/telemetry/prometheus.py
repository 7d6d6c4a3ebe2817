"""
Prometheus metrics; needs the extra ``metrics``.

Example:
    ```python
    metrics = Metrics()
    kochava = KochavaMiddleware.from_dict({...}, observer=metrics)
    metrics.watch(kochava)
    text = await metrics.text(kochava.provide_store())  # for the route /metrics
    ```

Metrics that are counted are those of this process alone. Those read from the store, ``kochava_bot_store_…``, are the
same in every process that shares it: take their maximum, not their sum.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, Self

from ..clock import Clock, SystemClock
from ..exceptions import KochavaBotError
from ..kochava.client import Answer, Failure
from ..kochava.wire import WireRequest
from ..messenger.events import Event
from ..store.contract import Store
from ..store.records import Committed, CommitVerdict, Outcome, QueueStats, Unit
from .counts import Counts
from .observer import Answered

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of `Metrics.text`."""

REQUEST_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
DELAY_BUCKETS = (0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 6 * 3600.0, 86400.0, 7 * 86400.0)


STATES = ("waiting", "in_flight", "done", "dead", "dropped")
"""The states of an entry, by the names of `QueueStats`."""


class HasCounts(Protocol):
    """What the metrics need of a `KochavaMiddleware` or a `MessengerBot`."""

    @property
    def counts(self) -> Counts:
        """What it has counted."""


class DeliveryTarget(Protocol):
    """What identifies a destination."""

    @property
    def host(self) -> str: ...

    @property
    def app_id(self) -> str: ...

    @property
    def queue(self) -> str: ...


class HasDestinations(Protocol):
    """What the metrics need of a `Worker`."""

    def destinations(self) -> Iterable[tuple[DeliveryTarget, bool]]:
        """Each destination, and whether nothing is sent to it now."""


class Metrics:
    """
    An `Observer` that counts and measures.

    - ``kochava_bot_accepted_total`` by queue: entries made durable
    - ``kochava_bot_delivered_total`` by queue: taken by Kochava, or handled
    - ``kochava_bot_retried_total``, ``kochava_bot_dead_total``, ``kochava_bot_dropped_total`` by queue, reason:
      retried, given up, not sent on purpose
    - ``kochava_bot_commit_seconds``, ``kochava_bot_commit_failures_total``: time of a commit; commits that the
      store refused
    - ``kochava_bot_request_seconds`` by host, answer: time of a request to Kochava
    - ``kochava_bot_delivery_seconds`` by queue: from the creation of a record to its delivery
    - ``kochava_bot_handling_seconds`` by kind: time of a handler
    - ``kochava_bot_destination_down`` by host, app, queue: 1 while its circuit is open or it is probed
    - ``kochava_bot_links_rewritten_total``, ``kochava_bot_links_left_alone_total`` by reason: links rewritten, or
      left alone
    - ``kochava_bot_link_provider_failures_total``: a `LinkProvider` failed or was slow
    - ``kochava_bot_recorded_total``, ``kochava_bot_left_out_total`` by kind; reason: records made, and those left
      out
    - ``kochava_bot_at_risk``: commits that are only in memory
    - ``kochava_bot_store_up``: 1 while the store can be read
    - ``kochava_bot_store_accepted_total`` by queue: entries ever appended
    - ``kochava_bot_store_entries`` by queue, state: entries by state
    - ``kochava_bot_store_oldest_waiting_seconds`` by queue: age of what waits longest

    Args:
        clock: Time.
        registry: Where the metrics are registered; ``None`` creates a new one.

    Raises:
        KochavaBotError: The library is not installed.
    """

    def __init__(self, *, clock: Clock | None = None, registry: CollectorRegistry | None = None) -> None:
        try:
            import prometheus_client as prometheus  # noqa: PLC0415 - it may not be installed
            from prometheus_client import core  # noqa: PLC0415
        except ImportError:
            msg = "metrics need a library: pip install 'kochava-bot-middleware[metrics]'"
            raise KochavaBotError(msg) from None
        self._clock = clock or SystemClock()
        self._counter_family = core.CounterMetricFamily
        self._gauge_family = core.GaugeMetricFamily
        self._generate = prometheus.generate_latest
        self.registry = registry = registry or prometheus.CollectorRegistry()
        self._counted: list[HasCounts] = []
        self._workers: list[HasDestinations] = []
        self._stats: Mapping[str, QueueStats] | None = None
        self._store_up = False

        def counter(name: str, meaning: str, *labels: str) -> Any:
            return prometheus.Counter(f"kochava_bot_{name}", meaning, labels, registry=registry)

        def histogram(name: str, meaning: str, *labels: str, buckets: tuple[float, ...]) -> Any:
            return prometheus.Histogram(f"kochava_bot_{name}", meaning, labels, registry=registry, buckets=buckets)

        self._accepted = counter("accepted", "Entries made durable.", "queue")
        self._delivered = counter("delivered", "Entries done: accepted by Kochava, or handled.", "queue")
        self._not_delivered = {
            Outcome.RETRY: counter("retried", "Entries put back to wait.", "queue", "reason"),
            Outcome.DEAD: counter("dead", "Entries given up.", "queue", "reason"),
            Outcome.DROPPED: counter("dropped", "Entries not sent on purpose.", "queue", "reason"),
        }
        self._commit = histogram("commit_seconds", "Time a commit took.", buckets=COMMIT_BUCKETS)
        self._commit_failures = counter("commit_failures", "Commits that the store refused.")
        self._request = histogram(
            "request_seconds", "Time of a request to Kochava.", "host", "answer", buckets=REQUEST_BUCKETS
        )
        self._delay = histogram(
            "delivery_seconds", "From the creation of a record to its delivery.", "queue", buckets=DELAY_BUCKETS
        )
        self._handling = histogram("handling_seconds", "Time a handler took.", "kind", buckets=REQUEST_BUCKETS)
        registry.register(self)

    @classmethod
    def if_installed(cls, *, clock: Clock | None = None) -> Self | None:
        """An instance, or ``None`` if the library is not installed."""
        try:
            return cls(clock=clock)
        except KochavaBotError:
            return None

    def watch(self, counted: HasCounts) -> None:
        """Include the counts of a middleware or a bot; those of several are added up."""
        self._counted.append(counted)

    def watch_worker(self, worker: HasDestinations) -> None:
        """Include the destinations of a worker."""
        self._workers.append(worker)

    async def text(self, store: Store | None = None, *, timeout_seconds: float = 5.0) -> bytes:
        """
        All metrics in Prometheus' text format.

        Args:
            store: Its counts are included; while it cannot be read, ``kochava_bot_store_up`` is 0. ``None`` leaves
                its metrics out.
            timeout_seconds: How long the store may take to answer.
        """
        self._stats = None
        if store is not None:
            try:
                async with asyncio.timeout(timeout_seconds):
                    self._stats = await store.stats()
                self._store_up = True
            except Exception:  # noqa: BLE001 - an engine may raise anything; the other metrics are still shown
                self._stats, self._store_up = {}, False
        return self._generate(self.registry)

    def collect(self) -> Iterator[Metric]:
        """The metrics that are read when they are asked for. Called by the registry."""
        yield from self._count_families()
        yield from self._store_families()
        yield from self._destination_families()

    @contextmanager
    def handling(self, event: Event) -> Iterator[None]:
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self._handling.labels(str(event.kind)).observe(self._clock.monotonic() - began)

    @contextmanager
    def sending(self, request: WireRequest) -> Iterator[Answered]:
        began = self._clock.monotonic()

        def answered(outcome: Answer | Failure) -> None:
            answer = f"{outcome.status // 100}xx" if isinstance(outcome, Answer) else outcome.reason
            self._request.labels(request.host, answer).observe(self._clock.monotonic() - began)

        yield answered

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        if answer is None:
            self._commit_failures.inc()
            return
        self._commit.observe(seconds)
        if answer.verdict is not CommitVerdict.COMMITTED:
            return
        new = set(answer.appended)
        for entry in unit.appends:
            if entry.id in new:
                new.discard(entry.id)
                self._accepted.labels(entry.queue).inc()
        now = self._clock.now()
        for settlement in unit.settlements:
            entry = settlement.claim.entry
            if settlement.outcome is Outcome.DONE:
                self._delivered.labels(entry.queue).inc()
                self._delay.labels(entry.queue).observe(max(0.0, now - entry.created_at))
            elif settlement.outcome in self._not_delivered:
                self._not_delivered[settlement.outcome].labels(entry.queue, settlement.reason).inc()

    def _count_families(self) -> Iterator[Metric]:
        if not self._counted:
            return
        all_counts = [each.counts for each in self._counted]
        rewritten = sum(counts.links_rewritten for counts in all_counts)
        yield self._counter_family("kochava_bot_links_rewritten", "Links sent as SmartLinks.", value=rewritten)
        failures = sum(counts.provider_failures for counts in all_counts)
        meaning = "Times that a LinkProvider failed or was slow."
        yield self._counter_family("kochava_bot_link_provider_failures", meaning, value=failures)
        by_label = (
            (
                "links_left_alone",
                "Links that were sent as they were.",
                "reason",
                [each.links_left_alone for each in all_counts],
            ),
            ("recorded", "Records made durable.", "kind", [each.recorded for each in all_counts]),
            ("left_out", "What was not recorded.", "reason", [each.left_out for each in all_counts]),
        )
        for name, meaning, label, parts in by_label:
            family = self._counter_family(f"kochava_bot_{name}", meaning, labels=[label])
            total: Counter[str] = Counter()
            for part in parts:
                total.update(part)
            for value, count in sorted(total.items()):
                family.add_metric([value], count)
            yield family
        at_risk = sum(counts.at_risk for counts in all_counts)
        meaning = "Commits that are only in memory, since the store does not work."
        yield self._gauge_family("kochava_bot_at_risk", meaning, value=at_risk)

    def _store_families(self) -> Iterator[Metric]:
        if self._stats is None:
            return
        yield self._gauge_family(
            "kochava_bot_store_up", "Whether the store could be read.", value=float(self._store_up)
        )
        accepted = self._counter_family("kochava_bot_store_accepted", "Entries ever appended.", labels=["queue"])
        entries = self._gauge_family("kochava_bot_store_entries", "Entries by state.", labels=["queue", "state"])
        meaning = "Age of the lane head that waits longest; 0 when nothing waits."
        oldest = self._gauge_family("kochava_bot_store_oldest_waiting_seconds", meaning, labels=["queue"])
        for queue, counts in sorted(self._stats.items()):
            accepted.add_metric([queue], counts.accepted)
            for state in STATES:
                entries.add_metric([queue, state], getattr(counts, state))
            since = counts.oldest_waiting_at
            oldest.add_metric([queue], 0.0 if since is None else max(0.0, self._clock.now() - since))
        yield from (accepted, entries, oldest)

    def _destination_families(self) -> Iterator[Metric]:
        family = self._gauge_family(
            "kochava_bot_destination_down", "1 while nothing but probes is sent to it.", labels=["host", "app", "queue"]
        )
        for target, is_down in (pair for worker in self._workers for pair in worker.destinations()):
            family.add_metric([target.host, target.app_id, target.queue], float(is_down))
        yield family
