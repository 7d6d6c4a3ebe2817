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
from ..messenger.events import Channel, Event
from ..store.records import Entry, Mark
from ..telemetry.counts import LeftOut
from .automatic_events import referral_facts, with_referral
from .consent import Drop
from .funnel import Delivered, DuePing, Elapsed, FunnelState, Greeting, PingStep, Sent, Signal, advance
from .greeting import ping_of
from .people import record_id, usertime_of
from .recording import RecordedPerson, RequestedEvent
from .state import (
    NO_REFERRAL,
    IdentityState,
    KnownState,
    ReferralState,
    StateKey,
    Timer,
    change,
    create,
    greeting_key,
    page_key,
    reference_name,
    require_absent,
    sent_from_bytes,
    write,
)

SESSION_SECONDS = 86400.0
"""Kochava attributes at most one session of a device within a day."""


@attrs.define(kw_only=True)
class RecordingPlan:
    """
    What a recording becomes.

    Attributes:
        records: In the order in which Kochava wants them.
        channels: Of the person of each record.
        left_out: Why others are left out.
    """

    records: list[Record] = attrs.field(factory=list)
    timers: list[Entry] = attrs.field(factory=list)
    marks: list[Mark] = attrs.field(factory=list)
    left_out: list[str] = attrs.field(factory=list)
    greetings_sent: int = 0
    channels: list[Channel] = attrs.field(factory=list)


def joined_plans(parts: Sequence[RecordingPlan], marks: Sequence[Mark]) -> RecordingPlan:
    """One plan of those of the people, which are used up, and of *marks*, which come first."""
    plan = parts[0] if parts else RecordingPlan()
    plan.marks[:0] = marks
    for part in parts[1:]:
        plan.records += part.records
        plan.timers += part.timers
        plan.marks += part.marks
        plan.left_out += part.left_out
        plan.greetings_sent += part.greetings_sent
        plan.channels += part.channels
    return plan


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
        stored: What of the keys that `planner` reads for them exists.
        event: The event being handled, if it is theirs.
        usertime: When the recording's events happened.
    """
    return _PersonPlanning(part=part, stored=stored, event=event, usertime=usertime, now=now).planned()


@attrs.define(kw_only=True, eq=False)
class _PersonPlanning:
    """
    One call of `plan_person`.

    Attributes:
        plan: What is planned so far.
        changes: State changes that must not be written if another process changed what was read.
        events: The requested ones, but for those that `KochavaSettings.before_record` dropped.
    """

    part: RecordedPerson
    stored: Mapping[StateKey, bytes]
    event: Event | None
    usertime: int
    now: float
    plan: RecordingPlan = attrs.field(factory=RecordingPlan, init=False)
    changes: list[Mark] = attrs.field(factory=list, init=False)
    events: list[RequestedEvent] = attrs.field(init=False)

    def planned(self) -> RecordingPlan:
        part, plan, stored = self.part, self.plan, self.stored
        known = before = KnownState.from_bytes(stored.get(part.keys.known))
        signals = self._signals() if part.signals else []
        if part.answers.suppression is not None:
            plan.left_out += [part.answers.suppression] * len(part.events)
            return plan
        self.events = part.events
        if part.decisions:
            self.events = [each for each in part.events if not self._is_dropped(each.id)]
        came_by = self._referrals()
        known = self._plan_records(known, came_by)
        if signals and part.app.has_greeting:
            self._plan_greetings(signals, came_by)
        if part.decisions:
            plan.records = [self._decided(record) for record in plan.records if not self._is_dropped(record.id)]
        known = _with_ids_sent(part, known, plan.records)
        if known is not before and known != before and (value := self._form_of(known)) is not None:
            key = part.keys.known
            self.changes.append(change(key, value, stored) if key in stored else create(key, value))
        plan.channels = [part.person.channel] * len(plan.records)
        if self.changes:
            # A person who is forgotten in between must not come back as a leftover of this plan.
            plan.marks += [*self.changes, require_absent(part.suppression_keys[0])]
        return plan

    def _signals(self) -> list[Signal]:
        """What changes the funnel, greetings included that were sent before the person was known."""
        joined: list[Sent] = []
        for key in greeting_keys(self.part, self.event):
            sent = sent_from_bytes(self.stored.get(key))
            if sent is not None:
                joined.append(sent)
                self.plan.marks.append(write(key, None))
        joined.sort(key=lambda sent: sent.at)
        # Clocks differ: what led to a greeting came before it, whatever they say.
        own = [sent for sent in joined if self.event is not None and sent.event == self.event.key]
        return [*(sent for sent in joined if sent not in own), *self.part.signals, *own]

    def _is_dropped(self, record_id: str) -> bool:
        decision = self.part.decisions.get(record_id)
        if isinstance(decision, Drop):
            self.plan.left_out.append(decision.counted_as)
            return True
        return False

    def _decided(self, record: Record) -> Record:
        """*record* with the data that `KochavaSettings.before_record` gave."""
        data = self.part.decisions.get(record.id)
        if data is None or not isinstance(record, Engagement):
            return record
        return attrs.evolve(record, event_data=data or None)

    def _form_of(self, state: IdentityState | KnownState | ReferralState | FunnelState) -> bytes | None:
        """The stored form of *state*. One that has none is left out, so that it costs none of the records."""
        try:
            return state.to_bytes()
        except (TypeError, ValueError):
            self.plan.left_out.append(LeftOut.NOT_STORABLE)
            return None

    def _referrals(self) -> ReferralState:
        """What led the person here, the event being handled included."""
        part, stored = self.part, self.stored
        if not part.app.uses_referrals:
            return NO_REFERRAL
        state = before = ReferralState.from_bytes(stored.get(part.keys.referral))
        for key in part.further_referral_keys:
            other = ReferralState.from_bytes(stored.get(key))
            state = state.with_referral(other.last, other.last_at)
        for facts, at in part.referrals:
            state = state.with_referral(facts, at)
        if self.event is not None and self.event.referral is not None:
            at = self.now if self.event.timestamp is None else self.event.timestamp.timestamp()
            state = state.with_referral(referral_facts(self.event.referral), at)
        if state is not before and state != before and (value := self._form_of(state)) is not None:
            keep = part.app.events.referral_seconds
            self.changes.append(change(part.keys.referral, value, stored, expires_after_seconds=keep))
        return state

    def _facts(self, came_by: ReferralState, usertime: int | None = None) -> Mapping[str, str]:
        """The referral that goes with what happens now, or happened at *usertime*."""
        settings = self.part.app.events
        if settings.attach_referral == "off":
            return {}
        at = self.now if usertime is None else usertime
        # A person may have come after what is recorded late.
        until = None if usertime is None else usertime + 1
        return came_by.facts(settings.attach_referral, since=at - settings.referral_seconds, until=until)

    def _plan_records(self, known: KnownState, came_by: ReferralState) -> KnownState:
        """Install, session, events and identity link, in this order. Returns what is known of the person then."""
        part, app, events = self.part, self.part.app, self.events
        before = IdentityState.from_bytes(self.stored.get(part.keys.identities))
        kept = app.identity.identities_in_events
        identities = before.learn(part.identities, kept=kept)
        known_ids = {key: identities.values[key] for key in kept if key in identities.values} if kept else {}
        if not known.first_record and (events or app.install.is_entry(self.event)):
            known = self._plan_first_record(known)
        sessions = app.events.sessions and not part.person.is_by_reference
        if sessions and self.event is not None and events and self.now - known.session_at >= SESSION_SECONDS:
            known = self._plan_session(known)
        self.plan.records += [self._engagement(requested, came_by, known_ids) for requested in events]
        links = app.destination.wire.identity_form != "off"
        if identities.pending and links and (known.first_record or events or not app.identity.wait_for_first_record):
            self.plan.records.append(self._identity_link(identities.pending))
            identities = identities.link()
        if identities is not before and identities != before and (value := self._form_of(identities)) is not None:
            self.changes.append(change(part.keys.identities, value, self.stored))
        return known

    def _plan_first_record(self, known: KnownState) -> KnownState:
        """The install, if there is to be one. Returns what is known of the person then."""
        part, answers = self.part, self.part.answers
        if answers.installs is None:
            return known
        if answers.installs:
            at = usertime_of(None if self.event is None else self.event.timestamp, self.now)
            # What is recorded late did not happen before the install.
            late = [each.usertime for each in self.events if each.usertime is not None]
            self.plan.records.append(
                Install(
                    id=record_id(part.app.app_id, "install", part.keys.name),
                    app_id=part.app.app_id,
                    user_id=part.keys.name,
                    page_id=part.person.page_id,
                    usertime=min([at, *late]),
                    device_ids=part.own_ids,
                    extra=answers.extra,
                )
            )
        return attrs.evolve(known, first_record="installed" if answers.installs else "seen")

    def _plan_session(self, known: KnownState) -> KnownState:
        """The session that begins with the person's first event after a day without one. An install counts as one."""
        part = self.part
        if not any(isinstance(record, Install) for record in self.plan.records):
            self.plan.records.append(
                Session(
                    id=record_id(part.app.app_id, "session", part.keys.name, self.usertime),
                    app_id=part.app.app_id,
                    user_id=part.keys.name,
                    page_id=part.person.page_id,
                    usertime=self.usertime,
                    device_ids=part.own_ids,
                    extra=part.answers.extra,
                )
            )
        return attrs.evolve(known, session_at=self.now)

    def _engagement(
        self, requested: RequestedEvent, came_by: ReferralState, known_ids: Mapping[str, str]
    ) -> Engagement:
        part, name = self.part, self.part.keys.name
        data = requested.data
        if requested.is_named and (referral := self._facts(came_by, requested.usertime)):
            # A ref is free text of whoever made the link, so it is cleaned like any other data.
            data, _ = clean_event_data(with_referral(data, referral), strict=False)
        own = device_ids = part.own_ids
        if known_ids or requested.device_ids:
            further = {
                # Where people are named by a hash, their id leaves under no other name either.
                key: name if value == part.person.user_id else value
                for key, value in (*known_ids.items(), *requested.device_ids.items())
            }
            # The person's own id comes first, and no identity may replace it.
            device_ids = {**own, **further, **own}
        return Engagement(
            id=requested.id,
            app_id=part.app.app_id,
            user_id=name,
            page_id=requested.person.page_id,
            usertime=self.usertime if requested.usertime is None else requested.usertime,
            event_name=requested.name,
            event_data=data,
            device_ids=device_ids,
            extra=part.answers.extra,
        )

    def _identity_link(self, identities: Mapping[str, str]) -> IdentityLink:
        part, name, extra = self.part, self.part.keys.name, self.part.answers.extra
        material = [text for pair in sorted(identities.items()) for text in pair]
        return IdentityLink(
            id=record_id(part.app.app_id, "identity", name, *material),
            app_id=part.app.app_id,
            user_id=name,
            page_id=part.person.page_id,
            usertime=int(self.now),
            device_ids={part.app.identity.link_key_of(part.person): name},
            identities=dict(identities),
            extra={key: extra[key] for key in TOP_LEVEL if key in extra},
        )

    def _plan_greetings(self, signals: Sequence[Signal], came_by: ReferralState) -> None:
        """Impressions and clicks, and the waits for deliveries."""
        part, stored = self.part, self.stored
        if part.keys.funnel not in stored and not any(isinstance(signal, Sent | Delivered) for signal in signals):
            # What a person does means nothing before there is a greeting.
            return
        settings = part.app.greeting
        expects = self._expects_delivery()
        before = state = FunnelState.from_bytes(stored.get(part.keys.funnel))
        for signal in signals:
            if isinstance(signal, Elapsed) and expects:
                continue
            if isinstance(signal, Sent) and not signal.referral:
                signal = attrs.evolve(signal, referral=self._facts(came_by))
            greetings = state.greetings
            state, due = advance(state, signal, window_seconds=settings.window_seconds)
            for ping in due:
                self._plan_ping(ping, came_by, signal.at)
            if isinstance(signal, Sent) and (greeting := state.of(signal.tracker)) is not None:
                self.plan.greetings_sent += all(each.id != greeting.id for each in greetings)
                if greeting.shown_at is None and not expects:
                    self._plan_wait(greeting)
        if state is not before and state != before and (value := self._form_of(state)) is not None:
            keep = 2 * settings.window_seconds
            self.changes.append(change(part.keys.funnel, value, stored, expires_after_seconds=keep))

    def _plan_ping(self, ping: DuePing, came_by: ReferralState, at: float) -> None:
        """The record of a ping, if its tracker has an address for it."""
        part, settings = self.part, self.part.app.greeting
        tracker = settings.all_trackers.get(ping.greeting.tracker)
        is_impression = ping.step is PingStep.IMPRESSION
        if tracker is None or (tracker.impression_url if is_impression else tracker.click_url) is None:
            return
        if ping.step is PingStep.CLICK and came_by.last_at <= at < came_by.last_at + settings.window_seconds:
            ref = came_by.last.get("ref")
            if ref is not None and settings.is_entry(ref):
                self.plan.left_out.append(LeftOut.CLICK_OF_ENTRY_LINK)
                return
        self.plan.records.append(
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

    def _plan_wait(self, greeting: Greeting) -> None:
        """The wait after which a greeting counts as shown."""
        part = self.part
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
        self.plan.timers.append(timer.entry(self.now, prefix=part.keys.prefix))

    def _expects_delivery(self) -> bool:
        """Whether a delivery event will show that a greeting was shown, so that waiting alone proves nothing."""
        person, policy = self.part.person, self.part.app.greeting.delivery_events
        if person.channel is Channel.INSTAGRAM or policy == "absent":
            return False
        return policy == "expected" or page_key(person.page_id, self.part.keys.prefix) in self.stored


def _with_ids_sent(part: RecordedPerson, known: KnownState, records: Sequence[Record]) -> KnownState:
    """The state after *records*: with each id of the person that is in them."""
    if part.person.is_by_reference and not known.is_user_ref:
        known = attrs.evolve(known, is_user_ref=True)
    if part.user_refs:
        known = known.joined(joined.name for joined in part.user_refs)
    if part.link_ids:
        known = known.with_ids(part.link_ids)
    for record in records:
        if isinstance(record, Ping):
            known = known.with_ids({key: value for key, value in record.params.items() if value == part.keys.name})
        else:
            known = known.with_ids(ids_sent(record, part.app.destination.wire))
    return known
