"""
What one handling, or one call outside of handling, tells Kochava: collected first, written at its end.

Collecting is synchronous and never waits. The person's stored state is read only when the end has come, and read again
when somebody else changed it in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs

from .apps import App, Apps
from .delivery.incidents import Incidents
from .handling import Contribution, Handling
from .kochava.event_data import clean_event_data
from .kochava.records import Click, Engagement, Impression, Record, encode
from .messenger.events import Event
from .store.contract import Committed, Condition, Entry, Mark
from .tracking.engagement import Draft, automatic_event
from .tracking.funnel import FunnelState, Showing, Signal, Step, advance
from .tracking.funnel_signals import signal_of
from .tracking.identity import Person, record_id, usertime
from .tracking.pings import ping_id, ping_params

Recall = Callable[[Sequence[str]], Awaitable[Mapping[str, bytes]]]


@attrs.define(kw_only=True, eq=False)
class Recording:
    """
    One handling's records and funnel signals; a `Contributor` of its commit.

    Attributes:
        apps: Which app applies to which Page.
        recall: Reads stored marks.
        now: Seconds since the epoch.
        new_id: Makes a random id, for what has no cause to make a stable one from.
        incidents: Where what is left out is counted.
        handling: The cause; ``None`` outside of handling.
        admit: Which records are stored; the others are left out.
        on_committed: Called with the number of records once they are durable.
        ignored: The automatic event is kept out.
    """

    apps: Apps
    recall: Recall
    now: Callable[[], float]
    new_id: Callable[[], str]
    incidents: Incidents
    handling: Handling | None = None
    admit: Callable[[Record], bool]
    on_committed: Callable[[int], None]
    ignored: bool = False
    _records: list[Record] = attrs.field(factory=list)
    _ordinals: dict[str, int] = attrs.field(factory=dict)
    _signals: list[tuple[Person, Signal]] = attrs.field(factory=list)
    _named: bool = False
    _appended: int = 0

    def track(self, person: Person, draft: Draft, *, track_id: str | None = None) -> None:
        """
        Add a named event.

        Args:
            track_id: The caller's own id; the same one again is a no-op.

        Raises:
            TrackingError: In strict mode, when Kochava would refuse the event.
        """
        self._named = True
        app = self.apps.of(person.page_id)
        if track_id is not None:
            event_id = record_id(app.app_id, "track", draft.name, track_id)
        elif self.handling is None:
            event_id = self.new_id()
        else:
            ordinal = self._ordinals[draft.name] = self._ordinals.get(draft.name, 0) + 1
            cause = self.handling.event.key
            event_id = record_id(
                app.app_id, Engagement.kind, person.page_id, person.user_id, cause, draft.name, ordinal
            )
        self._records.append(self._engagement(app, person, draft, event_id))

    def signal(self, person: Person, signal: Signal) -> None:
        """
        Add something that the person's funnel must know.
        """
        if self.apps.of(person.page_id).greeting.is_on:
            self._signals.append((person, signal))

    def observe(self, event: Event) -> None:
        """
        Add what the event itself says to the person's funnel.
        """
        if event.user_id is None:
            return
        signal = signal_of(event, self.now())
        if signal is not None:
            self.signal(Person(user_id=event.user_id, page_id=event.page_id, channel=event.channel), signal)

    async def contribute(self) -> Contribution:
        """
        See `Contributor.contribute`.
        """
        records = [*self._records, *self._automatic()]
        marks: list[Mark] = []
        if self._signals:
            pings, marks = await self._funnel()
            records += pings
        entries = [self._entry(record) for record in records if self.admit(record)]
        self._appended = len(entries)
        return Contribution(appends=entries, marks=marks)

    def committed(self, answer: Committed) -> None:
        """
        See `Contributor.committed`.
        """
        if self._appended:
            self.on_committed(len(answer.appended))

    def _automatic(self) -> list[Record]:
        handling = self.handling
        if handling is None or self.ignored or handling.event.user_id is None:
            return []
        event = handling.event
        person = Person(user_id=event.user_id or "", page_id=event.page_id, channel=event.channel)
        app = self.apps.of(event.page_id)
        draft = automatic_event(
            event, handler=handling.handler, handled=handling.handled, settings=app.events, named=self._named
        )
        if draft is None:
            return []
        event_id = record_id(app.app_id, "automatic", event.page_id, event.key)
        return [self._engagement(app, person, draft, event_id)]

    def _engagement(self, app: App, person: Person, draft: Draft, event_id: str) -> Engagement:
        data, problems = clean_event_data(draft.data, strict=app.events.strict, event_name=draft.name)
        for problem in problems:
            self.incidents.report("event_data_problem", f"{draft.name}.{problem.key}", reason=problem.reason)
        timestamp = None if self.handling is None else self.handling.event.timestamp
        return Engagement(
            id=event_id,
            app_id=app.app_id,
            user_id=person.user_id,
            page_id=person.page_id,
            usertime=usertime(timestamp, self.now()),
            event_name=draft.name,
            event_data=data,
            device_ids=app.identity.device_ids(person.channel, person.user_id),
        )

    async def _funnel(self) -> tuple[list[Record], list[Mark]]:
        keys = list(dict.fromkeys(_mark_key(self.apps.of(person.page_id), person) for person, _ in self._signals))
        stored = await self.recall(keys)
        states = {key: FunnelState.from_bytes(stored.get(key)) for key in keys}
        records: list[Record] = []
        for person, signal in self._signals:
            app = self.apps.of(person.page_id)
            key = _mark_key(app, person)
            states[key], steps = advance(states[key], signal, window_seconds=app.greeting.window_seconds)
            showing = states[key].showing
            if showing is not None:
                records += [self._ping(step, app, person, showing, signal.at) for step in steps if _wanted(step, app)]
        expires_at = self.now() + 2 * max(app.greeting.window_seconds for app in self.apps)
        marks = [
            Mark(
                key=key,
                value=value,
                expires_at=expires_at,
                condition=Condition.IF_EQUAL,
                expected=stored.get(key),
            )
            for key, state in states.items()
            if (value := state.to_bytes()) != stored.get(key)
        ]
        return records, marks

    def _ping(self, step: Step, app: App, person: Person, showing: Showing, at: float) -> Record:
        impression = step is Step.IMPRESSION
        identity = ping_id(step, showing, app.app_id, person.user_id)
        params = ping_params(app.greeting, person, showing)
        params["impression_id" if impression else "click_id"] = identity
        return (Impression if impression else Click)(
            id=identity,
            app_id=app.app_id,
            user_id=person.user_id,
            page_id=person.page_id,
            usertime=int(at),
            params=params,
        )

    def _entry(self, record: Record) -> Entry:
        return Entry(
            id=record.id,
            queue=record.queue,
            lane=record.lane,
            created_at=self.now(),
            body=encode(record),
        )


def _wanted(step: Step, app: App) -> bool:
    url = app.greeting.impression_url if step is Step.IMPRESSION else app.greeting.click_url
    return url is not None


def _mark_key(app: App, person: Person) -> str:
    # Ids are page-scoped, so app and person are enough.
    return f"funnel:{app.app_id}:{person.user_id}"
