"""What one handling, or one call outside of handling, wants recorded. Collecting it never waits."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import attrs

from ..arguments import (
    checked_device_ids,
    name_of_device_id,
    optional_channel,
    optional_id,
    optional_time,
)
from ..clock import time_digits
from ..exceptions import TrackingError
from ..handling import Handling, current_handlings
from ..hooks import HookTime
from ..kochava.event_data import Severity, clean_event_data, clean_event_name
from ..kochava.records import Engagement
from ..messenger.events import Channel, Kind
from ..telemetry.counts import LeftOut
from .automatic_events import automatic_event, signal_of
from .consent import NOT_ASKED, Drop, HookAnswers
from .funnel import Delivered, Sent, Signal
from .people import Person, clean_identities, person_of, record_id, usertime_of
from .settings import App, TrackingContext
from .state import Keys, StateKey, comment_key

NOTHING: Mapping[str, Any] = MappingProxyType({})


@attrs.define(kw_only=True, eq=False)
class RequestedEvent:
    """
    An event before it is a record. `data` becomes a copy when it is added to a recording, and clean when that ends.

    Attributes:
        user_id: Whom `KochavaMiddleware.track` names, like `page_id` and `channel`.
        track_id: The author's own id of it.
        usertime: When it happened, in whole seconds; ``None``: with the recording's event, or now.
        device_ids: Further ids of the person, by name.
        is_named: The author named it; it carries the person's referral. Else it is the automatic event.
        is_clean: `data` is clean already.
        person: It is about them; set, like what follows, by the recording.
        ordinal: Which of the person's events of this name it is, while an event is handled.
        id: Of its record.
    """

    name: str
    data: Any = None
    user_id: str | None = None
    track_id: str | None = None
    usertime: int | None = None
    device_ids: Mapping[str, str] = NOTHING
    page_id: str | None = None
    channel: Channel | None = None
    is_named: bool = True
    is_clean: bool = False
    person: Person = attrs.field(init=False)
    ordinal: int = attrs.field(init=False)
    id: str = attrs.field(init=False)

    @classmethod
    def of(
        cls,
        name: object,
        data: Any,
        *,
        context: TrackingContext,
        user_id: object = None,
        id: object = None,  # noqa: A002 - as of `KochavaMiddleware.track`
        time: object = None,
        device_ids: object = None,
        page_id: object = None,
        channel: object = None,
    ) -> RequestedEvent:
        """
        Check the arguments of `KochavaMiddleware.track`.

        Raises:
            TrackingError: One of them is not what it takes.
        """
        if not isinstance(name, str) or not name.strip():
            msg = f"an event has a name, got {name!r}"
            raise TrackingError(msg)
        if user_id is id is time is device_ids is page_id is channel is None:
            return cls(name=name, data=data)
        return cls(
            name=name,
            data=data,
            user_id=optional_id("user_id", user_id),
            track_id=optional_id("id", id),
            usertime=optional_time(
                time, now=context.clock.now(), known=(each.event.timestamp for each in current_handlings())
            ),
            device_ids=checked_device_ids(device_ids, own_keys=context.apps.own_keys),
            page_id=optional_id("page_id", page_id),
            channel=optional_channel(channel),
        )


@attrs.define(kw_only=True, eq=False)
class RecordedPerson:
    """
    One person's part of a recording.

    Attributes:
        person: As they were named first.
        keys: Of their state entries; their name is the id as it leaves.
        suppression_keys: Under which they may be suppressed, that of their name first.
        user_refs: The state entries of references that turned out to be them.
        comments: Ids of their comments, by which the ad that led them here may be stored.
        referrals: Further referrals, as of `referral_facts`, and when they came.
        link_ids: By name, the ids in SmartLinks that were sent to them.
        joined_to: The person that this one, who is known by a reference, turned out to be.
        answers: Of the callables, which are called once, however often is planned.
        decisions: Of `KochavaSettings.before_record`, by id of the record: to drop it, other data, or ``None``.
    """

    person: Person
    app: App
    keys: Keys
    suppression_keys: tuple[StateKey, ...]
    events: list[RequestedEvent] = attrs.field(factory=list)
    # Most people have none of these, so they share what is empty.
    identities: Mapping[str, str] = NOTHING
    signals: Sequence[Signal] = ()
    user_refs: Sequence[Keys] = ()
    comments: Sequence[str] = ()
    referrals: Sequence[tuple[Mapping[str, str], float]] = ()
    link_ids: Mapping[str, str] = NOTHING
    joined_to: RecordedPerson | None = None
    answers: HookAnswers = NOT_ASKED
    decisions: Mapping[str, Drop | Mapping[str, Any] | None] = NOTHING

    def suppress_by(self, keys: Iterable[StateKey]) -> None:
        """Let them be suppressed under further keys, too."""
        self.suppression_keys = tuple(dict.fromkeys((*self.suppression_keys, *keys)))

    @property
    def own_ids(self) -> dict[str, str]:
        """Their id by name, as it is sent; none where only `device_ids` are known."""
        return {} if self.person.is_by_device_id else {self.app.identity.key_of(self.person): self.keys.name}

    def suppressed_by(self, stored: Mapping[StateKey, bytes]) -> bytes | None:
        """The stored value that says that they are suppressed, if any."""
        for key in self.suppression_keys:
            if key in stored:
                return stored[key]
        return None

    @property
    def further_referral_keys(self) -> list[StateKey]:
        """Of the state entries that may say what led them here, beside their own."""
        keys = [joined.referral for joined in self.user_refs] if self.user_refs else []
        if self.comments:
            prefix = self.keys.prefix
            keys += [comment_key(self.app.app_id, comment_id, prefix) for comment_id in self.comments]
        return keys

    @property
    def is_only_delivery(self) -> bool:
        """Whether there is nothing but deliveries of messages."""
        others = (self.events, self.identities, self.user_refs, self.comments, self.referrals, self.link_ids)
        if any(others) or not self.signals:
            return False
        return all(isinstance(signal, Delivered) for signal in self.signals)


class Recording:
    """
    What one handling, or one call outside of handling, wants recorded.

    Args:
        handling: The cause; ``None`` outside of handling.
        former: A recording of the same handling, which is written already; this is what comes after it.

    Attributes:
        person: The person that the event being handled is about, if it names one.
        people: Each person's part, by app and name.
        greetings: Greetings to people whose id is not known yet (to a `user_ref`, a comment, or by a token), each with
            its app and what its first answer or delivery will name: ``mid:…``, ``user_ref:…``.
        usertime: When it happened; set by `complete`.
        left_out: What was left out so far, each time by its reason.
        is_ignored: The automatic event is left out.
        is_open: Whether what is added now will still be written.
        is_complete: `complete` was called.
        ordinals: How many events each person has by name.
        hook_time: What callables of the settings took while it was planned.
        without_event: What the event itself says is left out, since it is written already, or was refused.
    """

    def __init__(
        self, context: TrackingContext, handling: Handling | None = None, *, former: Recording | None = None
    ) -> None:
        self._context = context
        self.handling = handling
        self.event = None if handling is None else handling.event
        self.person = None if self.event is None else person_of(self.event)
        self.people: dict[tuple[str, str], RecordedPerson] = {}
        self._own_part: RecordedPerson | None = None
        self.greetings: list[tuple[App, tuple[str, ...], Sent]] = []
        self.usertime = 0
        self.left_out: list[str] = []
        self.is_ignored = False
        self.is_open = True
        self.is_complete = False
        self.hook_time = HookTime()
        self._began_at = context.clock.now()
        self.without_event = former is not None
        self.ordinals: dict[tuple[str, str], int] = {} if former is None else former.ordinals

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self.without_event and not (self.people or self.greetings or self.left_out)

    def track(self, person: Person, event: RequestedEvent) -> None:
        """
        Add a named event of *person*. One whose `track_id` came before is a no-op.

        Raises:
            TrackingError: In strict mode, when Kochava would refuse the event.
        """
        app = self._context.apps.of(person.page_id)
        strict = app.events.strict
        event.name, problems = clean_event_name(event.name, strict=strict)
        for problem in problems:
            self._context.incidents.report("event_name_problem", event.name, reason=problem.reason)
        if strict:
            clean_event_data(event.data, strict=True, event_name=event.name)
        if type(event.data) is dict or isinstance(event.data, Mapping):
            event.data = self._copied(event.data, event.name)
        event.person = person
        part = self._part(person, app)
        part.events.append(event)
        if event.device_ids:
            # Whoever is suppressed under one of their ids is under each that is sent with it.
            device_names = (name_of_device_id(*each) for each in event.device_ids.items())
            names = [one for each in device_names for one in app.privacy.names(each)]
            part.suppress_by(map(self._context.suppression_key, names))
        if event.track_id is None and self.event is not None:
            counted = part.keys.name, event.name
            event.ordinal = self.ordinals[counted] = self.ordinals.get(counted, 0) + 1

    def identify(self, person: Person, identities: Any) -> None:
        """
        Add identities to link.

        Raises:
            TrackingError: In strict mode, when one cannot be linked.
        """
        app = self._context.apps.of(person.page_id)
        clean, problems = clean_identities(identities)
        for key, reason in problems:
            if app.events.strict:
                msg = f"identity {key!r} {reason}" if key else f"what is given as identities {reason}"
                raise TrackingError(msg)
            self._context.incidents.report("identity_problem", key or "identities", reason=reason)
            self.left_out.append(LeftOut.BAD_KEY)
        if clean:
            part = self._part(person, app)
            part.identities = {**part.identities, **clean}

    def add_signal(self, person: Person, signal: Signal) -> None:
        """Add something that changes the person's funnel."""
        app = self._context.apps.of(person.page_id)
        if app.has_greeting:
            part = self._part(person, app)
            part.signals = [*part.signals, signal]

    def add_delivered_greeting(self, person: Person, sent: Sent) -> None:
        """Add a greeting whose person is known by now, since its delivery came first."""
        part = self._part(person, self._context.apps.of(person.page_id))
        part.signals = [sent, Delivered(at=sent.at, mids=[sent.mid or ""]), *part.signals]

    def add_referral(self, person: Person, facts: Mapping[str, str], moment: datetime | None) -> None:
        """Add where a person came from, which the event being handled does not say of them."""
        at = self._began_at if moment is None else moment.timestamp()
        part = self._part(person, self._context.apps.of(person.page_id))
        part.referrals = [*part.referrals, (facts, at)]

    def add_comment(self, person: Person, comment_id: str) -> None:
        """Add that a comment is a person's, as the answer to a private reply says."""
        part = self._part(person, self._context.apps.of(person.page_id))
        part.comments = [*part.comments, comment_id]

    def add_link_id(self, person: Person, name: str, value: str) -> None:
        """Add an id that a SmartLink to a person has."""
        part = self._part(person, self._context.apps.of(person.page_id))
        part.link_ids = {**part.link_ids, name: value}

    def complete(self) -> None:
        """Clean what was added, and add what the event itself says: at the end, since no handler should wait for it."""
        self.is_open = False
        self.is_complete = True
        self.usertime = usertime_of(None if self.event is None else self.event.timestamp, self._context.clock.now())
        if self.handling is not None and self.person is not None and not self.without_event:
            self._add_event(self.handling, self.person)
        for part in self.people.values():
            strict = part.app.events.strict
            for requested in part.events:
                requested.id = self._id_of(requested, part)
                if not requested.is_clean:
                    requested.data = self._cleaned(requested, strict=strict)

    def _id_of(self, requested: RequestedEvent, part: RecordedPerson) -> str:
        """The same when an event is delivered and handled again; random for what is no event's, and has no own id."""
        app_id, page_id, name = part.app.app_id, requested.person.page_id, requested.name
        if requested.track_id is not None:
            return record_id(app_id, "track", name, requested.track_id)
        if self.event is None:
            return time_digits(datetime.fromtimestamp(self.usertime, UTC)) + uuid.uuid4().hex
        digits = time_digits(self.event.timestamp)
        if not requested.is_named:
            return digits + record_id(app_id, "automatic", page_id, self.event.key)
        return digits + record_id(
            app_id, Engagement.kind, page_id, part.keys.name, self.event.key, name, requested.ordinal
        )

    def _add_event(self, handling: Handling, person: Person) -> None:
        """Add the event being handled: its automatic event, its signal, its referral."""
        event, app = handling.event, self._context.apps.of(person.page_id)
        if event.from_page and event.kind != Kind.ECHO:
            # The person did nothing: what the Page read or reacted to says nothing about them.
            return
        # An event tracked for another person does not replace this one's.
        named = bool(self.people) and any(
            requested.person.user_id == person.user_id for part in self.people.values() for requested in part.events
        )
        automatic = None
        if not self.is_ignored:
            automatic = automatic_event(
                event, handler=handling.handler, handled=handling.handled, settings=app.events, named=named
            )
        if automatic is not None:
            name, data, is_clean = automatic
            requested = RequestedEvent(name=name, data=data, is_named=False, is_clean=is_clean)
            requested.person = person
            self._part(person, app).events.append(requested)
        elif event.referral is not None or event.is_by_reference or app.install.is_entry(event):
            self._part(person, app)
        signal = signal_of(event, self._began_at) if app.has_greeting else None
        if signal is not None:
            # It was there before anything that its handler sent.
            part = self._part(person, app)
            part.signals = [signal, *part.signals]
        if event.joined_user_ref is not None and not event.standby:
            self._join(person, event.joined_user_ref, app)

    def _join(self, person: Person, user_ref: str, app: App) -> None:
        """Link a reference, under which Kochava may know the person, with the person's id."""
        part = self._part(person, app)
        joined = self._part(attrs.evolve(person, user_id=user_ref, is_by_reference=True), app)
        joined.identities = {**joined.identities, app.identity.key_of(person): part.keys.name}
        joined.joined_to = part
        part.user_refs = [*part.user_refs, joined.keys]

    def _part(self, person: Person, app: App) -> RecordedPerson:
        if person is not self.person:
            return self._part_of(person, app)
        if self._own_part is None:
            self._own_part = self._part_of(person, app)
        return self._own_part

    def _part_of(self, person: Person, app: App) -> RecordedPerson:
        if (event := self.event) is not None and person.user_id in (event.user_ref, event.joined_user_ref):
            # Whoever named them, perhaps before the event itself was added.
            person = attrs.evolve(person, is_by_reference=True)
        names = app.names_of(person)
        key = app.app_id, names[0]
        part = self.people.get(key)
        if part is None:
            part = self.people[key] = RecordedPerson(
                person=person,
                app=app,
                keys=self._context.keys(*key),
                suppression_keys=tuple(map(self._context.suppression_key, names)),
            )
        elif part.person.is_assumed and not person.is_assumed:
            part.person = person
        return part

    def _copied(self, data: Mapping[str, Any], event_name: str) -> dict[str, Any] | None:
        """A copy, since the caller may go on to use the object; ``None`` when it cannot even be read."""
        try:
            return dict(data)
        except Exception as exc:  # noqa: BLE001 - a mapping of the author's may raise anything
            self._report_unreadable(event_name, exc)
            return None

    def _cleaned(self, event: RequestedEvent, *, strict: bool) -> Any:
        try:
            data, problems = clean_event_data(event.data, strict=strict, event_name=event.name)
        except Exception as exc:  # noqa: BLE001 - a value of the author's may raise anything
            self._report_unreadable(event.name, exc)
            return None
        for problem in problems:
            subject = f"{event.name}.{problem.key}" if problem.key else f"{event.name}: its data"
            self._context.incidents.report("event_data_problem", subject, reason=problem.reason)
            if problem.severity is Severity.DROPPED:
                self.left_out.append(LeftOut.BAD_KEY)
        return data

    def _report_unreadable(self, event_name: str, error: Exception) -> None:
        self._context.incidents.report("event_data_unreadable", event_name, reason=type(error).__name__)
        self.left_out.append(LeftOut.BAD_KEY)
