"""What an event at risk has to wait for."""

from __future__ import annotations

import pytest

from kochava_bot_middleware.inbox.entries import entry_of
from kochava_bot_middleware.inbox.in_flight import InFlight, InFlightEvent
from kochava_bot_middleware.store.records import Claim, Committed, CommitVerdict
from tests.inbox.inbox_fakes import message


class Person:
    """One person's lane: numbered events, and what the store answers."""

    def __init__(self) -> None:
        self.runs = InFlight()

    def claim(self, number: int) -> Claim:
        entry = entry_of(message(str(number)), 0.0)
        return Claim(entry=entry, token=f"token {number}", expires_at=30.0, attempt=1)

    def leased(self, number: int) -> InFlightEvent | None:
        """A settlement, or another claim, made this one ours."""
        return self.runs.lease(self.claim(number))

    def stored(self, number: int, *, leased: bool = False) -> InFlightEvent | None:
        """It was written; *leased* if its lane was empty."""
        claim = self.claim(number)
        run = self.runs.lease(claim, message(str(number))) if leased else None
        committed = Committed(
            verdict=CommitVerdict.COMMITTED, appended=(claim.entry.id,), leased=(claim,) if leased else ()
        )
        self.runs.written([claim.entry], committed)
        return run

    def held(self, number: int) -> InFlightEvent:
        """It is at risk."""
        run = self.runs.hold(self.claim(number).entry, message(str(number)))
        assert run is not None
        return run

    def handled(self, run: InFlightEvent) -> None:
        run.begun = True
        self.runs.has_handled(run)


@pytest.fixture
def ann() -> Person:
    return Person()


def begun(run: InFlightEvent | None) -> InFlightEvent:
    assert run is not None
    run.begun = True
    return run


def test_event_at_risk_waits_for_what_was_stored_although_one_at_risk_became_the_head(ann: Person) -> None:
    """The second one was never counted as waiting in the store, so its lease takes nothing off the count."""
    first = begun(ann.stored(1, leased=True))
    second = ann.held(2)
    ann.handled(first)
    begun(second)
    ann.stored(2)
    ann.stored(3)
    ann.leased(2)
    ann.runs.leave(first)
    fourth = ann.held(4)
    ann.handled(second)

    assert (False, False) == (fourth.ready, fourth.stirred.is_set())


def test_event_at_risk_waits_for_what_was_stored_although_its_predecessor_was_at_risk(ann: Person) -> None:
    """What the store has is the lane's, not the head's."""
    first = begun(ann.stored(1, leased=True))
    second = ann.held(2)
    ann.handled(first)
    ann.handled(second)
    ann.stored(2)
    ann.stored(3)

    assert not ann.held(4).ready


def test_event_at_risk_waits_for_one_that_was_left_to_the_store(ann: Person) -> None:
    """It was stored before its turn came."""
    first = begun(ann.stored(1, leased=True))
    second = ann.held(2)
    ann.stored(2)
    ann.runs.leave(second)
    ann.handled(first)

    assert not ann.held(3).ready


def test_event_at_risk_waits_for_what_was_stored_behind_one_that_is_left_to_the_store(ann: Person) -> None:
    """That one counts from when it is stored, though it is let go of later."""
    first = begun(ann.stored(1, leased=True))
    second = ann.held(2)
    ann.stored(2)
    ann.stored(3)
    ann.runs.leave(second)
    ann.handled(first)
    second = begun(ann.leased(2))
    ann.runs.leave(first)
    fourth = ann.held(4)
    ann.handled(second)

    assert not fourth.ready


def test_event_at_risk_waits_for_one_whose_lease_lapsed_before_it_was_begun(ann: Person) -> None:
    """The store has it still, and cannot be asked at the moment."""
    first = ann.stored(1, leased=True)
    assert first is not None
    ann.runs.leave(first)

    assert not ann.held(2).ready


def test_event_at_risk_follows_once_what_was_stored_has_been_handled(ann: Person) -> None:
    """The lane's count comes down with each lease."""
    first = begun(ann.stored(1, leased=True))
    ann.stored(2)
    ann.handled(first)
    second = begun(ann.leased(2))
    ann.runs.leave(first)
    third = ann.held(3)
    assert not third.ready
    ann.handled(second)

    assert third.ready


def test_event_stored_in_an_empty_lane_shows_that_nothing_waits(ann: Person) -> None:
    """Whatever another process did in between."""
    first = ann.stored(1, leased=True)
    assert first is not None
    ann.runs.leave(first)
    second = begun(ann.stored(2, leased=True))
    ann.handled(second)

    assert ann.held(3).ready


def test_lane_that_is_no_longer_ours_holds_nobody_up(ann: Person) -> None:
    """Another process goes on with it, and does not tell how far it is."""
    first = begun(ann.stored(1, leased=True))
    ann.stored(2)
    ann.handled(first)
    ann.runs.leave(first)

    assert ann.held(3).ready
