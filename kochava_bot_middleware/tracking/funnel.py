"""
Greeting → impression → click, as a pure state machine for one person.

A greeting is all messages that one handler run or one marked send consists of, and any further greeting of the same
tracker to the same person within the window, since a tracker counts a person once a window.

::

    (none) ──sent──▶ sent ──delivered, read, or the person acts──▶ shown: one impression
                                                                     │
                          (or the wait for a delivery is over)       │
                                             a button it offered, or any message, within the window
                                                                     ▼
                                                                  clicked: one click

What a person does is the click of one greeting: of that which carries the tapped button or the message replied to, else
of that which was sent last. When that one was clicked already, no other is.

Send and delivery may arrive in either order, so deliveries that match no greeting yet are remembered for a while.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import attrs
import orjson

from ..kochava.records import GREETING, stored_form, whole_text

T = TypeVar("T")

REMEMBERED_MIDS = 20
"""Delivered messages that are remembered for a send that is not recorded yet."""

MOST_OTHERS = 9
"""Trackers whose greetings are remembered beside a new one; a person is greeted for one or two campaigns a day."""

CLOCKS_DIFFER_SECONDS = 5.0
"""How much Facebook's clock may be behind ours before a tap on an offered button seems older than the offer."""


@attrs.frozen
class Offer:
    """A button or quick reply of a greeting."""

    payload: str
    title: str = ""


@attrs.define(kw_only=True)
class Sent:
    """
    A message of a greeting was accepted by Facebook.

    Attributes:
        at: When the call began, in seconds since the epoch.
        mid: Its id; ``None`` when Facebook gave none.
        greeting: Which greeting it belongs to; the same for all messages of one handler run and tracker.
        tracker: Name of its tracker.
        offers: Its postback buttons and quick replies.
        referral: What led the person here: ``ref``, ``source``, ``ad_id``, as far as known.
        event: Key of the event whose handling sent it; ``None`` outside of handling.
    """

    at: float
    mid: str | None
    greeting: str
    tracker: str = GREETING
    offers: Sequence[Offer] = ()
    handler: str | None = None
    creative: str | None = None
    referral: Mapping[str, str] = attrs.field(factory=dict)
    event: str | None = None


@attrs.define(kw_only=True)
class Delivered:
    """
    Messages reached the person, or were read.

    Attributes:
        at: When the webhook arrived, in seconds since the epoch.
        watermark: Everything sent before this time was; ``None`` when not given.
    """

    at: float
    mids: Sequence[str] = ()
    watermark: float | None = None


@attrs.define(kw_only=True)
class Acted:
    """
    The person did something, such as to tap a button or to write a message.

    Attributes:
        payload: Of the button or quick reply that was tapped.
        title: Its title.
        replies_to: The message to which this one is a reply.
        is_message: It may be a click whatever it is.
    """

    at: float
    payload: str | None = None
    title: str | None = None
    replies_to: str | None = None
    is_message: bool = False


@attrs.define(kw_only=True)
class Elapsed:
    """The time has passed after which a greeting that Facebook took counts as shown."""

    at: float
    greeting: str


Signal = Sent | Delivered | Acted | Elapsed


class PingStep(enum.StrEnum):
    """A ping that a signal leads to."""

    IMPRESSION = "impression"
    CLICK = "click"


@attrs.define(kw_only=True)
class Greeting:
    """
    The greeting of one person and tracker: what was sent, shown and clicked.

    Attributes:
        id: Of the first send in it; the ids of the pings are made from it.
        tracker: Name of its tracker.
        sent_at: When its first message was sent.
        last_sent_at: When its last message was sent.
        handler: Handler that sent it first.
        creative: Creative shown first.
        shown_at: When it was proven shown; ``None`` before.
        clicked_at: When the person answered it; ``None`` before.
    """

    id: str
    sent_at: float
    last_sent_at: float
    tracker: str = GREETING
    mids: tuple[str, ...] = ()
    offers: tuple[Offer, ...] = ()
    handler: str | None = None
    creative: str | None = None
    referral: Mapping[str, str] = attrs.field(factory=dict)
    shown_at: float | None = None
    clicked_at: float | None = None

    def is_within(self, window_seconds: float, at: float) -> bool:
        """Whether *at* is in its window, which begins when it was shown, perhaps hours after it was sent."""
        return at - (self.shown_at or self.sent_at) < window_seconds

    def carries(self, acted: Acted, *, with_title: bool = False) -> bool:
        """Whether the button that was tapped, or the message that was replied to, is one of its own."""
        if acted.replies_to is not None and acted.replies_to in self.mids:
            return True
        return any(
            offer.payload == acted.payload and (not with_title or offer.title == acted.title) for offer in self.offers
        )

    def last_sent_before(self, at: float) -> float:
        """When it was sent last before *at*, as far as known."""
        return self.last_sent_at if self.last_sent_at <= at else self.sent_at


class DuePing(NamedTuple):
    """A ping that is due, and the greeting it is of."""

    step: PingStep
    greeting: Greeting


@attrs.define(kw_only=True)
class FunnelState:
    """
    What is known of one person's greetings.

    Attributes:
        greetings: The latest of each tracker, in the order in which their last sends were recorded.
        delivered_mids: Recently delivered messages that belong to no greeting.
        watermark: Everything sent before this time was delivered; ``None`` when not known.
    """

    greetings: tuple[Greeting, ...] = ()
    delivered_mids: tuple[str, ...] = ()
    watermark: float | None = None

    def of(self, tracker: str) -> Greeting | None:
        """The greeting of a tracker."""
        return next((each for each in self.greetings if each.tracker == tracker), None)

    def to_bytes(self) -> bytes:
        """The stored form."""
        return stored_form(attrs.asdict(self))

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> FunnelState:
        """Read the stored form; what is missing or not readable is a fresh state."""
        if stored is None:
            return cls()
        try:
            fields: dict[str, Any] = orjson.loads(stored)
            return cls(
                greetings=tuple(_greeting(each) for each in fields["greetings"]),
                delivered_mids=tuple(fields["delivered_mids"]),
                watermark=fields["watermark"],
            )
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return cls()


def _greeting(fields: dict[str, Any]) -> Greeting:
    return Greeting(**{**fields, "mids": tuple(fields["mids"]), "offers": offers_from(fields["offers"])})


def offers_from(stored: Iterable[Any]) -> tuple[Offer, ...]:
    """Read the stored form of offers."""
    return tuple(Offer(**each) for each in stored)


def advance(state: FunnelState, signal: Signal, *, window_seconds: float) -> tuple[FunnelState, tuple[DuePing, ...]]:
    """The state after one more signal, and the pings to make now, an impression always before its click."""
    match signal:
        case Sent():
            return _sent(state, signal, window_seconds)
        case Delivered():
            return _delivered(state, signal)
        case Acted():
            return _acted(state, signal, window_seconds)
        case Elapsed():
            return _show(state, [each for each in state.greetings if each.id == signal.greeting], signal.at)


def _sent(state: FunnelState, sent: Sent, window_seconds: float) -> tuple[FunnelState, tuple[DuePing, ...]]:
    greeting = state.of(sent.tracker)
    mids = () if sent.mid is None else (sent.mid,)
    if greeting is None or not greeting.is_within(window_seconds, sent.at):
        greeting = Greeting(
            id=sent.greeting,
            tracker=sent.tracker,
            sent_at=sent.at,
            last_sent_at=sent.at,
            mids=mids,
            offers=tuple(sent.offers),
            handler=sent.handler,
            creative=sent.creative,
            referral=dict(sent.referral),
        )
    else:
        greeting = attrs.evolve(
            greeting,
            last_sent_at=max(greeting.last_sent_at, sent.at),
            mids=_joined(greeting.mids, mids),
            offers=_joined(greeting.offers, tuple(sent.offers)),
        )
    others = [each for each in state.greetings if each.tracker != sent.tracker]
    if len(others) > MOST_OTHERS:
        others.remove(min(others, key=lambda each: each.last_sent_at))
    state = attrs.evolve(state, greetings=(*others, greeting))
    proven = sent.mid in state.delivered_mids or (state.watermark is not None and state.watermark >= sent.at)
    return _show(state, [greeting], sent.at) if proven else (state, ())


def _delivered(state: FunnelState, delivered: Delivered) -> tuple[FunnelState, tuple[DuePing, ...]]:
    known = {mid for greeting in state.greetings for mid in greeting.mids}
    unknown = tuple(mid for mid in delivered.mids if mid not in known)
    if delivered.mids:
        # A list of messages is exact; the watermark counts only where there is none.
        proven = [each for each in state.greetings if not set(each.mids).isdisjoint(delivered.mids)]
        state = attrs.evolve(state, delivered_mids=_joined(state.delivered_mids, unknown)[-REMEMBERED_MIDS:])
    elif delivered.watermark is not None:
        proven = [each for each in state.greetings if each.sent_at <= delivered.watermark]
        state = attrs.evolve(state, watermark=max(state.watermark or 0.0, delivered.watermark))
    else:
        proven = []
    return _show(state, proven, delivered.at)


def _acted(state: FunnelState, acted: Acted, window_seconds: float) -> tuple[FunnelState, tuple[DuePing, ...]]:
    seen = [
        greeting
        for greeting in state.greetings
        if greeting.is_within(window_seconds, acted.at)
        # What was done before the greeting left proves nothing about it.
        and acted.at >= greeting.sent_at - (CLOCKS_DIFFER_SECONDS if greeting.carries(acted) else 0)
    ]
    state, due = _show(state, seen, acted.at)
    clicked = _clicked(seen, acted)
    greeting = None if clicked is None else state.of(clicked.tracker)
    if greeting is None or greeting.clicked_at is not None:
        return state, due
    greeting = attrs.evolve(greeting, clicked_at=acted.at)
    return _with(state, greeting), (*due, DuePing(PingStep.CLICK, greeting))


def _clicked(seen: Sequence[Greeting], acted: Acted) -> Greeting | None:
    """The greeting whose click it is: the most certain, and of these the last."""
    for candidates in (
        [greeting for greeting in seen if greeting.carries(acted, with_title=True)],
        [greeting for greeting in seen if greeting.carries(acted)],
        seen if acted.is_message else (),
    ):
        if candidates:
            # Of two that seem to be sent at the same time, the one that was recorded last.
            return max(reversed(candidates), key=lambda greeting: greeting.last_sent_before(acted.at))
    return None


def _show(state: FunnelState, proven: Sequence[Greeting], at: float) -> tuple[FunnelState, tuple[DuePing, ...]]:
    due = []
    for greeting in proven:
        if greeting.shown_at is None:
            # Machines' clocks differ; a greeting that seems older than its send would open a new window at once.
            greeting = attrs.evolve(greeting, shown_at=max(at, greeting.sent_at))
            state = _with(state, greeting)
            due.append(DuePing(PingStep.IMPRESSION, greeting))
    return state, tuple(due)


def _with(state: FunnelState, greeting: Greeting) -> FunnelState:
    """The state with *greeting* in the place of the one of its tracker."""
    greetings = tuple(greeting if each.tracker == greeting.tracker else each for each in state.greetings)
    return attrs.evolve(state, greetings=greetings)


def _joined(known: tuple[T, ...], more: tuple[T, ...]) -> tuple[T, ...]:
    return (*known, *(item for item in dict.fromkeys(more) if item not in known))


MAX_DEPTH = 20
"""How deep a body is searched for payloads; the deepest template has them on level eight."""


def offers_of(body: Any) -> tuple[Offer, ...]:
    """The postback buttons and quick replies that an outgoing body offers."""
    return tuple(dict.fromkeys(_offers(body, 0)))


def _offers(node: Any, depth: int) -> Iterator[Offer]:
    if depth > MAX_DEPTH:
        return
    if attrs.has(type(node)):
        node = attrs.asdict(node, recurse=False)
    if isinstance(node, Mapping):
        payload, title = node.get("payload"), node.get("title")
        if isinstance(payload, str) and (node.get("type") == "postback" or "content_type" in node):
            # Facebook returns half a character as it came, and it is read like this.
            yield Offer(whole_text(payload), whole_text(title) if isinstance(title, str) else "")
        for key, child in node.items():
            yield from _offers(_loaded(child) if key in ("message", "attachment") else child, depth + 1)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _offers(child, depth + 1)


def _loaded(member: Any) -> Any:
    """A member, parsed when it is JSON text within the JSON, as old senders write it."""
    if not isinstance(member, str):
        return member
    try:
        return orjson.loads(member)
    except orjson.JSONDecodeError:
        return member
