"""Takes what is tracked into recordings, and commits these, for as long as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any

import attrs

from ..arguments import name_of_device_id, optional_channel, optional_id
from ..exceptions import NotStorable, StoreError, StoreUnavailable, TrackingError
from ..handling import Handling, current_handling, current_handlings
from ..kochava.event_builders import StandardEventData
from ..messenger.events import Channel
from ..queues.commits import PLANS, CommitRetry
from ..store.records import CommitVerdict, Settlement, Unit
from ..telemetry.counts import LeftOut
from .channels import PageChannels
from .counting import day_of
from .people import Person
from .planner import RecordingContributor, RecordingPlanner
from .privacy import Privacy
from .recording import Recording, RequestedEvent
from .settings import TrackingContext

log = logging.getLogger(__name__)

UNIT_RECORDINGS = 50
"""Most recordings that are written together: when the state of one of their people changes, all are planned anew."""


class Recorder:
    """
    The recordings of one middleware.

    Attributes:
        channels: Where Pages are.
        on_recorded: Called with the queues of the outbox in which new records are stored; without any when a greeting
            waits for its delivery.
        is_closed: The middleware was stopped.
    """

    def __init__(self, context: TrackingContext, privacy: Privacy) -> None:
        self.channels = PageChannels(context.store, context.clock, context.prefix)
        self.on_recorded: Callable[[Collection[str]], None] = lambda _queues: None
        self.is_closed = False
        self._context = context
        self._planner = RecordingPlanner(context, privacy, self.channels, self._announce)
        self._committer = CommitRetry(context.store, context.clock)
        self._commits: set[asyncio.Task[None]] = set()
        self._writes: set[asyncio.Task[Any]] = set()
        self._greetings_reported: set[str] = set()
        self._forgot_counts_on: int | None = None

    def _announce(self, queues: Collection[str]) -> None:
        self.on_recorded(queues)

    @property
    def trackers(self) -> frozenset[str]:
        """The names of all trackers in the settings."""
        return self._context.apps.trackers

    @property
    def is_strict(self) -> bool:
        """Whether events are checked strictly, on every Page without settings of its own."""
        return self._context.settings.events.strict

    @property
    def at_risk(self) -> int:
        """Commits that are only in memory."""
        return len(self._commits)

    def recording_of(self, handling: Handling) -> Recording:
        """The recording of *handling*; the same one each time."""
        recording: Recording | None = handling.kept.get(self)
        if recording is None:
            recording = handling.kept[self] = Recording(self._context, handling)
            self.channels.see(handling.event)
        return recording

    def join(self, handling: Handling) -> None:
        """Make the recording of *handling* a part of its host's commit."""
        handling.contributors[self] = self._contributor(self.recording_of(handling))

    def _contributor(self, recording: Recording) -> RecordingContributor:
        return RecordingContributor(self._planner, recording, self._context.counting)

    def go_on_after(self, recording: Recording) -> None:
        """What its handling adds from now on is another recording, for *recording* is to be written."""
        if recording.handling is not None:
            recording.handling.kept[self] = Recording(self._context, recording.handling, former=recording)

    def current(self, user_id: str | None = None) -> Recording | None:
        """
        The recording of the event being handled; ``None`` outside of handling, and when it is written already.

        Args:
            user_id: Whom it shall be about, where events of several people are handled by one call.
        """
        return self._open_recording(current_handling(user_id))

    def _open_recording(self, handling: Handling | None) -> Recording | None:
        recording: Recording | None = None if handling is None else handling.kept.get(self)
        return recording if recording is not None and recording.is_open else None

    def new(self) -> Recording:
        """A recording that belongs to no event."""
        return Recording(self._context)

    def ignore(self) -> None:
        """Leave out the automatic event of each event being handled."""
        for handling in current_handlings():
            recording = self._open_recording(handling)
            if recording is not None:
                recording.is_ignored = True

    def track_result(self, name: str, data: Any, result: Any) -> None:
        """Record a named event after a function that is called while an event is handled; see `HandlerDecorators`."""
        context = self._context
        if context.is_off:
            return
        recording = self.current()
        person = None if recording is None else recording.person
        if recording is None or person is None:
            context.counts.left_out[LeftOut.NO_PERSON] += 1
            reason = "called while no event of a person is handled"
            if current_handlings():
                reason = "called while events of several people are handled at once, or of none"
            context.incidents.report("event_without_person", name, reason=reason)
            return
        try:
            value = data(recording.event, result) if callable(data) else data
            value = value.data if isinstance(value, StandardEventData) else value
            recording.track(person, RequestedEvent(name=name, data=value))
        except Exception as exc:
            if context.apps.of(person.page_id).events.strict:
                raise
            context.incidents.report("event_data_failed", name, reason=type(exc).__name__)
            recording.track(person, RequestedEvent(name=name))

    def track(self, event: RequestedEvent, new: Recording | None = None) -> Recording:
        """
        Add a named event to the recording of the event being handled; outside of handling to *new*, or a new one, which
        is then to be written.

        Raises:
            TrackingError: As of `KochavaMiddleware.track`.
        """
        recording = self.current(event.user_id) or new or self.new()
        recording.track(self._person(recording, event.user_id, event.page_id, event.channel, event), event)
        return recording

    async def identify(self, identities: Any, *, user_id: object, page_id: object, channel: object) -> None:
        """Record identities of a person, as of `KochavaMiddleware.identify`."""
        user_id, page_id = optional_id("user_id", user_id), optional_id("page_id", page_id)
        channel = optional_channel(channel)
        if self._context.is_off:
            return
        recording = self.current(user_id) or self.new()
        recording.identify(self._person(recording, user_id, page_id, channel), identities)
        if recording.handling is None:
            await self.begin_write(recording, "identify")

    def report_greeting(self, name: str, problem: str) -> None:
        """Say, once for each handler, that a greeting cannot be counted."""
        if name in self._greetings_reported or not any(app.has_greeting for app in self._context.apps):
            return
        self._greetings_reported.add(name)
        log.warning(
            "greeting_not_counted %s: %s, so there is neither impression nor click; send it with "
            "`await kochava.send(body, call)` while its event is handled",
            name,
            problem,
        )

    async def commit(self, *recordings: Recording) -> None:
        """Make recordings durable, waiting no longer than allowed; it goes on in the background if need be."""
        if (waiter := self.begin_commit(*recordings)) is not None:
            await waiter

    def begin_commit(self, *recordings: Recording) -> asyncio.Future[None] | None:
        """As `commit`, whose end the future is; ``None`` when they are lost."""
        for recording in recordings:
            recording.is_open = False
        if self.is_closed:
            reason = "`stop` was called before it was recorded; stop the server first, then `kochava`"
            self._context.incidents.report("tracking_lost", reason=reason, level=logging.ERROR)
            return None
        if len(self._commits) >= self._context.settings.at_risk_limit:
            self._context.counts.left_out[LeftOut.AT_RISK_LIMIT] += 1
            reason = "the store does not work, and memory is full"
            self._context.incidents.report("tracking_lost", reason=reason, level=logging.ERROR)
            return None
        task = asyncio.create_task(self._settle_all(recordings))
        self._keep(task)
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        limit = loop.call_later(self._context.settings.commit_timeout_seconds, self._leave_at_risk, waiter)
        task.add_done_callback(lambda _task: None if waiter.done() else waiter.set_result(None))
        waiter.add_done_callback(lambda _waiter: limit.cancel())
        return waiter

    def _leave_at_risk(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            waiter.set_result(None)
            reason = f"not stored yet, only in memory until the store works: {self._committer.failure}"
            self._context.incidents.report("tracking_at_risk", reason=reason)

    async def _settle_all(self, recordings: Sequence[Recording]) -> None:
        for unit in units_of(recordings):
            await self._settle(unit)

    async def settle(self, recording: Recording, settlements: Sequence[Settlement] = ()) -> None:
        """Write a recording together with *settlements*, for as long as it takes."""
        await self._settle([recording], settlements)

    async def _settle(self, recordings: Sequence[Recording], settlements: Sequence[Settlement] = ()) -> None:
        contributors = [
            RecordingContributor(self._planner, recording, self._context.counting) for recording in recordings
        ]
        await self._committer.settle(contributors, settlements)
        for contributor in contributors:
            contributor.committed(None)
        self._forget_old_counts()

    def _forget_old_counts(self) -> None:
        """Once a day, remove the counters that are older than the settings want."""
        today = day_of(self._context.clock.now())
        if today != self._forgot_counts_on:
            self._forgot_counts_on = today
            before = today + 1 - self._context.settings.report.retention_days
            self.in_background(self._context.store.forget_counts(before))

    def in_background(self, work: Coroutine[Any, Any, object]) -> None:
        """Do something that a commit may follow from; `drain` waits for it."""
        task = asyncio.create_task(work)
        self._writes.add(task)
        task.add_done_callback(self._forget_write)

    async def drain(self, deadline_seconds: float) -> None:
        """Wait for what is at risk; what is not written by then is lost."""
        if links := self._context.counting.take_links():
            self.in_background(self._context.store.commit(Unit(counts=links)))
        if self._commits or self._writes:
            await asyncio.wait(self._commits | self._writes, timeout=deadline_seconds)
            lost, self._commits = [task for task in self._commits if not task.done()], set()
            for task in lost:
                task.cancel()
            if lost:
                log.error("tracking_lost_at_risk: %d", len(lost))
            await asyncio.gather(*lost, return_exceptions=True)

    def begin_write(self, recording: Recording, call: str) -> asyncio.Future[None]:
        """
        Make durable what *call* recorded outside of handling. Its caller gets the future, which may be cancelled. It is
        done within the time allowed, which is that of the store: what callables of the settings take comes on top.

        It has the errors:
            StoreUnavailable: The store did not take it in time.
            StoreError: The store can never keep it.
            TrackingError: It has no stored form.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._write(recording, answer))
        self._writes.add(task)
        task.add_done_callback(partial(self._written, answer))
        seconds = self._context.settings.commit_timeout_seconds
        limit = recording.hook_time.call_later(seconds, partial(self._give_up, task, answer, call))
        answer.add_done_callback(partial(self._answered, task, limit))
        return answer

    async def _write(self, recording: Recording, answer: asyncio.Future[None]) -> None:
        await self._commit_once(recording)
        # A turn of the loop earlier than what is called when the task has ended.
        if not answer.done():
            answer.set_result(None)

    def _written(self, answer: asyncio.Future[None], task: asyncio.Task[None]) -> None:
        self._writes.discard(task)
        # Its error is retrieved in any case: after the time is over, asyncio would report it as never retrieved.
        if task.cancelled():
            answer.cancel()
        elif (error := task.exception()) is not None and not answer.done():
            answer.set_exception(error)

    def _answered(self, task: asyncio.Task[None], limit: asyncio.TimerHandle, answer: asyncio.Future[None]) -> None:
        limit.cancel()
        if answer.cancelled():
            # The caller is gone, so nobody would repeat it.
            self._keep(task)

    def _give_up(self, task: asyncio.Task[None], answer: asyncio.Future[None], call: str) -> None:
        if answer.done() or task.done():
            return
        self._committer.give_up(task)
        seconds = self._context.settings.commit_timeout_seconds
        msg = (
            f"`{call}`: the store did not take it within {seconds:g} s ({self._committer.failure}); "
            "repeat the call when the store works, with the same `id` so that it counts once"
        )
        answer.set_exception(StoreUnavailable(msg))

    async def _commit_once(self, recording: Recording) -> None:
        recording.is_open = False
        self._forget_old_counts()
        contributor = self._contributor(recording)
        for _ in range(PLANS):
            unit = await self._committer.contribution(contributor)
            contributor.check_storable()
            committed = None
            if not unit.is_empty:
                committed = await self._committer.commit(unit)
            if committed is None or committed.verdict is CommitVerdict.COMMITTED:
                contributor.committed(committed)
                if committed is not None and committed.set_aside:
                    msg = "the store can never keep this; a dead letter says why, see `kochava-bot store list`"
                    raise NotStorable(msg)
                return
        msg = f"the person's state changed {PLANS} times while it was recorded; repeat the call"
        raise StoreError(msg)

    def _person(
        self,
        recording: Recording,
        user_id: str | None,
        page_id: str | None,
        channel: Channel | None,
        event: RequestedEvent | None = None,
    ) -> Person:
        """The person that a call is about, which records *event*, or identities."""
        own = recording.person
        if own is not None and user_id is page_id is channel is None:
            return own
        channel = channel or self.channels.known(page_id)
        user_id = user_id or (None if own is None else own.user_id)
        page_id = page_id or (None if own is None else own.page_id)
        is_one_of_several = recording.handling is None and len(current_handlings()) > 1
        if user_id is None and event is not None and event.device_ids and not is_one_of_several:
            user_id = name_of_device_id(*next(iter(event.device_ids.items())))
            channel = channel or Channel.MESSENGER
            return Person(user_id=user_id, page_id=page_id, channel=channel, is_by_device_id=True)
        if user_id is None:
            why = "no event of a person is being handled"
            if is_one_of_several:
                why = "events of several people are being handled by one call"
            what = "identities" if event is None else f"event {event.name!r}"
            msg = f"{what}: {why}, so `user_id` must say whom it is about"
            raise TrackingError(msg)
        if own is not None and own.user_id == user_id and channel in (None, own.channel):
            return attrs.evolve(own, page_id=page_id)
        is_assumed = channel is None
        if channel is None:
            channel = Channel.MESSENGER if own is None or own.page_id != page_id else own.channel
        return Person(user_id=user_id, page_id=page_id, channel=channel, is_assumed=is_assumed)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._commits.add(task)
        task.add_done_callback(self._forget_commit)

    def _forget_commit(self, task: asyncio.Task[None]) -> None:
        is_lost = task in self._commits and task.cancelled()
        self._commits.discard(task)
        if is_lost:
            log.error("tracking_lost_at_risk: its event loop ended before the store took it")
        elif not task.cancelled() and task.exception() is not None:
            self._context.incidents.report("tracking_failed", reason=type(task.exception()).__name__)

    def _forget_write(self, task: asyncio.Task[Any]) -> None:
        self._writes.discard(task)
        # Nobody waits for it, so asyncio would report an error as never retrieved.
        if not task.cancelled():
            task.exception()


def units_of(recordings: Sequence[Recording]) -> list[list[Recording]]:
    """
    Which of *recordings* are written in one unit, in which order: those of one person one after the other, since each
    is planned from what the one before it left in the store.
    """
    units: list[list[Recording]] = []
    last_of: dict[str, int] = {}
    for recording in recordings:
        names = {name for _, name in recording.people}
        if (event := recording.event) is not None:
            names |= {name for name in (event.user_id, event.user_ref, event.joined_user_ref) if name is not None}
        first = max((last_of[name] + 1 for name in names if name in last_of), default=0)
        place = next((at for at in range(first, len(units)) if len(units[at]) < UNIT_RECORDINGS), len(units))
        if place == len(units):
            units.append([])
        units[place].append(recording)
        last_of.update(dict.fromkeys(names, place))
    return units
