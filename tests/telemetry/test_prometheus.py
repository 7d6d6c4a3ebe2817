"""Prometheus metrics, as a scrape sees them."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping

import attrs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kochava_bot_middleware.delivery.circuit import Circuit, CircuitState, Target
from kochava_bot_middleware.delivery.settings import DeliverySettings
from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.messenger.events import MessageEvent
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Entry, Outcome, QueueStats, Settlement, Unit
from kochava_bot_middleware.telemetry.counts import Counts
from kochava_bot_middleware.telemetry.observer import ObservedStore
from kochava_bot_middleware.telemetry.prometheus import Metrics
from kochava_bot_middleware.testing import VirtualClock

REQUEST = WireRequest(method="GET", url="https://imp.test/track?fb_user_id=somebody", headers={})


@attrs.frozen
class FakeMiddleware:
    """A middleware that has counted something."""

    counts: Counts


class BrokenStore(MemoryStore):
    """Cannot be read."""

    async def stats(self) -> Mapping[str, QueueStats]:
        msg = "gone"
        raise StoreUnavailable(msg)


@attrs.frozen
class FakeWorker:
    """A worker with one destination."""

    circuit: Circuit

    def destinations(self) -> list[tuple[Target, bool]]:
        return [(Target(host="k.test", app_id="koapp", queue="track"), self.circuit.is_down)]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def metrics(clock: VirtualClock) -> Metrics:
    return Metrics(clock=clock)


async def scraped(metrics: Metrics, store: Store | None = None) -> dict[str, float]:
    """Samples by name and labels in the order of their names, such as ``kochava_bot_dead_total{track,too old}``."""
    text = (await metrics.text(store)).decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(value for name, value in sample.labels.items() if name != "le")
            if "le" not in sample.labels:
                found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def entry(number: int, clock: VirtualClock) -> Entry:
    return Entry(id=f"e{number}", queue="track", lane=f"koapp/{number}", created_at=clock.now(), body=b"{}")


async def test_accepted_entries_and_their_outcomes_are_counted(metrics: Metrics, clock: VirtualClock) -> None:
    """Once each, by queue, and by reason where there is one."""
    store = ObservedStore(MemoryStore(clock=clock), metrics, clock)
    entries = [entry(number, clock) for number in range(5)]
    await store.commit(Unit(appends=entries))
    await store.commit(Unit(appends=entries[:1]))
    clock.jump(40.0)
    claims = await store.claim("track", 4, 60.0)
    ends = [
        (Outcome.DONE, ""),
        (Outcome.RETRY, "server error"),
        (Outcome.DEAD, "too old"),
        (Outcome.DROPPED, "opted out"),
    ]
    settlements = [
        Settlement(claim=claim, outcome=outcome, reason=reason)
        for claim, (outcome, reason) in zip(claims, ends, strict=True)
    ]
    await store.commit(Unit(settlements=settlements))

    found = await scraped(metrics)
    assert 5 == found["kochava_bot_accepted_total{track}"]
    assert 1 == found["kochava_bot_delivered_total{track}"]
    assert 1 == found["kochava_bot_retried_total{track,server error}"]
    assert 1 == found["kochava_bot_dead_total{track,too old}"]
    assert 1 == found["kochava_bot_dropped_total{track,opted out}"]
    assert (1, 40) == (
        found["kochava_bot_delivery_seconds_count{track}"],
        found["kochava_bot_delivery_seconds_sum{track}"],
    )
    assert 3 == found["kochava_bot_commit_seconds_count{}"]


async def test_released_entry_is_counted_neither_as_delivered_nor_as_retried(
    metrics: Metrics, clock: VirtualClock
) -> None:
    """It was never begun."""
    store = ObservedStore(MemoryStore(clock=clock), metrics, clock)
    await store.commit(Unit(appends=[entry(1, clock)]))
    (claim,) = await store.claim("track", 1, 60.0)
    await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.RELEASE)]))
    ended = ("delivered", "retried", "dead", "dropped")
    counted = {name.partition("{")[0] for name in await scraped(metrics)}
    assert counted.isdisjoint(f"kochava_bot_{end}_total" for end in ended)


async def test_settlement_that_came_too_late_is_not_counted(metrics: Metrics, clock: VirtualClock) -> None:
    """A unit that was refused wrote nothing."""
    store = ObservedStore(MemoryStore(clock=clock), metrics, clock)
    await store.commit(Unit(appends=[entry(1, clock)]))
    (claim,) = await store.claim("track", 1, 60.0)
    done = Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE)])
    await store.commit(done)
    await store.commit(done)
    assert 1 == (await scraped(metrics))["kochava_bot_delivered_total{track}"]


async def test_commit_that_fails_is_counted(metrics: Metrics) -> None:
    """The store raised."""
    metrics.committed(Unit(), None, 1.0)
    found = await scraped(metrics)
    assert (1, 0) == (found["kochava_bot_commit_failures_total{}"], found["kochava_bot_commit_seconds_count{}"])


async def test_store_is_read_at_each_scrape(metrics: Metrics, clock: VirtualClock) -> None:
    """How many wait, since when, and how many were ever accepted."""
    store = MemoryStore(clock=clock)
    await store.commit(Unit(appends=[entry(1, clock), entry(2, clock)]))
    clock.jump(7.0)
    found = await scraped(metrics, store)
    assert 1 == found["kochava_bot_store_up{}"]
    assert 2 == found["kochava_bot_store_accepted_total{track}"]
    assert 2 == found["kochava_bot_store_entries{track,waiting}"]
    assert 0 == found["kochava_bot_store_entries{track,dead}"]
    assert 7 == found["kochava_bot_store_oldest_waiting_seconds{track}"]


async def test_store_that_cannot_be_read_is_down(metrics: Metrics, clock: VirtualClock) -> None:
    """The other metrics are still there."""
    await scraped(metrics, MemoryStore(clock=clock))
    found = await scraped(metrics, BrokenStore(clock=clock))
    assert 0 == found["kochava_bot_store_up{}"]
    assert "kochava_bot_commit_seconds_count{}" in found


async def test_counts_of_middlewares_are_added_up(metrics: Metrics) -> None:
    """Links by reason, records by kind, and what is at risk now."""
    one = Counts(
        links_rewritten=2, links_left_alone=Counter({"skipped": 1}), recorded=Counter({"engagement": 4}), at_risk=3
    )
    other = Counts(
        links_rewritten=1,
        links_left_alone=Counter({"skipped": 2, "no_template": 1}),
        left_out=Counter({"test user": 1}),
    )
    metrics.watch(FakeMiddleware(one))
    metrics.watch(FakeMiddleware(other))
    found = await scraped(metrics)
    assert 3 == found["kochava_bot_links_rewritten_total{}"]
    assert 3 == found["kochava_bot_links_left_alone_total{skipped}"]
    assert 1 == found["kochava_bot_links_left_alone_total{no_template}"]
    assert 4 == found["kochava_bot_recorded_total{engagement}"]
    assert 1 == found["kochava_bot_left_out_total{test user}"]
    assert 3 == found["kochava_bot_at_risk{}"]


async def test_requests_are_timed_by_host_and_answer(metrics: Metrics, clock: VirtualClock) -> None:
    """Nothing else of the address becomes a label."""
    for outcome in (Answer(status=200), Failure(reason="no answer in time", ambiguous=True)):
        with metrics.sending(REQUEST) as answered:
            clock.stall(3.0)
            answered(outcome)
    found = await scraped(metrics)
    assert 3 == found["kochava_bot_request_seconds_sum{2xx,imp.test}"]
    assert 1 == found["kochava_bot_request_seconds_count{no answer in time,imp.test}"]
    assert b"somebody" not in await metrics.text()


async def test_handlers_are_timed_also_when_they_raise(metrics: Metrics, clock: VirtualClock) -> None:
    """By kind of event."""
    event = MessageEvent(user_id="somebody", page_id="1", timestamp=None, raw={}, mid="m_1", text="hello")

    def handle() -> None:
        with metrics.handling(event):
            clock.stall(2.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        handle()
    assert 2 == (await scraped(metrics))["kochava_bot_handling_seconds_sum{message}"]


@pytest.mark.parametrize(
    ("state", "expected"), [(CircuitState.CLOSED, 0), (CircuitState.OPEN, 1), (CircuitState.PROBING, 1)]
)
async def test_destination_whose_circuit_is_open_is_down(metrics: Metrics, state: CircuitState, expected: int) -> None:
    """By host, app and queue."""
    metrics.watch_worker(FakeWorker(circuit_in(state)))
    assert expected == (await scraped(metrics))["kochava_bot_destination_down{koapp,k.test,track}"]


def circuit_in(state: CircuitState) -> Circuit:
    circuit = Circuit(DeliverySettings(), limit=1, rng=random.Random(1))
    circuit.state = state
    return circuit


def test_metrics_are_off_without_their_library() -> None:
    """`if_installed` returns none, and the error of the class says what to install."""
    code = """if True:
        import sys
        sys.modules["prometheus_client"] = None
        from kochava_bot_middleware.exceptions import KochavaBotError
        from kochava_bot_middleware.telemetry.prometheus import Metrics
        print(Metrics.if_installed())
        try:
            Metrics()
        except KochavaBotError as exc:
            print(exc)
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    none, message = done.stdout.splitlines()
    assert ("None", True, "") == (none, "kochava-bot-middleware[metrics]" in message, done.stderr)
