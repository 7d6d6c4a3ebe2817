"""The records and state changes that a recording becomes, from values alone."""

from __future__ import annotations

from typing import Any

import attrs

from kochava_bot_middleware.settings import from_mapping
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Condition
from kochava_bot_middleware.telemetry.counts import LeftOut
from kochava_bot_middleware.tracking.consent import HookAnswers, Suppression
from kochava_bot_middleware.tracking.funnel import Sent
from kochava_bot_middleware.tracking.people import Person
from kochava_bot_middleware.tracking.record_plan import RecordingPlan, plan_person
from kochava_bot_middleware.tracking.recording import RecordedPerson, Recording, RequestedEvent
from kochava_bot_middleware.tracking.settings import KochavaSettings, TrackingContext
from tests.fakes import VirtualClock

ANN = Person(user_id="ann", page_id="1001")


def recorded(**settings: Any) -> RecordedPerson:
    """A purchase and an identity of one person."""
    context = TrackingContext(
        from_mapping(KochavaSettings, {"kochava_app_id": "koapp", "store": "memory://", **settings}),
        store=MemoryStore(),
        clock=VirtualClock(),
    )
    recording = Recording(context)
    recording.identify(ANN, {"customer_id": "C-17"})
    recording.track(ANN, RequestedEvent(name="Purchase", data={"sum": 1}))
    recording.complete()
    (part,) = recording.people.values()
    return part


def planned(part: RecordedPerson, **stored: bytes) -> RecordingPlan:
    return plan_person(
        part,
        {getattr(part.keys, name): value for name, value in stored.items()},
        event=None,
        usertime=1_800_000_000,
        now=1_800_000_000.0,
    )


def test_install_event_and_identity_link_come_in_this_order() -> None:
    """Kochava wants the install first, and joins a link only to a person it knows."""
    part = recorded()
    part.answers = HookAnswers(installs=True)

    assert ["install", "engagement", "identity_link"] == [record.kind for record in planned(part).records]


def test_a_known_person_does_not_install() -> None:
    """The state entry that is stored with the first record prevents it."""
    part = recorded()
    part.answers = HookAnswers(installs=True)

    assert ["engagement", "identity_link"] == [record.kind for record in planned(part, known=b"seen").records]


def test_planning_again_gives_the_same_records() -> None:
    """The ids too, also those that are random."""
    part = recorded()

    assert planned(part).records == planned(part).records


def test_nothing_is_planned_for_a_suppressed_person() -> None:
    """Each event is counted as left out."""
    part = recorded()
    part.answers = HookAnswers(suppression=Suppression.CONSENT_REFUSED)

    assert RecordingPlan(left_out=["consent refused"]) == planned(part)


def test_each_change_of_state_depends_on_what_was_read() -> None:
    """And none is written once the person is suppressed."""
    part = recorded()
    marks = planned(part, identities=b"{}").marks

    assert {
        part.keys.known: (Condition.IF_ABSENT, None),
        part.keys.identities: (Condition.IF_EQUAL, b"{}"),
        part.suppression_keys[0]: (Condition.IF_ABSENT, None),
    } == {(mark.lane, mark.key): (mark.condition, mark.expected) for mark in marks}


def test_the_callables_facts_are_in_events_and_not_in_links() -> None:
    """But for ids of the device, which are the same in each record."""
    part = recorded()
    part.answers = HookAnswers(extra={"device_ver": "iPhone-iOS-13.6.0", "nt_id": "7"})
    event, link = planned(part).records

    assert {"device_ver": "iPhone-iOS-13.6.0", "nt_id": "7"} == attrs.asdict(event)["extra"]
    assert {"nt_id": "7"} == attrs.asdict(link)["extra"]


def test_state_without_stored_form_costs_no_record() -> None:
    """It is left out, and counted."""
    part = recorded(greeting={"impression_url": "https://imp.kochava.test/track/impression?campaign_id=kogreet"})
    creative: Any = object()
    part.signals = [Sent(at=1_800_000_000.0, mid="m", greeting="g", creative=creative)]
    plan = planned(part)
    assert (["engagement", "identity_link"], [LeftOut.NOT_STORABLE]) == (
        [record.kind for record in plan.records],
        plan.left_out,
    )
    assert part.keys.funnel[1] not in {mark.key for mark in plan.marks}
