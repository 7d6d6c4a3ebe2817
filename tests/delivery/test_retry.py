"""When to try again, and when to give up."""

from __future__ import annotations

import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.delivery.retry import Attempts, Decision, Histories, decide
from kochava_bot_middleware.delivery.settings import DeliverySettings
from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.kochava.verdict import DeliveryResult, Verdict, delivered
from kochava_bot_middleware.settings import InvalidSettings, from_mapping
from kochava_bot_middleware.store.records import Outcome

SETTINGS = DeliverySettings()
FAULT = Verdict(result=DeliveryResult.RETRY, reason="server error", server_error=True)
WEEK = 7 * 86_400.0


def decided(verdict: Verdict, *, tries: int = 1, age: float = 0.0, **facts: object) -> Decision:
    settings = attrs.evolve(SETTINGS, **facts)  # type: ignore[arg-type]
    return decide(
        verdict,
        history=Attempts(tries=tries),
        age_seconds=age,
        max_age_seconds=settings.max_age_seconds,
        settings=settings,
        rng=random.Random(1),
        event_name="Purchase",
    )


def test_delivered_is_done() -> None:
    """Nothing else to do."""
    assert Decision(outcome=Outcome.DONE) == decided(delivered(200))


def test_rejected_is_dead_with_its_reason() -> None:
    """Sending it again would change nothing."""
    assert Decision(outcome=Outcome.DEAD, reason="rejected by Kochava") == decided(
        Verdict(result=DeliveryResult.REJECTED, reason="rejected by Kochava")
    )


@given(tries=st.integers(1, 60), seed=st.integers(0, 10_000))
def test_waits_have_full_jitter_up_to_7_30_300_1800_seconds(tries: int, seed: int) -> None:
    """Each wait is anything from 0 to its bound; the last bound repeats."""
    decision = decide(
        FAULT,
        history=Attempts(tries=tries),
        age_seconds=0,
        max_age_seconds=WEEK,
        settings=SETTINGS,
        rng=random.Random(seed),
    )
    assert Outcome.RETRY is decision.outcome
    assert 0 <= decision.seconds <= (7, 30, 300, 1800)[min(tries, 4) - 1]


def test_jitter_uses_the_whole_range() -> None:
    """Many workers do not come back together."""
    waits = [
        decide(
            FAULT,
            history=Attempts(tries=3),
            age_seconds=0,
            max_age_seconds=WEEK,
            settings=SETTINGS,
            rng=random.Random(n),
        )
        for n in range(200)
    ]
    seconds = [wait.seconds for wait in waits if wait.outcome is Outcome.RETRY]
    assert min(seconds) < 15
    assert max(seconds) > 285


@given(floor=st.floats(0, 86_400), tries=st.integers(1, 9))
def test_retry_after_is_a_floor_of_every_wait(floor: float, tries: int) -> None:
    """Never earlier than Kochava asked for."""
    decision = decided(attrs.evolve(FAULT, floor_seconds=floor), tries=tries)
    assert Outcome.RETRY is decision.outcome
    assert floor <= decision.seconds


def test_age_ends_retrying_not_the_number_of_tries() -> None:
    """A thousand tries in an outage are fine; a week is not."""
    assert Outcome.RETRY is decided(FAULT, tries=1000, age=WEEK - 1).outcome
    assert Decision(outcome=Outcome.DEAD, reason="too old") == decided(FAULT, tries=1, age=WEEK)


def test_refused_credentials_never_kill_by_age() -> None:
    """Nothing is spent while the app is paused."""
    assert Outcome.RETRY is decided(Verdict(result=DeliveryResult.REFUSED), age=10 * WEEK).outcome


@pytest.mark.parametrize(("policy", "expected"), [("retry", Outcome.RETRY), ("dead", Outcome.DEAD)])
def test_ambiguity_is_decided_by_event_name(policy: str, expected: Outcome) -> None:
    """Perhaps twice, or perhaps not at all."""
    ambiguous = Verdict(result=DeliveryResult.RETRY, reason="no answer in time", ambiguous=True)
    assert expected is decided(ambiguous, on_ambiguous={"Purchase": policy}).outcome
    assert expected is decided(ambiguous, on_ambiguous_default=policy).outcome
    assert Outcome.RETRY is decided(FAULT, on_ambiguous={"Purchase": policy}).outcome


def test_faults_count_only_when_others_were_served_since_the_last_try() -> None:
    """An outage says nothing against a record."""
    histories = Histories()
    history = Attempts()
    for number in range(30):
        history = histories.note("a", FAULT, now=100.0 + number, served_at=50.0)
    assert (30, 1) == (history.tries, history.faults_while_serving)
    for number in range(19):
        history = histories.note("a", FAULT, now=200.0 + number, served_at=199.5 + number)
    assert 20 == history.faults_while_serving
    decision = decide(
        FAULT, history=history, age_seconds=0, max_age_seconds=WEEK, settings=SETTINGS, rng=random.Random(1)
    )
    assert Decision(outcome=Outcome.DEAD, reason="fails while others are served") == decision


@pytest.mark.parametrize(("is_sent", "faults"), [(False, 0), (True, 50)])
def test_failures_without_an_answer_count_if_the_request_was_sent(is_sent: bool, faults: int) -> None:
    """Only then may it be the record that gets none, while others are served."""
    histories = Histories()
    failure = Verdict(result=DeliveryResult.RETRY, reason="no answer in time", ambiguous=is_sent)
    for number in range(50):
        history = histories.note("a", failure, now=float(number), served_at=float(number))
    assert faults == history.faults_while_serving


def test_histories_are_bounded_and_end_with_their_records() -> None:
    """A long outage does not fill the memory."""
    histories = Histories(bound=100)
    for number in range(1000):
        histories.note(f"e{number}", FAULT, now=0.0, served_at=None)
    assert 100 == len(histories)
    histories.note("e999", delivered(200), now=1.0, served_at=1.0)
    assert 99 == len(histories)


def test_request_timeout_must_leave_a_part_of_the_lease() -> None:
    """Else a lease could lapse under a request."""
    assert 12.0 == DeliverySettings(lease_seconds=12.0, request_timeout_seconds=10.0).lease
    with pytest.raises(InvalidSettings, match="request_timeout_seconds: wanted"):
        DeliverySettings(lease_seconds=11.0, request_timeout_seconds=10.0)
    with pytest.raises(SettingsError, match="at most 10, since `lease_seconds` is 12; or leave"):
        from_mapping(DeliverySettings, {"lease_seconds": 12, "request_timeout_seconds": 11})


def test_the_lease_follows_the_request_timeout() -> None:
    """So that what a killed worker had claimed waits no longer than it must."""
    assert 15.0 == DeliverySettings().lease
    assert 45.0 == DeliverySettings(request_timeout_seconds=30.0).lease


def test_settings_come_from_a_mapping() -> None:
    """Lists and tables of a settings file."""
    settings = from_mapping(
        DeliverySettings, {"retry_waits_seconds": [1, 2.5], "on_ambiguous": {"Purchase": "dead"}, "concurrency": 3}
    )
    assert ([1, 2.5], {"Purchase": "dead"}, 3) == (
        list(settings.retry_waits_seconds),
        settings.on_ambiguous,
        settings.concurrency,
    )
    with pytest.raises(SettingsError, match="on_ambiguous"):
        from_mapping(DeliverySettings, {"on_ambiguous": {"Purchase": "perhaps"}})
