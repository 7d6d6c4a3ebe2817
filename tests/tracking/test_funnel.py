"""Greeting → impression → click, one person's state machine."""

from __future__ import annotations

from collections.abc import Sequence

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
    PingStep,
    Sent,
    Signal,
    advance,
)
from kochava_bot_middleware.tracking.greeting import GreetingSettings

WINDOW = 86400.0


def run(*signals: Signal) -> tuple[FunnelState, list[PingStep]]:
    """Feed signals in, through the stored form each time, as it is between two processes."""
    state = FunnelState()
    steps: list[PingStep] = []
    for signal in signals:
        state, found = advance(FunnelState.from_bytes(state.to_bytes()), signal, window_seconds=WINDOW)
        steps += found
    return state, steps


def sent(at: float, mid: str = "m1", offers: Sequence[str] = ("CHAT",)) -> Sent:
    return Sent(at=at, mid=mid, greeting=f"g-{mid}", offers=offers)


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


def test_an_unreadable_state_is_a_fresh_one() -> None:
    """A corrupt state entry must not stop the bot's events."""
    assert FunnelState() == FunnelState.from_bytes(b"{")


signals = st.one_of(
    st.builds(
        Sent,
        at=st.integers(0, 300_000).map(float),
        mid=st.sampled_from(["m1", "m2", "m3", None]),
        greeting=st.sampled_from(["g1", "g2"]),
        offers=st.sampled_from([(), ("CHAT",), ("CHAT", "BUY")]),
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
        state, steps = advance(FunnelState.from_bytes(state.to_bytes()), signal, window_seconds=WINDOW)
        for step in steps:
            assert state.greeting is not None
            name = state.greeting.id + str(state.greeting.sent_at)
            assert (name, step) not in seen
            assert step is PingStep.IMPRESSION or (name, PingStep.IMPRESSION) in seen
            seen.add((name, step))


@given(st.lists(signals, max_size=30))
def test_a_signal_that_comes_twice_changes_nothing_the_second_time(sequence: list[Signal]) -> None:
    """Redelivered and rerun events count once."""
    state = FunnelState()
    for signal in sequence:
        state, _ = advance(state, signal, window_seconds=WINDOW)
        again, steps = advance(state, signal, window_seconds=WINDOW)
        assert (state, ()) == (again, steps)


def test_an_address_that_is_none_is_refused() -> None:
    """A tracker's URL is pasted from Campaign Manager, so a bare name is a mistake."""
    with pytest.raises(SettingsError, match="impression_url: wanted an address"):
        from_mapping(GreetingSettings, {"impression_url": "kogreet"})
