"""Greeting → impression → click, one person's state machine."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.settings import from_mapping
from kochava_bot_middleware.tracking.funnel import (
    Acted,
    Delivered,
    Elapsed,
    FunnelState,
    Offer,
    PingStep,
    Sent,
    Signal,
    advance,
)
from kochava_bot_middleware.tracking.greeting import GreetingSettings

WINDOW = 86400.0


def run(*signals: Signal) -> tuple[FunnelState, list[PingStep]]:
    """Feed signals in, through the stored form each time, as it is between two processes."""
    state, pings = run_all(*signals)
    return state, [step for step, _ in pings]


def run_all(*signals: Signal) -> tuple[FunnelState, list[tuple[PingStep, str]]]:
    """As `run`, each step with the tracker of its greeting."""
    state = FunnelState()
    pings: list[tuple[PingStep, str]] = []
    for signal in signals:
        state, due = advance(FunnelState.from_bytes(state.to_bytes()), signal, window_seconds=WINDOW)
        pings += [(step, greeting.tracker) for step, greeting in due]
    return state, pings


def sent(at: float, mid: str = "m1", offers: Sequence[str] = ("CHAT",), tracker: str = "greeting") -> Sent:
    return Sent(
        at=at, mid=mid, greeting=f"g-{mid}", tracker=tracker, offers=[Offer(each, each.title()) for each in offers]
    )


@pytest.mark.parametrize(
    "proof",
    [
        Delivered(at=11, mids=["m1"]),
        Delivered(at=11, watermark=10.5),
        Acted(at=11),
        Acted(at=11, payload="SOMETHING_ELSE"),
    ],
)
def test_an_impression_needs_proof_that_it_was_shown(proof: Signal) -> None:
    """A delivery by message id or watermark, or any action of the person, proves it."""
    assert [PingStep.IMPRESSION] == run(sent(10), proof)[1]


@pytest.mark.parametrize(
    "no_proof",
    [Delivered(at=11, mids=["other"]), Delivered(at=11, watermark=9.5), Delivered(at=11, mids=["other"], watermark=12)],
)
def test_another_messages_delivery_proves_nothing(no_proof: Signal) -> None:
    """Neither an older watermark nor a list that lacks the greeting."""
    assert [] == run(sent(10), no_proof)[1]


def test_a_sent_greeting_alone_is_no_impression() -> None:
    """Facebook may have accepted what never arrives."""
    assert [] == run(sent(10))[1]


@pytest.mark.parametrize("early", [Delivered(at=9, mids=["m1"]), Delivered(at=11, watermark=10.5)])
def test_delivery_and_send_may_arrive_in_either_order(early: Delivered) -> None:
    """The delivery webhook can be handled before the send is recorded."""
    assert [PingStep.IMPRESSION] == run(early, sent(10))[1]


def test_the_offered_button_is_the_click() -> None:
    """Its postback is the step from the greeting into the bot."""
    assert [PingStep.IMPRESSION, PingStep.CLICK] == run(
        sent(10), Delivered(at=11, mids=["m1"]), Acted(at=20, payload="CHAT")
    )[1]


def test_any_message_is_the_click() -> None:
    """Writing is stepping in as well."""
    assert [PingStep.IMPRESSION, PingStep.CLICK] == run(sent(10), Acted(at=20, is_message=True))[1]


def test_a_button_of_something_else_is_no_click() -> None:
    """A menu item proves that the person is there, not that the greeting worked."""
    assert [PingStep.IMPRESSION] == run(sent(10), Acted(at=20, payload="MENU"))[1]


def test_an_action_before_the_greeting_is_no_click() -> None:
    """Two messages written before the answer: the second is handled after the greeting, but was not caused by it."""
    assert [] == run(sent(10), Acted(at=9.5, is_message=True))[1]


def test_an_answer_after_the_window_is_no_click() -> None:
    """A day later it is another visit."""
    assert [PingStep.IMPRESSION] == run(
        sent(10), Delivered(at=11, mids=["m1"]), Acted(at=11 + WINDOW, is_message=True)
    )[1]


def test_the_window_of_the_click_begins_when_the_greeting_was_shown() -> None:
    """A telephone that was off all night shows it in the morning; the tap a minute later is its click."""
    shown = Delivered(at=0.9 * WINDOW, mids=["m1"])
    assert [PingStep.IMPRESSION, PingStep.CLICK] == run(sent(10), shown, Acted(at=1.1 * WINDOW, payload="CHAT"))[1]


def test_a_greeting_sent_again_before_the_first_was_shown_can_be_clicked() -> None:
    """Its window is not that of the first one, which was not shown."""
    again, shown = sent(0.9 * WINDOW, mid="m2"), Delivered(at=0.95 * WINDOW, mids=["m2"])
    assert [PingStep.IMPRESSION, PingStep.CLICK] == run(sent(10), again, shown, Acted(at=1.1 * WINDOW, payload="CHAT"))[
        1
    ]


def test_a_second_greeting_within_the_window_is_not_counted_again() -> None:
    """One impression and one click a person and window."""
    assert [PingStep.IMPRESSION, PingStep.CLICK] == run(
        sent(10),
        Acted(at=20, payload="CHAT"),
        sent(30, mid="m2"),
        Delivered(at=31, mids=["m2"]),
        Acted(at=40, payload="CHAT"),
    )[1]


def test_a_greeting_after_the_window_is_counted_again() -> None:
    """The next day counts anew."""
    later = 20 + WINDOW

    assert [PingStep.IMPRESSION, PingStep.CLICK] * 2 == run(
        sent(10),
        Acted(at=20, payload="CHAT"),
        sent(later, mid="m2"),
        Delivered(at=later + 1, mids=["m2"]),
        Acted(at=later + 2, payload="CHAT"),
    )[1]


def test_several_messages_of_one_run_are_one_greeting() -> None:
    """Text, picture and buttons: delivered one by one, shown once."""
    assert [PingStep.IMPRESSION] == run(
        sent(10, "m1", ()),
        sent(10.1, "m2"),
        Delivered(at=11, mids=["m1"]),
        Delivered(at=12, mids=["m2"]),
    )[1]


def test_an_offer_of_a_later_message_of_the_greeting_counts() -> None:
    """The button may be in its last message."""
    assert [PingStep.IMPRESSION, PingStep.CLICK] == run(
        sent(10, "m1", ()), sent(10.1, "m2"), Acted(at=20, payload="CHAT")
    )[1]


def test_a_delivery_that_seems_older_than_its_send_opens_no_new_window() -> None:
    """Two machines whose clocks differ record one greeting."""
    later = 10 + WINDOW + 1

    assert [PingStep.IMPRESSION] == run(
        sent(later), Delivered(at=10, mids=["m1"]), sent(later + 1, mid="m2"), Delivered(at=later + 2, mids=["m2"])
    )[1]


def test_the_end_of_the_wait_shows_the_greeting_it_belongs_to_and_no_other() -> None:
    """A later greeting has a wait of its own."""
    assert [PingStep.IMPRESSION] == run(sent(10), Elapsed(at=70, greeting="g-m1"), Elapsed(at=71, greeting="g-m1"))[1]
    assert [] == run(sent(10), Elapsed(at=70, greeting="g-other"))[1]
    assert [] == run(Elapsed(at=70, greeting="g-m1"))[1]


IMPRESSION, CLICK = PingStep.IMPRESSION, PingStep.CLICK
BOTH_SHOWN: list[tuple[PingStep, str]] = [(IMPRESSION, "greeting"), (IMPRESSION, "spring")]


def both_shown(*, offers: Sequence[str] = ("CHAT",)) -> list[Signal]:
    """Greetings of two trackers within a day, the named one last."""
    return [
        sent(10),
        Delivered(at=11, mids=["m1"]),
        sent(20, mid="m2", offers=offers, tracker="spring"),
        Delivered(at=21, mids=["m2"]),
    ]


def test_each_tracker_has_its_own_impression_and_click_within_the_window() -> None:
    """The second campaign of a day is measured like the first."""
    assert [(IMPRESSION, "greeting"), (CLICK, "greeting"), (IMPRESSION, "spring"), (CLICK, "spring")] == run_all(
        sent(10), Acted(at=15, is_message=True), sent(20, mid="m2", tracker="spring"), Acted(at=25, is_message=True)
    )[1]


def test_each_tracker_counts_a_person_once_a_window() -> None:
    """Greeting it again, between those of another, changes nothing."""
    assert [*BOTH_SHOWN, (CLICK, "spring")] == run_all(
        *both_shown(),
        sent(30, mid="m3"),
        sent(31, mid="m4", tracker="spring"),
        Delivered(at=32, mids=["m3", "m4"]),
        Acted(at=33, is_message=True),
        Acted(at=34, is_message=True),
    )[1]


def test_the_window_of_a_tracker_is_its_own() -> None:
    """A day after its own greeting it counts again, whatever another has had since."""
    later = 11 + WINDOW
    assert [*BOTH_SHOWN, (IMPRESSION, "greeting")] == run_all(
        *both_shown(),
        sent(later, mid="m3"),
        sent(later + 1, mid="m4", tracker="spring"),
        Delivered(at=later + 2, watermark=later + 2),
    )[1]


@pytest.mark.parametrize(
    ("offers", "acted", "clicked"),
    [
        (["BUY"], Acted(at=30, payload="CHAT"), "greeting"),
        (["BUY"], Acted(at=30, payload="BUY"), "spring"),
        (["CHAT"], Acted(at=30, payload="CHAT"), "spring"),
        (["BUY"], Acted(at=30, payload="CHAT", is_message=True), "greeting"),
        (["BUY"], Acted(at=30, payload="OTHER", is_message=True), "spring"),
        (["BUY"], Acted(at=30, is_message=True), "spring"),
        (["BUY"], Acted(at=30, replies_to="m1", is_message=True), "greeting"),
        (["BUY"], Acted(at=30, replies_to="m2", is_message=True), "spring"),
        (["BUY"], Acted(at=30, replies_to="other", is_message=True), "spring"),
        (["BUY"], Acted(at=30, payload="OTHER"), None),
        (["BUY"], Acted(at=30), None),
        (["BUY"], Acted(at=15, is_message=True), "greeting"),
    ],
)
def test_a_step_is_the_click_of_one_greeting(offers: list[str], acted: Acted, clicked: str | None) -> None:
    """Of that with the tapped button or the message replied to, else of the last: as Kochava attributes."""
    clicks = [] if clicked is None else [(CLICK, clicked)]
    assert [*BOTH_SHOWN, *clicks] == run_all(*both_shown(offers=offers), acted)[1]


def test_buttons_with_the_same_payload_are_told_apart_by_their_titles() -> None:
    """Many bots have one payload for "Start"."""
    first, second = sent(10), sent(20, mid="m2", tracker="spring")
    second = attrs.evolve(second, offers=[Offer("CHAT", "Spring sale")])
    tapped = Acted(at=30, payload="CHAT", title="Chat")
    assert (CLICK, "greeting") == run_all(first, second, tapped)[1][-1]
    assert (CLICK, "spring") == run_all(first, second, attrs.evolve(tapped, title="Another"))[1][-1]


def test_a_step_after_the_last_greeting_was_clicked_is_no_click_of_an_older_one() -> None:
    """It came from what the person saw last."""
    assert [*BOTH_SHOWN, (CLICK, "spring")] == run_all(
        *both_shown(), Acted(at=30, is_message=True), Acted(at=31, is_message=True), Acted(at=32, payload="CHAT")
    )[1]


def test_a_greeting_that_was_sent_again_is_the_last() -> None:
    """Although its window began before the other's."""
    assert [*BOTH_SHOWN, (CLICK, "greeting")] == run_all(
        *both_shown(), sent(30, mid="m3"), Acted(at=40, is_message=True)
    )[1]
    assert [*BOTH_SHOWN, (CLICK, "spring")] == run_all(
        *both_shown(), sent(30, mid="m3"), Acted(at=25, is_message=True)
    )[1]


def test_one_delivery_may_show_several_greetings() -> None:
    """Also when it comes before the second of them is recorded."""
    second = sent(20, mid="m2", tracker="spring")
    both = Delivered(at=21, mids=["m1", "m2"])
    up_to_now = Delivered(at=21, watermark=21)
    for shown in (both, up_to_now):
        assert BOTH_SHOWN == run_all(sent(10), second, shown)[1]
        assert BOTH_SHOWN == run_all(sent(10), shown, second)[1]
        assert BOTH_SHOWN == run_all(shown, sent(10), second)[1]


def test_greetings_of_many_trackers_do_not_grow_without_bound() -> None:
    """A person who is greeted for another campaign each hour."""
    state, pings = run_all(*(sent(10.0 + number, mid=f"m{number}", tracker=f"t{number}") for number in range(50)))
    assert ([], 10) == (pings, len(state.greetings))
    assert "t49" == state.greetings[-1].tracker


def test_an_unreadable_state_is_a_fresh_one() -> None:
    """A corrupt state entry must not stop the bot's events."""
    assert FunnelState() == FunnelState.from_bytes(b"{")


signals = st.one_of(
    st.builds(
        Sent,
        at=st.integers(0, 300_000).map(float),
        mid=st.sampled_from(["m1", "m2", "m3", None]),
        greeting=st.sampled_from(["g1", "g2"]),
        tracker=st.sampled_from(["greeting", "spring", "autumn"]),
        offers=st.sampled_from([(), (Offer("CHAT"),), (Offer("CHAT", "Chat"), Offer("BUY"))]),
    ),
    st.builds(
        Delivered,
        at=st.integers(0, 300_000).map(float),
        mids=st.lists(st.sampled_from(["m1", "m2", "m3", "m4"]), max_size=2),
        watermark=st.none() | st.integers(0, 300_000).map(float),
    ),
    st.builds(
        Acted,
        at=st.integers(0, 300_000).map(float),
        payload=st.none() | st.sampled_from(["CHAT", "BUY", "MENU"]),
        title=st.none() | st.just("Chat"),
        replies_to=st.none() | st.sampled_from(["m1", "m2"]),
        is_message=st.booleans(),
    ),
    st.builds(Elapsed, at=st.integers(0, 300_000).map(float), greeting=st.sampled_from(["g1", "g2"])),
)


@given(st.lists(signals, max_size=30))
def test_never_a_click_without_its_impression_and_each_at_most_once(sequence: list[Signal]) -> None:
    """Whatever arrives, in whatever order, with a restart between any two."""
    state = FunnelState()
    seen: set[tuple[str, PingStep]] = set()
    for signal in sequence:
        state, due = advance(FunnelState.from_bytes(state.to_bytes()), signal, window_seconds=WINDOW)
        assert 1 >= sum(step is CLICK for step, _ in due)
        for step, greeting in due:
            name = f"{greeting.tracker} {greeting.id} {greeting.sent_at}"
            assert (name, step) not in seen
            assert step is PingStep.IMPRESSION or (name, PingStep.IMPRESSION) in seen
            seen.add((name, step))


@given(st.lists(signals, max_size=30))
def test_a_signal_that_comes_twice_changes_nothing_the_second_time(sequence: list[Signal]) -> None:
    """Redelivered and rerun events count once."""
    state = FunnelState()
    for signal in sequence:
        state, _ = advance(state, signal, window_seconds=WINDOW)
        again, due = advance(state, signal, window_seconds=WINDOW)
        assert (state, ()) == (again, due)


def test_an_address_that_is_none_is_refused() -> None:
    """A tracker's URL is pasted from Campaign Manager, so a bare name is a mistake."""
    with pytest.raises(SettingsError, match="impression_url: wanted an address"):
        from_mapping(GreetingSettings, {"impression_url": "kogreet"})
