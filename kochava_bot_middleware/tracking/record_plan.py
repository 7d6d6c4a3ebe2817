"""
Which entries and state changes a recording becomes. Purely from values: one person's part of it, the state stored of
them, and what the callables of the settings answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from ..kochava.event_data import clean_event_data
from ..kochava.records import TOP_LEVEL, Engagement, IdentityLink, Install, Ping, Record, Session
from ..kochava.wire import ids_sent
from ..messenger.events import ChangeEvent, Channel, Event
from ..store.records import Entry, Mark
from ..telemetry.counts import LeftOut
from .automatic_events import referral_facts, with_referral
from .funnel import Delivered, DuePing, Elapsed, FunnelState, Greeting, PingStep, Sent, Signal, advance
from .greeting import ping_of
from .people import Person, record_id, usertime_of
from .recording import RecordedPerson, RequestedEvent
from .settings import App
from .state import (
    IdentityState,
    KnownState,
    ReferralState,
    StateKey,
    Timer,
    change,
    channel_key,
    channel_of,
    comment_key,
    create,
    greeting_key,
    page_key,
    reference_name,
    require_absent,
    sent_from_bytes,
    write,
)

COMMENT_SECONDS = 8 * 86400.0
"""For how long the ad of a comment is kept: within seven days of it, a private reply may be sent."""

SESSION_SECONDS = 86400.0
"""Kochava attributes at most one session of a device within a day."""


@attrs.define(kw_only=True)
class RecordingPlan:
    """What a recording becomes: records in the order in which Kochava wants them, and why others are left out."""

    records: list[Record] = attrs.field(factory=list)
    timers: list[Entry] = attrs.field(factory=list)
    marks: list[Mark] = attrs.field(factory=list)
    left_out: list[str] = attrs.field(factory=list)

    def add(self, part: RecordingPlan) -> None:
        """Add the plan of one person."""
        self.records += part.records
        self.timers += part.timers
        self.marks += part.marks
        self.left_out += part.left_out


def comment_marks(event: Event, app: App, *, prefix: str, now: float) -> list[Mark]:
    """What is kept of a comment: the ad, until the answer to a private reply names the person."""
    if not isinstance(event, ChangeEvent) or event.comment_id is None or app.events.attach_referral == "off":
        return []
    at = now if event.timestamp is None else event.timestamp.timestamp()
    state = ReferralState().with_referral(referral_facts(event.referral), at)
    key = comment_key(app.app_id, event.comment_id, prefix)
    return [write(key, state.to_bytes(), expires_after_seconds=COMMENT_SECONDS)] if state.first else []


def keys_to_read(part: RecordedPerson, event: Event | None) -> list[StateKey]:
    """The state entries that the plan of one person needs."""
    keys = part.keys
    wanted = [*part.suppression_keys, keys.referral, keys.known]
    wanted += [comment_key(part.app.app_id, comment_id, keys.prefix) for comment_id in part.comments]
    wanted += [joined.referral for joined in part.user_refs]
    if part.person.is_assumed and part.person.page_id is not None:
        wanted.append(channel_key(part.person.page_id, keys.prefix))
    if part.events or part.identities or part.app.install.is_entry(event):
        wanted.append(keys.identities)
    if part.signals:
        wanted += [keys.funnel, page_key(part.person.page_id, keys.prefix), *greeting_keys(part, event)]
    return wanted


def greeting_keys(part: RecordedPerson, event: Event | None) -> list[StateKey]:
    """Keys under which greetings to this person may be stored that were sent without knowing them."""
    names = [f"mid:{mid}" for signal in part.signals if isinstance(signal, Delivered) for mid in signal.mids]
    user_ref = None if event is None else event.joined_user_ref or event.user_ref
    if user_ref is not None:
        names += [reference_name(user_ref, tracker) for tracker in part.app.destination.trackers]
    return [greeting_key(part.app.app_id, name, part.keys.prefix) for name in names]


def plan_person(
    part: RecordedPerson, stored: Mapping[StateKey, bytes], *, event: Event | None, usertime: int, now: float
) -> RecordingPlan:
    """
    The plan of one person: install, events, identity links and pings.

    Args:
        stored: Those of `keys_to_read` that exist.
        event: The event being handled, if it is theirs.
        usertime: When the recording's events happened.
    """
    plan = RecordingPlan()
    known = before = KnownState.from_bytes(stored.get(part.keys.known))
    joined: list[Sent] = []
    for key in greeting_keys(part, event) if part.signals else ():
        sent = sent_from_bytes(stored.get(key))
        if sent is not None:
            joined.append(sent)
            plan.marks.append(write(key, None))
    joined.sort(key=lambda sent: sent.at)
    # Clocks differ: what led to a greeting came before it, whatever they say.
    own = [sent for sent in joined if event is not None and sent.event == event.key]
    signals = [*(sent for sent in joined if sent not in own), *part.signals, *own]
    if part.answers.suppression is not None:
        plan.left_out += [part.answers.suppression] * len(part.events)
        return plan
    changes: list[Mark] = []
    came_by = _referrals(part, stored, plan, changes, event=event, now=now)
    events = part.app.events
    referral: Mapping[str, str] = {}
    if events.attach_referral != "off":
        referral = came_by.facts(events.attach_referral, since=now - events.referral_seconds)
    known = _plan_records(
        part, stored, plan, changes, known=known, event=event, referral=referral, usertime=usertime, now=now
    )
    if signals and part.app.has_greeting:
        _plan_greetings(part, stored, plan, changes, signals=signals, referral=referral, came_by=came_by, now=now)
    known = _with_ids_sent(part, known, plan.records)
    if known != before and (value := _form_of(known, plan)) is not None:
        key = part.keys.known
        changes.append(change(key, value, stored) if key in stored else create(key, value))
    if changes:
        # A person who is forgotten in between must not come back as a leftover of this plan.
        plan.marks += [*changes, require_absent(part.suppression_keys[0])]
    return plan


def _form_of(state: IdentityState | KnownState | ReferralState | FunnelState, plan: RecordingPlan) -> bytes | None:
    """The stored form of *state*. One that has none is left out, so that it costs none of the records."""
    try:
        return state.to_bytes()
    except (TypeError, ValueError):
        plan.left_out.append(LeftOut.NOT_STORABLE)
        return None


def person_as_known(part: RecordedPerson, stored: Mapping[StateKey, bytes]) -> Person:
    """
    The person of a call, which says no more than an id: whether that is a reference and, if nobody said where they are,
    under which name it was sent before, or where their Page is.
    """
    identity, name = part.app.identity, part.keys.name
    known = KnownState.from_bytes(stored.get(part.keys.known))
    if known.is_user_ref:
        return attrs.evolve(part.person, is_by_reference=True)
    if not part.person.is_assumed:
        return part.person
    names = [key for key, values in known.ids.items() if name in values]
    # The first channel is assumed where none is known, so what is known of another one was certain.
    for channel in reversed(Channel):
        person = attrs.evolve(part.person, channel=channel)
        if identity.key_of(person) in names:
            return person
    page_id = part.person.page_id
    of_page = None if page_id is None else channel_of(stored.get(channel_key(page_id, part.keys.prefix)))
    return part.person if of_page is None else attrs.evolve(part.person, channel=of_page)


def _with_ids_sent(part: RecordedPerson, known: KnownState, records: Sequence[Record]) -> KnownState:
    """The state after *records*: with each id of the person that is in them."""
    if part.person.is_by_reference and not known.is_user_ref:
        known = attrs.evolve(known, is_user_ref=True)
    known = known.joined(joined.name for joined in part.user_refs).with_ids(part.link_ids)
    for record in records:
        if isinstance(record, Ping):
            known = known.with_ids({key: value for key, value in record.params.items() if value == part.keys.name})
        else:
            known = known.with_ids(ids_sent(record, part.app.destination.wire))
    return known


def _referrals(
    part: RecordedPerson,
    stored: Mapping[StateKey, bytes],
    plan: RecordingPlan,
    changes: list[Mark],
    *,
    event: Event | None,
    now: float,
) -> ReferralState:
    """What led the person here, *event* included."""
    settings = part.app.events
    if settings.attach_referral == "off" and not part.app.greeting.no_click_after_refs:
        return ReferralState()
    state = before = ReferralState.from_bytes(stored.get(part.keys.referral))
    others = [joined.referral for joined in part.user_refs]
    others += [comment_key(part.app.app_id, comment_id, part.keys.prefix) for comment_id in part.comments]
    for other in (ReferralState.from_bytes(stored.get(key)) for key in others):
        state = state.with_referral(other.last, other.last_at)
    for facts, at in part.referrals:
        state = state.with_referral(facts, at)
    if event is not None:
        at = now if event.timestamp is None else event.timestamp.timestamp()
        state = state.with_referral(referral_facts(event.referral), at)
    if state != before and (value := _form_of(state, plan)) is not None:
        keep = settings.referral_seconds
        changes.append(change(part.keys.referral, value, stored, expires_after_seconds=keep))
    return state


def _plan_records(
    part: RecordedPerson,
    stored: Mapping[StateKey, bytes],
    plan: RecordingPlan,
    changes: list[Mark],
    *,
    known: KnownState,
    event: Event | None,
    referral: Mapping[str, str],
    usertime: int,
    now: float,
) -> KnownState:
    """Install, session, events and identity link, in this order. Returns what is known of the person then."""
    app, keys = part.app, part.keys
    before = IdentityState.from_bytes(stored.get(keys.identities))
    identities = before.learn(part.identities, kept=app.identity.identities_in_events)
    known_ids = {key: identities.values[key] for key in app.identity.identities_in_events if key in identities.values}
    if not known.first_record and (part.events or app.install.is_entry(event)):
        known = _plan_first_record(part, plan, known, event, now)
    extra = part.answers.extra
    sessions = app.events.sessions and not part.person.is_by_reference
    if sessions and event is not None and part.events and now - known.session_at >= SESSION_SECONDS:
        known = _plan_session(part, plan, known, usertime, now)
    for requested in part.events:
        plan.records.append(_engagement(part, requested, referral, known_ids, extra, usertime))
    links = app.destination.wire.identity_form != "off"
    if links and identities.pending and (known.first_record or part.events or not app.identity.wait_for_first_record):
        plan.records.append(_identity_link(part, identities.pending, extra, now))
        identities = identities.link()
    if identities != before and (value := _form_of(identities, plan)) is not None:
        changes.append(change(keys.identities, value, stored))
    return known


def _plan_first_record(
    part: RecordedPerson, plan: RecordingPlan, known: KnownState, event: Event | None, now: float
) -> KnownState:
    """The install, if there is to be one. Returns what is known of the person then."""
    app, name, answers = part.app, part.keys.name, part.answers
    if answers.installs is None:
        return known
    if answers.installs:
        plan.records.append(
            Install(
                id=record_id(app.app_id, "install", name),
                app_id=app.app_id,
                user_id=name,
                page_id=part.person.page_id,
                usertime=usertime_of(None if event is None else event.timestamp, now),
                device_ids={app.identity.key_of(part.person): name},
                extra=answers.extra,
            )
        )
    return attrs.evolve(known, first_record="installed" if answers.installs else "seen")


def _plan_session(
    part: RecordedPerson, plan: RecordingPlan, known: KnownState, usertime: int, now: float
) -> KnownState:
    """The session that begins with the person's first event after a day without one. An install counts as one."""
    app, name = part.app, part.keys.name
    if not any(isinstance(record, Install) for record in plan.records):
        plan.records.append(
            Session(
                id=record_id(app.app_id, "session", name, usertime),
                app_id=app.app_id,
                user_id=name,
                page_id=part.person.page_id,
                usertime=usertime,
                device_ids={app.identity.key_of(part.person): name},
                extra=part.answers.extra,
            )
        )
    return attrs.evolve(known, session_at=now)


def _engagement(
    part: RecordedPerson,
    requested: RequestedEvent,
    referral: Mapping[str, str],
    known_ids: Mapping[str, str],
    extra: Mapping[str, object],
    usertime: int,
) -> Engagement:
    app, name = part.app, part.keys.name
    data = requested.data
    if requested.is_named and referral:
        # A ref is free text of whoever made the link, so it is cleaned like any other data.
        data, _ = clean_event_data(with_referral(data, referral), strict=False)
    own_ids = {app.identity.key_of(part.person): name}
    return Engagement(
        id=requested.id,
        app_id=app.app_id,
        user_id=name,
        page_id=requested.person.page_id,
        usertime=usertime,
        event_name=requested.name,
        event_data=data,
        # The person's own id comes first, and no identity may replace it.
        device_ids={**own_ids, **known_ids, **own_ids} if known_ids else own_ids,
        extra=extra,
    )


def _identity_link(
    part: RecordedPerson, identities: Mapping[str, str], extra: Mapping[str, object], now: float
) -> IdentityLink:
    app, name = part.app, part.keys.name
    material = [text for pair in sorted(identities.items()) for text in pair]
    return IdentityLink(
        id=record_id(app.app_id, "identity", name, *material),
        app_id=app.app_id,
        user_id=name,
        page_id=part.person.page_id,
        usertime=int(now),
        device_ids={app.identity.link_key_of(part.person): name},
        identities=dict(identities),
        extra={key: extra[key] for key in TOP_LEVEL if key in extra},
    )


def _plan_greetings(
    part: RecordedPerson,
    stored: Mapping[StateKey, bytes],
    plan: RecordingPlan,
    changes: list[Mark],
    *,
    signals: Sequence[Signal],
    referral: Mapping[str, str],
    came_by: ReferralState,
    now: float,
) -> None:
    """Impressions and clicks, and the waits for deliveries."""
    if part.keys.funnel not in stored and not any(isinstance(signal, Sent | Delivered) for signal in signals):
        # What a person does means nothing before there is a greeting.
        return
    settings = part.app.greeting
    expects = _expects_delivery(part, stored)
    before = state = FunnelState.from_bytes(stored.get(part.keys.funnel))
    for signal in signals:
        if isinstance(signal, Elapsed) and expects:
            continue
        if isinstance(signal, Sent) and not signal.referral:
            signal = attrs.evolve(signal, referral=referral)
        state, due = advance(state, signal, window_seconds=settings.window_seconds)
        for ping in due:
            _plan_ping(part, plan, ping, came_by, signal.at)
        greeting = state.of(signal.tracker) if isinstance(signal, Sent) else None
        if greeting is not None and greeting.shown_at is None and not expects:
            _plan_wait(part, plan, greeting, now)
    if state != before and (value := _form_of(state, plan)) is not None:
        keep = 2 * settings.window_seconds
        changes.append(change(part.keys.funnel, value, stored, expires_after_seconds=keep))


def _plan_ping(part: RecordedPerson, plan: RecordingPlan, ping: DuePing, came_by: ReferralState, at: float) -> None:
    """The record of a ping, if its tracker has an address for it."""
    settings = part.app.greeting
    tracker = settings.all_trackers.get(ping.greeting.tracker)
    if tracker is None or (tracker.impression_url if ping.step is PingStep.IMPRESSION else tracker.click_url) is None:
        return
    if ping.step is PingStep.CLICK and came_by.last_at <= at < came_by.last_at + settings.window_seconds:
        ref = came_by.last.get("ref")
        if ref is not None and settings.is_entry(ref):
            plan.left_out.append(LeftOut.CLICK_OF_ENTRY_LINK)
            return
    plan.records.append(
        ping_of(
            ping.step,
            ping.greeting,
            settings,
            app_id=part.app.app_id,
            user_id=part.keys.name,
            user_key=part.app.identity.key_of(part.person),
            person=part.person,
            at=at,
            device=part.app.device.personal(part.answers.device),
        )
    )


def _plan_wait(part: RecordedPerson, plan: RecordingPlan, greeting: Greeting, now: float) -> None:
    """The wait after which a greeting counts as shown."""
    wait_seconds = part.app.greeting.delivery_wait_seconds
    if wait_seconds is None:
        return
    timer = Timer(
        app_id=part.app.app_id,
        name=part.keys.name,
        is_hashed=part.keys.name != part.person.user_id,
        page_id=part.person.page_id,
        channel=part.person.channel,
        greeting=greeting.id,
        due_at=greeting.sent_at + wait_seconds,
        is_by_reference=part.person.is_by_reference,
    )
    plan.timers.append(timer.entry(now, prefix=part.keys.prefix))


def _expects_delivery(part: RecordedPerson, stored: Mapping[StateKey, bytes]) -> bool:
    """Whether a delivery event will show that a greeting was shown, so that waiting alone proves nothing."""
    policy = part.app.greeting.delivery_events
    if part.person.channel is Channel.INSTAGRAM or policy == "absent":
        return False
    return policy == "expected" or page_key(part.person.page_id, part.keys.prefix) in stored
