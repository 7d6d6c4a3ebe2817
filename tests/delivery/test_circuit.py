"""The state machine of one destination, over injected time."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kochava_bot_middleware.delivery.circuit import Cause, Circuit, Circuits, CircuitState, Target
from kochava_bot_middleware.delivery.settings import DeliverySettings


def circuit(*, limit: int = 4, **settings: Any) -> Circuit:
    return Circuit(DeliverySettings(**settings), limit=limit, rng=random.Random(5))


def fail(subject: Circuit, now: float, lane: str) -> bool:
    assert subject.admit(now) is None
    return subject.failed(now, lane=lane, began=now)


def test_it_opens_when_the_records_of_several_users_fail_in_a_row() -> None:
    """Five by default."""
    subject = circuit()
    began = [fail(subject, 0.0, f"lane{number}") for number in range(5)]
    assert [False, False, False, False, True] == began
    assert (CircuitState.OPEN, Cause.DOWN) == (subject.state, subject.cause)


def test_one_record_that_always_fails_does_not_open_it() -> None:
    """It proves nothing about the destination."""
    subject = circuit()
    for number in range(50):
        fail(subject, float(number), "lane")
    assert CircuitState.CLOSED is subject.state


def test_success_between_failures_keeps_it_closed() -> None:
    """In a row means in a row."""
    subject = circuit()
    for number in range(20):
        fail(subject, 0.0, f"lane{number % 4}")
        if number % 4 == 3:
            assert subject.admit(0.0) is None
            subject.succeeded(0.0)
    assert CircuitState.CLOSED is subject.state


@pytest.mark.parametrize(("served_at", "opens"), [(0.0, True), (9.0, False)])
def test_only_failures_during_which_nobody_was_served_open_it(served_at: float, opens: bool) -> None:
    """Of a destination that serves others, those that hang prove nothing, however many of them end at once."""
    subject = circuit(limit=9)
    assert [None] * 6 == [subject.admit(0.0) for _ in range(6)]
    subject.succeeded(served_at)
    for number in range(5):
        subject.failed(10.0, lane=f"lane{number}", began=0.0)
    assert opens == subject.is_down


def test_while_open_it_names_the_time_of_the_probe() -> None:
    """Whoever asks knows when to ask again."""
    subject = circuit(failures_to_open=1)
    fail(subject, 100.0, "lane")
    again = subject.admit(101.0)
    assert again == subject.until
    assert 103.5 <= subject.until <= 107.0


def test_only_one_probe_is_under_way() -> None:
    """The second one has to wait for the first one's end."""
    subject = circuit(failures_to_open=1)
    fail(subject, 0.0, "lane")
    assert subject.admit(10.0) is None
    assert CircuitState.PROBING is subject.state
    assert subject.admit(10.0) is not None


def test_probes_come_after_longer_and_longer_waits() -> None:
    """7, 30, 60, 60 … with jitter."""
    subject = circuit(failures_to_open=1)
    now, waits = 0.0, []
    for _ in range(5):
        fail(subject, now, "lane")
        waits.append(subject.until - now)
        now = subject.until
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, (7, 30, 60, 60, 60), strict=True))


def test_served_probe_closes_it() -> None:
    """And says that an outage ended."""
    subject = circuit(failures_to_open=1)
    fail(subject, 0.0, "lane")
    assert subject.admit(10.0) is None
    assert subject.succeeded(10.0)
    assert CircuitState.CLOSED is subject.state


def test_answer_to_a_request_from_before_the_outage_does_not_close_it() -> None:
    """It proves nothing about now."""
    subject = circuit()
    assert subject.admit(0.0) is None
    assert subject.admit(0.0) is None
    subject.slowed(1.0, floor_seconds=30.0)
    assert not subject.succeeded(1.1)
    assert (CircuitState.OPEN, 31.0) == (subject.state, subject.until)


def test_429_opens_it_at_once_for_the_time_asked_for() -> None:
    """The whole destination slows down, not one record."""
    subject = circuit()
    assert subject.admit(0.0) is None
    subject.slowed(0.0, floor_seconds=90.0)
    assert (CircuitState.OPEN, Cause.TOO_FAST, 90.0) == (subject.state, subject.cause, subject.until)


def test_refused_credentials_open_it_at_once() -> None:
    """One answer is enough."""
    subject = circuit()
    assert subject.admit(0.0) is None
    assert subject.refused(0.0)
    assert (CircuitState.OPEN, Cause.REFUSED) == (subject.state, subject.cause)


def test_abandoned_probe_leaves_the_next_one_free() -> None:
    """A dropped record must not keep the destination closed."""
    subject = circuit(failures_to_open=1)
    fail(subject, 0.0, "lane")
    assert subject.admit(10.0) is None
    subject.abandoned(10.0)
    assert subject.admit(10.0) is None


def test_slow_start_doubles_every_second() -> None:
    """From ten a second to everything in ten seconds."""
    subject = circuit(limit=10_000, failures_to_open=1)
    fail(subject, 0.0, "lane")
    assert subject.admit(10.0) is None
    subject.succeeded(10.0)
    sent = []
    for second in range(4):
        count = 0
        for step in range(100):
            now = 10.0 + second + step / 100
            while subject.admit(now) is None:
                count += 1
                subject.succeeded(now)
                assert count < 5000
        sent.append(count)
    assert all(10 * 2**n * 0.8 <= count <= 10 * 2 ** (n + 1) * 1.1 for n, count in enumerate(sent))
    assert not subject.free(14.0)
    assert subject.free(20.1)


def test_failure_during_slow_start_opens_it_sooner() -> None:
    """Two are enough then."""
    subject = circuit(failures_to_open=5, ramp_start_per_second=1000.0)
    for number in range(5):
        fail(subject, 0.0, f"lane{number}")
    assert subject.admit(10.0) is None
    subject.succeeded(10.0)
    assert not fail(subject, 10.5, "a")
    assert fail(subject, 10.6, "b")


def test_no_more_under_way_than_the_limit() -> None:
    """A slow destination does not take every place."""
    subject = circuit(limit=2)
    assert [None, None] == [subject.admit(0.0), subject.admit(0.0)]
    assert 0 == subject.room(0.0)
    assert subject.admit(0.0) is not None


@pytest.mark.parametrize("rate", [0.5, 2.0, 30.0])
def test_rate_is_never_exceeded(rate: float) -> None:
    """Over any long time, in requests a second."""
    subject = circuit(rate_per_second=rate)
    sent = 0
    for step in range(4000):
        if subject.admit(step / 100) is None:
            sent += 1
            subject.succeeded(step / 100)
    assert 40 * rate * 0.9 <= sent <= 40 * rate + max(1.0, rate / 10) + 1


def test_nothing_is_worth_claiming_while_every_known_destination_is_left_alone() -> None:
    """Room is of the queue as a whole."""
    targets = [Target(host="h", app_id=app, queue="track") for app in ("one", "two")]
    pace = Circuits(DeliverySettings(), known=targets, rng=random.Random(1))
    assert (7, 0.0) == pace.room("track", 0.0, most=7)
    for target in targets:
        assert pace.circuit(target).admit(0.0) is None
        pace.circuit(target).refused(0.0)
    seconds = min(pace.circuit(target).until for target in targets)
    assert (0, seconds) == pace.room("track", 0.0, most=7)
    assert (7, 0.0) == pace.room("ping", 0.0, most=7)


class CircuitMachine(RuleBasedStateMachine):
    """Any sequence of answers and times."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = circuit(limit=3, failures_to_open=2)
        self.now = 0.0
        self.under_way = 0

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def admit(self) -> None:
        room = self.subject.room(self.now)
        again = self.subject.admit(self.now)
        assert (again is None) == (room > 0)
        if again is None:
            self.under_way += 1
        else:
            assert again > self.now

    @precondition(lambda self: self.under_way)
    @rule(how=st.sampled_from(["succeeded", "failed", "slowed", "refused", "abandoned"]), lane=st.integers(0, 3))
    def end(self, how: str, lane: int) -> None:
        self.under_way -= 1
        arguments: dict[str, Any] = {"lane": str(lane), "began": self.now} if how == "failed" else {}
        getattr(self.subject, how)(self.now, **arguments)

    @invariant()
    def never_stuck(self) -> None:
        if not self.under_way:
            assert self.subject.room(max(self.now, self.subject.until) + 100) > 0

    @invariant()
    def one_probe(self) -> None:
        assert self.subject.state is not CircuitState.PROBING or self.under_way == 1


TestCircuitMachine = CircuitMachine.TestCase
