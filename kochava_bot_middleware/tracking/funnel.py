"""
Greeting → impression → click, as a pure state machine for one person.

A greeting is all messages that one handler run or one marked send consists of, and any further greeting to the same
person within the window, since a person is counted once a window.

::

    (none) ──sent──▶ sent ──delivered, read, or the person acts──▶ shown: one impression
                                                                     │
                          (or the wait for a delivery is over)       │
                                             a button it offered, or any message, within the window
                                                                     ▼
                                                                  clicked: one click

Send and delivery may arrive in either order, so deliveries that match no greeting yet are remembered for a while.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs
import orjson

REMEMBERED_MIDS = 20
"""Delivered messages that are remembered for a send that is not recorded yet."""

CLOCKS_DIFFER_SECONDS = 5.0
"""How much Facebook's clock may be behind ours before a tap on an offered button seems older than the offer."""


@attrs.frozen(kw_only=True)
class Sent:
    """
    A message of a greeting was accepted by Facebook.

    Attributes:
        at: When the call began, in seconds since the epoch.
        mid: Its id; ``None`` when Facebook gave none.
        greeting: Which greeting it belongs to; the same for all messages of one handler run.
        offers: Payloads of its postback buttons and quick replies.
        referral: What led the person here: ``ref``, ``source``, ``ad_id``, as far as known.
    """

    at: float
    mid: str | None
    greeting: str
    offers: Sequence[str] = ()
    handler: str | None = None
    creative: str | None = None
    referral: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
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


@attrs.frozen(kw_only=True)
class Acted:
    """The person did something, such as to tap the button or quick reply with *payload*, or to write a message."""

    at: float
    payload: str | None = None
    is_message: bool = False


@attrs.frozen(kw_only=True)
class Elapsed:
    """The time has passed after which a greeting that Facebook took counts as shown."""

    at: float
    greeting: str


Signal = Sent | Delivered | Acted | Elapsed


class PingStep(enum.StrEnum):
    """A ping that a signal leads to."""

    IMPRESSION = "impression"
    CLICK = "click"


@attrs.frozen(kw_only=True)
class Greeting:
    """
    The greeting of one person: what was sent, shown and clicked.

    Attributes:
        id: Of the first send in it; the ids of the pings are made from it.
        sent_at: When its first message was sent.
        handler: Handler that sent it first.
        creative: Creative shown first.
        shown_at: When it was proven shown; ``None`` before.
        clicked_at: When the person answered it; ``None`` before.
    """

    id: str
    sent_at: float
    mids: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    handler: str | None = None
    creative: str | None = None
    referral: Mapping[str, str] = attrs.field(factory=dict)
    shown_at: float | None = None
    clicked_at: float | None = None


@attrs.frozen(kw_only=True)
class FunnelState:
    """
    What is known of one person's greeting.

    Attributes:
        greeting: The latest; ``None`` before the first.
        delivered_mids: Recently delivered messages that belong to no greeting.
    """

    greeting: Greeting | None = None
    delivered_mids: tuple[str, ...] = ()
    watermark: float | None = None

    def to_bytes(self) -> bytes:
        """The stored form; its names are those of the first release."""
        stored = None if self.greeting is None else attrs.asdict(self.greeting)
        if stored is not None:
            stored["greeting"] = stored.pop("id")
        return orjson.dumps({"showing": stored, "delivered_mids": self.delivered_mids, "watermark": self.watermark})

    @classmethod
    def from_bytes(cls, stored: bytes | None) -> FunnelState:
        """Read the stored form; what is missing or not readable is a fresh state."""
        if stored is None:
            return cls()
        try:
            fields: dict[str, Any] = orjson.loads(stored)
            greeting = fields.get("showing")
            return cls(
                greeting=None if greeting is None else _greeting(greeting),
                delivered_mids=tuple(fields.get("delivered_mids", ())),
                watermark=fields.get("watermark"),
            )
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
            return cls()


def _greeting(fields: dict[str, Any]) -> Greeting:
    fields = {**fields, "mids": tuple(fields["mids"]), "offers": tuple(fields["offers"])}
    return Greeting(id=fields.pop("greeting"), **fields)


def advance(state: FunnelState, signal: Signal, *, window_seconds: float) -> tuple[FunnelState, tuple[PingStep, ...]]:
    """The state after one more signal, and the pings to make now, the impression always before the click."""
    match signal:
        case Sent():
            return _sent(state, signal, window_seconds)
        case Delivered():
            return _delivered(state, signal)
        case Acted():
            return _acted(state, signal, window_seconds)
        case Elapsed():
            is_meant = state.greeting is not None and state.greeting.id == signal.greeting
            return _show(state, signal.at) if is_meant else (state, ())


def _sent(state: FunnelState, sent: Sent, window_seconds: float) -> tuple[FunnelState, tuple[PingStep, ...]]:
    greeting = state.greeting
    mids = () if sent.mid is None else (sent.mid,)
    if greeting is None or sent.at - (greeting.shown_at or greeting.sent_at) >= window_seconds:
        greeting = Greeting(
            id=sent.greeting,
            sent_at=sent.at,
            mids=mids,
            offers=tuple(sent.offers),
            handler=sent.handler,
            creative=sent.creative,
            referral=dict(sent.referral),
        )
    else:
        greeting = attrs.evolve(
            greeting,
            mids=_joined(greeting.mids, mids),
            offers=_joined(greeting.offers, tuple(sent.offers)),
        )
    state = attrs.evolve(state, greeting=greeting)
    proven = sent.mid in state.delivered_mids or (state.watermark is not None and state.watermark >= sent.at)
    return _show(state, sent.at) if proven else (state, ())


def _delivered(state: FunnelState, delivered: Delivered) -> tuple[FunnelState, tuple[PingStep, ...]]:
    greeting = state.greeting
    if greeting is not None:
        named = not set(greeting.mids).isdisjoint(delivered.mids)
        passed = delivered.watermark is not None and delivered.watermark >= greeting.sent_at
        # A list of messages is exact; the watermark counts only where there is none.
        if named or (passed and not delivered.mids):
            return _show(state, delivered.at)
    unknown = _joined(state.delivered_mids, tuple(delivered.mids))[-REMEMBERED_MIDS:]
    watermarks = [mark for mark in (state.watermark, None if delivered.mids else delivered.watermark) if mark]
    return attrs.evolve(state, delivered_mids=unknown, watermark=max(watermarks, default=None)), ()


def _acted(state: FunnelState, acted: Acted, window_seconds: float) -> tuple[FunnelState, tuple[PingStep, ...]]:
    greeting = state.greeting
    # As with a further send, the window begins when the greeting was shown, perhaps hours after it was sent.
    if greeting is None or acted.at - (greeting.shown_at or greeting.sent_at) >= window_seconds:
        return state, ()
    offered = acted.payload is not None and acted.payload in greeting.offers
    # What was done before the greeting left proves nothing about it.
    if acted.at < greeting.sent_at - (CLOCKS_DIFFER_SECONDS if offered else 0):
        return state, ()
    state, steps = _show(state, acted.at)
    greeting = state.greeting
    assert greeting is not None
    if not (acted.is_message or offered) or greeting.clicked_at is not None:
        return state, steps
    return attrs.evolve(state, greeting=attrs.evolve(greeting, clicked_at=acted.at)), (*steps, PingStep.CLICK)


def _show(state: FunnelState, at: float) -> tuple[FunnelState, tuple[PingStep, ...]]:
    greeting = state.greeting
    if greeting is None or greeting.shown_at is not None:
        return state, ()
    # Machines' clocks differ; a greeting that seems older than its send would open a new window at once.
    shown_at = max(at, greeting.sent_at)
    return attrs.evolve(state, greeting=attrs.evolve(greeting, shown_at=shown_at)), (PingStep.IMPRESSION,)


def _joined(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return (*known, *(item for item in dict.fromkeys(more) if item not in known))


MAX_DEPTH = 20
"""How deep a body is searched for payloads; the deepest template has them on level eight."""


def offers_of(body: Any) -> tuple[str, ...]:
    """Payloads of the postback buttons and quick replies that an outgoing body offers."""
    return tuple(dict.fromkeys(_payloads(body, 0)))


def _payloads(node: Any, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        return
    if attrs.has(type(node)):
        node = attrs.asdict(node, recurse=False)
    if isinstance(node, Mapping):
        payload = node.get("payload")
        if isinstance(payload, str) and (node.get("type") == "postback" or "content_type" in node):
            yield payload
        for key, child in node.items():
            yield from _payloads(_loaded(child) if key in ("message", "attachment") else child, depth + 1)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _payloads(child, depth + 1)


def _loaded(member: Any) -> Any:
    """A member, parsed when it is JSON text within the JSON, as old senders write it."""
    if not isinstance(member, str):
        return member
    try:
        return orjson.loads(member)
    except orjson.JSONDecodeError:
        return member
