"""
What one handling, or one call outside of handling, tells Kochava: collected first, written at its end.

Collecting is synchronous and never waits. The person's stored state is read only when the end has come, and read again
when somebody else changed it in between.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from ..clock import Clock
from ..exceptions import TrackingError
from ..handling import Contribution, Handling, current_handling
from ..incidents import Incidents
from ..kochava.event_data import Severity, clean_event_data, clean_event_name
from ..kochava.records import Engagement
from ..messenger.events import AccountLinkingEvent, Event
from ..queues.settling import HandlingCommitter
from ..store.records import Committed, Settlement
from ..telemetry.counts import LeftOut, Tally
from .apps import App, Apps
from .arguments import ask
from .engagement import Draft, automatic_event
from .funnel import Signal, signal_of
from .people import Person, clean_identities, record_id, usertime
from .planning import Plan, Planner
from .told import Happening, Told, Unaddressed


def person_of(event: Event) -> Person | None:
    """Whom *event* is about; ``None`` when it names nobody."""
    if not event.user_id:
        return None
    return Person(user_id=event.user_id, page_id=event.page_id, channel=event.channel)


@attrs.define(kw_only=True, eq=False)
class Recording:
    """
    One handling's records and funnel signals; a `Contributor` of its commit.

    Attributes:
        apps: Which app applies to which Page.
        planner: Makes the commit of what was told.
        now: Seconds since the epoch.
        new_id: Makes a random id, for what has no cause to make a stable one from.
        incidents: Where what is left out is logged.
        tally: Where it is counted.
        handling: The cause; ``None`` outside of handling.
        on_committed: Called with the number of records once they are durable.
        ignored: The automatic event is kept out.
        is_open: Whether what is told now will still be written.
    """

    apps: Apps
    planner: Planner
    now: Callable[[], float]
    new_id: Callable[[], str]
    incidents: Incidents
    tally: Tally
    handling: Handling | None = None
    on_committed: Callable[[int], None]
    ignored: bool = False
    is_open: bool = True
    _told: Told = attrs.field(factory=Told)
    _noted: list[tuple[Person, Draft, str | None]] = attrs.field(factory=list)
    _ordinals: dict[tuple[str, str], int] = attrs.field(factory=dict)
    _bad_keys: int = 0
    _linking_asked: bool = False
    _plan: Plan | None = None
    _person: Person | None = None

    @property
    def person(self) -> Person | None:
        """Whom the event being handled is about; ``None`` outside of handling, and when it names nobody."""
        if self._person is None and self.handling is not None:
            self._person = person_of(self.handling.event)
        return self._person

    def track(self, person: Person, draft: Draft, *, track_id: str | None = None) -> None:
        """
        Add a named event.

        Args:
            track_id: The caller's own id; the same one again is a no-op.

        Raises:
            TrackingError: In strict mode, when Kochava would refuse the event.
        """
        strict = self.apps.of(person.page_id).events.strict
        name, problems = clean_event_name(draft.name, strict=strict)
        for problem in problems:
            self.incidents.report("event_name_problem", name, reason=problem.reason)
        if name != draft.name:
            draft = attrs.evolve(draft, name=name)
        if strict:
            clean_event_data(draft.data, strict=True, event_name=draft.name)
        if isinstance(draft.data, Mapping):
            draft = attrs.evolve(draft, data=self._copied(draft.data, draft.name))
        self._noted.append((person, draft, track_id))

    def identify(self, person: Person, identities: Any) -> None:
        """
        Add identities to link.

        Raises:
            TrackingError: In strict mode, when one cannot be linked.
        """
        clean, problems = clean_identities(identities)
        for key, reason in problems:
            if self.apps.of(person.page_id).events.strict:
                msg = f"identity {key!r} {reason}" if key else f"what is given as identities {reason}"
                raise TrackingError(msg)
            self.incidents.report("identity_problem", key or "identities", reason=reason)
        self._bad_keys += len(problems)
        if clean:
            self._told.identities.append((person, clean))

    def signal(self, person: Person, signal: Signal) -> None:
        """Add something that the person's funnel must know."""
        if self.apps.of(person.page_id).greeting.is_on:
            self._told.signals.append((person, signal))

    def unaddressed(self, send: Unaddressed) -> None:
        """Add a greeting to somebody whose id is not known yet."""
        self._told.unaddressed.append(send)

    def observe(self, event: Event) -> None:
        """Add what the event itself says to the person's funnel."""
        self._told.event = event
        person = self.person
        if person is None or not self.apps.of(person.page_id).greeting.is_on:
            return
        signal = signal_of(event, self.now())
        if signal is not None:
            self.signal(person, signal)

    async def contribute(self) -> Contribution:
        """See `Contributor.contribute`."""
        await self._identify_on_linking()
        self._write_out()
        self._plan = await self.planner.plan(self._told.and_also(self._automatic()))
        return self._plan.contribution

    def committed(self, answer: Committed) -> None:
        """See `Contributor.committed`."""
        plan = self._plan
        self.finish()
        if plan is not None and plan.appends:
            new = [plan.kinds[entry_id] for entry_id in answer.appended if entry_id in plan.kinds]
            self.tally.recorded.update(new)
            self.on_committed(len(new))

    def finish(self) -> None:
        """Count what was left out. Idempotent."""
        self.is_open = False
        plan, self._plan = self._plan, None
        if plan is not None:
            if plan.left_out:
                self.tally.left_out.update(plan.left_out)
            if self.ignored:
                self.tally.left_out[LeftOut.IGNORED] += 1
        if self._bad_keys:
            self.tally.left_out[LeftOut.BAD_KEY] += self._bad_keys
            self._bad_keys = 0

    def _write_out(self) -> None:
        """Turn what was noted into events; left to the end, since a handler should not wait for it."""
        noted, self._noted = self._noted, []
        for person, draft, track_id in noted:
            app = self.apps.of(person.page_id)
            event_id = self._event_id(app, person, draft.name, track_id)
            try:
                engagement = self._engagement(app, person, draft, event_id)
            except Exception as exc:  # noqa: BLE001 - a value of the author's may raise anything
                self.incidents.report("event_data_unreadable", draft.name, reason=type(exc).__name__)
                self._bad_keys += 1
                engagement = self._engagement(app, person, Draft(name=draft.name), event_id)
            self._told.happenings.append(Happening(person=person, engagement=engagement))

    def _copied(self, data: Mapping[str, Any], event_name: str) -> dict[str, Any] | None:
        """A copy, since the caller may go on to use the object; ``None`` when it cannot even be read."""
        try:
            return dict(data)
        except Exception as exc:  # noqa: BLE001 - a mapping of the author's may raise anything
            self.incidents.report("event_data_unreadable", event_name, reason=type(exc).__name__)
            self._bad_keys += 1
            return None

    def _event_id(self, app: App, person: Person, event_name: str, track_id: str | None) -> str:
        if track_id is not None:
            return record_id(app.app_id, "track", event_name, track_id)
        if self.handling is None:
            return self.new_id()
        name = app.name_of(person)
        ordinal = self._ordinals[name, event_name] = self._ordinals.get((name, event_name), 0) + 1
        cause = self.handling.event.key
        return record_id(app.app_id, Engagement.kind, person.page_id, name, cause, event_name, ordinal)

    async def _identify_on_linking(self) -> None:
        event, person = self._told.event, self.person
        if self._linking_asked or person is None or not isinstance(event, AccountLinkingEvent):
            return
        self._linking_asked = True
        identify = self.apps.of(person.page_id).identity.identify_on_linking
        if identify is None or event.status != "linked" or event.standby:
            return
        try:
            identities = await ask(identify, event)
            if identities:
                self.identify(person, identities)
        except Exception as exc:  # noqa: BLE001 - the author's code may raise anything
            self.incidents.report("identify_on_linking_failed", reason=type(exc).__name__)

    def _automatic(self) -> list[Happening]:
        handling, person = self.handling, self.person
        if handling is None or person is None or self.ignored:
            return []
        event = handling.event
        app = self.apps.of(event.page_id)
        # An event tracked for somebody else does not speak for this one.
        named = any(each.person.user_id == person.user_id for each in self._told.happenings)
        draft = automatic_event(
            event, handler=handling.handler, handled=handling.handled, settings=app.events, named=named
        )
        if draft is None:
            return []
        event_id = record_id(app.app_id, "automatic", event.page_id, event.key)
        return [Happening(person=person, engagement=self._engagement(app, person, draft, event_id), is_named=False)]

    def _engagement(self, app: App, person: Person, draft: Draft, event_id: str) -> Engagement:
        data, problems = clean_event_data(draft.data, strict=app.events.strict, event_name=draft.name)
        for problem in problems:
            subject = f"{draft.name}.{problem.key}" if problem.key else f"{draft.name}: its data"
            self.incidents.report("event_data_problem", subject, reason=problem.reason)
            self._bad_keys += problem.severity is Severity.DROPPED
        timestamp = None if self.handling is None else self.handling.event.timestamp
        name = app.name_of(person)
        return Engagement(
            id=event_id,
            app_id=app.app_id,
            user_id=name,
            page_id=person.page_id,
            usertime=usertime(timestamp, self.now()),
            event_name=draft.name,
            event_data=data,
            device_ids=app.identity.device_ids(person.channel, name),
        )


log = logging.getLogger(__name__)


class Recorder:
    """
    The recordings of one middleware.

    Args:
        commit_timeout_seconds: How long a commit is waited for; it goes on in the background, at risk.
        at_risk_limit: How many commits are held in memory at most while the store does not work.
        on_committed: Called with the number of new records of each commit.
    """

    def __init__(
        self,
        *,
        apps: Apps,
        planner: Planner,
        settler: HandlingCommitter,
        clock: Clock,
        incidents: Incidents,
        tally: Tally,
        commit_timeout_seconds: float,
        at_risk_limit: int,
        on_committed: Callable[[int], None],
    ) -> None:
        self._apps = apps
        self._planner = planner
        self._settler = settler
        self._clock = clock
        self._incidents = incidents
        self._tally = tally
        self._commit_timeout = commit_timeout_seconds
        self._at_risk_limit = at_risk_limit
        self._on_committed = on_committed
        self._commits: set[asyncio.Task[None]] = set()

    @property
    def at_risk(self) -> int:
        """Commits that are only in memory."""
        return len(self._commits)

    def of(self, handling: Handling) -> Recording:
        """The recording of *handling*; made when it is asked for first."""
        recording: Recording | None = handling.kept.get(self)
        if recording is None:
            recording = handling.kept[self] = self._new(handling)
            recording.observe(handling.event)
        return recording

    def current(self) -> Recording | None:
        """The recording of the event being handled; ``None`` outside of handling, and when it is written already."""
        handling = current_handling()
        recording: Recording | None = None if handling is None else handling.kept.get(self)
        return recording if recording is not None and recording.is_open else None

    def alone(self) -> Recording:
        """A recording that belongs to no event."""
        return self._new(None)

    async def commit(self, recording: Recording) -> None:
        """Make a recording durable, waiting no longer than allowed; it goes on in the background if need be."""
        if len(self._commits) >= self._at_risk_limit:
            self._tally.left_out[LeftOut.AT_RISK_LIMIT] += 1
            self._incidents.report("tracking_lost", reason="the store does not work, and memory is full")
            return
        task = asyncio.create_task(self.settle(recording))
        self._commits.add(task)
        task.add_done_callback(self._committed)
        await asyncio.wait({task}, timeout=self._commit_timeout)

    async def settle(self, recording: Recording, settlements: Sequence[Settlement] = ()) -> None:
        """Write a recording together with *settlements*, for as long as it takes."""
        await self._settler.settle([recording], settlements)
        recording.finish()

    async def drain(self, deadline_seconds: float) -> None:
        """Wait for what is at risk; what is not written by then is lost."""
        if self._commits:
            _, lost = await asyncio.wait(self._commits, timeout=deadline_seconds)
            for task in lost:
                task.cancel()
            if lost:
                log.error("tracking_lost_at_risk: %d", len(lost))
            await asyncio.gather(*lost, return_exceptions=True)

    def _new(self, handling: Handling | None) -> Recording:
        return Recording(
            apps=self._apps,
            planner=self._planner,
            now=self._clock.now,
            new_id=_random_id,
            incidents=self._incidents,
            tally=self._tally,
            handling=handling,
            on_committed=self._on_committed,
        )

    def _committed(self, task: asyncio.Task[None]) -> None:
        self._commits.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._incidents.report("tracking_failed", reason=type(task.exception()).__name__)


def _random_id() -> str:
    return uuid.uuid4().hex
