"""
One person's records and state: install, events, identity links and pings, in the order in which Kochava wants them.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..kochava.event_data import clean_event_data
from ..kochava.records import TOP_LEVEL, Engagement, IdentityLink, Install, Record
from ..messenger.events import Channel
from ..store.records import Condition, Entry, Mark
from .funnel import Elapsed, FunnelState, PingStep, Sent, advance
from .greeting import ping_of
from .people import IdentityState, record_id, usertime
from .referral import ReferralState, attached, facts_of
from .state import Keys
from .timer_entry import Timer
from .told import Happening, PersonFacts, Subject


@attrs.define(kw_only=True)
class Assembled:
    """One person's part of a plan."""

    records: list[Record] = attrs.field(factory=list)
    timers: list[Entry] = attrs.field(factory=list)
    marks: list[Mark] = attrs.field(factory=list)


def assemble(subject: Subject, stored: Mapping[str, bytes], facts: PersonFacts, *, now: float) -> Assembled:
    """
    Bring what is new of a person together with what is stored.

    Args:
        stored: The marks that were read.
        now: Seconds since the epoch.
    """
    part = Assembled()
    referral = _referral(subject, stored, part, now)
    identities = IdentityState.from_bytes(stored.get(subject.keys.identities))
    learned = identities.learn(subject.identities, kept=subject.app.identity.identities_in_events)
    known_ids = {key: learned.values[key] for key in subject.app.identity.identities_in_events if key in learned.values}
    events = [_event(happening, referral, known_ids, facts) for happening in subject.happenings]
    is_known = subject.keys.known in stored
    if not is_known and (events or subject.app.install.is_entry(subject.event)):
        is_known = _first_record(subject, part, facts, now)
    part.records += events
    waits = subject.app.identity.wait_for_first_record
    links = subject.app.destination.wire.identity_form != "off"
    if links and learned.pending and (is_known or events or not waits):
        part.records.append(_identity_link(subject, learned.pending, facts, now))
        learned = learned.link()
    if learned != identities:
        part.marks.append(_mark(subject.keys.identities, learned.to_bytes(), stored))
    if subject.signals and subject.app.greeting.is_on:
        _funnel(subject, stored, part, facts, referral, now)
    return part


def _referral(subject: Subject, stored: Mapping[str, bytes], part: Assembled, now: float) -> Mapping[str, str]:
    """The referral to attach, after the one that has just come."""
    settings = subject.app.events
    if settings.attach_referral == "off":
        return {}
    state = ReferralState.from_bytes(stored.get(subject.keys.referral))
    event = subject.event
    new = {} if event is None else facts_of(event.referral)
    if event is not None and new:
        before = state
        state = before.with_referral(new, now if event.timestamp is None else event.timestamp.timestamp())
        if state != before:
            expires_at = now + settings.referral_seconds
            part.marks.append(_mark(subject.keys.referral, state.to_bytes(), stored, expires_at=expires_at))
    return state.facts(settings.attach_referral, since=now - settings.referral_seconds)


def _event(
    happening: Happening, referral: Mapping[str, str], known_ids: Mapping[str, str], facts: PersonFacts
) -> Engagement:
    engagement = happening.engagement
    data = engagement.event_data
    if happening.is_named and referral:
        # A ref is free text of whoever made the link, so it is cleaned like any other data.
        data, _ = clean_event_data(attached(data, referral), strict=False)
    extra = facts.extra
    if data is engagement.event_data and not known_ids and not extra:
        return engagement
    # The person's own id comes first, and no identity may replace it.
    return attrs.evolve(
        engagement,
        event_data=data,
        device_ids={**engagement.device_ids, **known_ids, **engagement.device_ids},
        extra=extra,
    )


def _first_record(subject: Subject, part: Assembled, facts: PersonFacts, now: float) -> bool:
    """
    The install, if there is to be one, and the mark that makes it the only one. Tells whether Kochava knows them then.
    """
    if facts.installs is None:
        return False
    app = subject.app
    if facts.installs:
        timestamp = None if subject.event is None else subject.event.timestamp
        part.records.append(
            Install(
                id=record_id(app.app_id, "install", subject.name),
                app_id=app.app_id,
                user_id=subject.name,
                page_id=subject.person.page_id,
                usertime=usertime(timestamp, now),
                device_ids=app.identity.device_ids(subject.person.channel, subject.name),
                extra=facts.extra,
            )
        )
    value = b"installed" if facts.installs else b"seen"
    part.marks.append(Mark(key=subject.keys.known, value=value, condition=Condition.IF_ABSENT))
    return True


def _identity_link(subject: Subject, identities: Mapping[str, str], facts: PersonFacts, now: float) -> IdentityLink:
    app = subject.app
    material = [part for pair in sorted(identities.items()) for part in pair]
    return IdentityLink(
        id=record_id(app.app_id, "identity", subject.name, *material),
        app_id=app.app_id,
        user_id=subject.name,
        page_id=subject.person.page_id,
        usertime=int(now),
        device_ids=app.identity.link_ids(subject.person.channel, subject.name),
        identities=dict(identities),
        extra={key: facts.extra[key] for key in TOP_LEVEL if key in facts.extra},
    )


def _funnel(
    subject: Subject,
    stored: Mapping[str, bytes],
    part: Assembled,
    facts: PersonFacts,
    referral: Mapping[str, str],
    now: float,
) -> None:
    app, greeting = subject.app, subject.app.greeting
    expects = _expects_delivery(subject, stored)
    before = state = FunnelState.from_bytes(stored.get(subject.keys.funnel))
    for signal in subject.signals:
        if isinstance(signal, Elapsed) and expects:
            continue
        told = attrs.evolve(signal, referral=referral) if isinstance(signal, Sent) and not signal.referral else signal
        state, steps = advance(state, told, window_seconds=greeting.window_seconds)
        showing = state.showing
        if showing is None:
            continue
        part.records += [
            ping_of(
                step,
                showing,
                greeting,
                app_id=app.app_id,
                user_id=subject.name,
                person=subject.person,
                at=signal.at,
                device=app.device.asked(facts.device),
            )
            for step in steps
            if _is_wanted(step, subject)
        ]
        waits = isinstance(signal, Sent) and showing.shown_at is None and not expects
        if waits and greeting.delivery_wait_seconds is not None:
            timer = Timer(
                app_id=app.app_id,
                name=subject.name,
                is_hashed=subject.name != subject.person.user_id,
                page_id=subject.person.page_id,
                channel=subject.person.channel,
                greeting=showing.greeting,
                due_at=showing.sent_at + greeting.delivery_wait_seconds,
            )
            part.timers.append(timer.entry(now, prefix=subject.keys.prefix))
    if state != before:
        expires_at = now + 2 * greeting.window_seconds
        part.marks.append(_mark(subject.keys.funnel, state.to_bytes(), stored, expires_at=expires_at))


def _expects_delivery(subject: Subject, stored: Mapping[str, bytes]) -> bool:
    """Whether a delivery event will tell that a greeting was shown, so that waiting alone proves nothing."""
    policy = subject.app.greeting.delivery_events
    if subject.person.channel is Channel.INSTAGRAM or policy == "absent":
        return False
    return policy == "expected" or Keys.of_page(subject.person.page_id, subject.keys.prefix) in stored


def _is_wanted(step: PingStep, subject: Subject) -> bool:
    greeting = subject.app.greeting
    return (greeting.impression_url if step is PingStep.IMPRESSION else greeting.click_url) is not None


def _mark(key: str, value: bytes, stored: Mapping[str, bytes], *, expires_at: float | None = None) -> Mark:
    # Whoever changed it in between makes the commit fail, and what is new is planned anew on top of that.
    return Mark(key=key, value=value, expires_at=expires_at, condition=Condition.IF_EQUAL, expected=stored.get(key))
