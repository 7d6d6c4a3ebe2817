"""
Plans recordings: reads the stored state of their people, and asks the callables of the settings.

The state is read only at the end of a handling, and read again when another process changed it in between.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs

from ..exceptions import TrackingError
from ..hooks import HookFailed, HookTime, call_hook
from ..kochava.event_data import clean_event_data
from ..kochava.records import Engagement, Record
from ..messenger.events import AccountLinkingEvent, ChangeEvent, Channel, DeliveryEvent, Event
from ..settings import kind_of
from ..store.records import Committed, DayCount, Entry, Mark, Unit
from ..telemetry.counts import LeftOut
from .automatic_events import referral_facts
from .channels import PageChannels
from .consent import NOT_ASKED, Drop
from .counting import Counting
from .people import Person
from .privacy import Privacy
from .record_plan import RecordingPlan, greeting_keys, joined_plans, plan_person
from .recording import RecordedPerson, Recording
from .settings import App, TrackingContext
from .state import (
    NO_REFERRAL,
    KnownState,
    StateKey,
    channel_key,
    channel_of,
    comment_key,
    greeting_key,
    page_key,
    record_entry,
    sent_from_bytes,
    sent_to_bytes,
    suppression_of,
    values_of,
    write,
)

log = logging.getLogger(__name__)

REMEMBERED_MIDS = 1000
"""Delivered messages that may belong to a send whose person is not known yet, as far as this process saw them."""

PAGE_SEEN_SECONDS = 7 * 86400.0
"""For how long a Page that sent a delivery event is expected to send more of them."""

COMMENT_SECONDS = 8 * 86400.0
"""For how long the ad of a comment is kept: within seven days of it, a private reply may be sent."""


class RecordingPlanner:
    """
    What recordings become, and what was made of them.

    Args:
        on_recorded: As of `Recorder`.
    """

    def __init__(
        self,
        context: TrackingContext,
        privacy: Privacy,
        channels: PageChannels,
        on_recorded: Callable[[Collection[str]], None],
    ) -> None:
        self._context = context
        self._privacy = privacy
        self._channels = channels
        self._on_recorded = on_recorded
        self._delivered: OrderedDict[StateKey, Person] = OrderedDict()
        self._pages_seen: dict[StateKey, float] = {}

    async def plan(self, recording: Recording) -> RecordingPlan:
        """What *recording* becomes, given the state that is stored now. Nothing is written or counted."""
        event = None if recording.without_event else recording.event
        if not recording.is_complete:
            if isinstance(event, AccountLinkingEvent):
                await self._identify_on_linking(recording, event)
            recording.complete()
        marks = self._marks_of(recording, event)
        parts = list(recording.people.values())
        keys: list[StateKey] = []
        for part in parts:
            keys += _keys_to_read(part, _event_of(part, recording))
        stored = values_of(keys, await self._context.store.recall(keys)) if keys else {}
        plans = [await self._plan_part(part, stored, recording) for part in parts]
        return joined_plans(plans, marks)

    def entries_of(self, plan: RecordingPlan) -> list[Entry]:
        """What is appended of *plan*; what cannot be, or in a dry run, is added to what it leaves out."""
        context = self._context
        now = context.clock.now()
        entries = []
        for record, channel in zip(plan.records, plan.channels, strict=True):
            if context.is_dry_run:
                log.info("dry_run: %s %s", record.kind, getattr(record, "event_name", ""))
                plan.left_out.append(LeftOut.DRY_RUN)
                continue
            try:
                entries.append(record_entry(record, now, label=context.counting.label(record, channel)))
            except (TypeError, ValueError) as exc:
                context.incidents.report("record_not_storable", record.kind, reason=type(exc).__name__)
                plan.left_out.append(LeftOut.NOT_STORABLE)
        return entries + plan.timers

    def counts_of(self, recording: Recording, plan: RecordingPlan) -> list[DayCount]:
        """What is counted by day beside the records."""
        left_out = recording.left_out + plan.left_out
        if recording.is_ignored:
            left_out.append(LeftOut.IGNORED)
        if not (left_out or plan.greetings_sent):
            return []
        about = recording.person or next((part.person for part in recording.people.values()), None)
        return self._context.counting.others(
            None if about is None else about.page_id,
            None if about is None else about.channel,
            now=self._context.clock.now(),
            greetings=plan.greetings_sent,
            left_out=left_out,
        )

    def count(self, recording: Recording, plan: RecordingPlan | None, committed: Committed | None) -> None:
        """Count what was recorded and left out."""
        counts = self._context.counts
        if committed is not None:
            self._channels.kept(recording.event)
            if (page := self._unseen_page(recording.event)) is not None:
                self._pages_seen[page] = self._context.clock.now()
        if recording.left_out:
            counts.left_out.update(recording.left_out)
            recording.left_out.clear()
        if plan is None:
            return
        if plan.left_out:
            counts.left_out.update(plan.left_out)
        if recording.is_ignored:
            counts.left_out[LeftOut.IGNORED] += 1
        if committed is None:
            return
        records = {record.id: record for record in plan.records}
        new = [records[entry_id] for entry_id in committed.appended if entry_id in records]
        for record in new:
            counts.recorded[record.kind] += 1
        if committed.set_aside:
            counts.left_out[LeftOut.NOT_STORABLE] += sum(entry_id in records for entry_id in committed.set_aside)
        if new or any(timer.id in committed.appended for timer in plan.timers):
            self._on_recorded({record.queue for record in new})

    async def _identify_on_linking(self, recording: Recording, event: AccountLinkingEvent) -> None:
        person = recording.person
        if person is None or event.status != "linked" or event.standby or event.from_page:
            return
        identify = self._context.apps.of(person.page_id).identity.identify_on_linking
        if identify is None:
            return
        try:
            await call_hook(identify, event, read=lambda given: recording.identify(person, given) if given else None)
        except HookFailed as exc:
            self._context.incidents.report("identify_on_linking_failed", reason=str(exc))

    def _marks_of(self, recording: Recording, event: Event | None) -> list[Mark]:
        """What is kept for others than the people of *recording*."""
        marks = self._marks_of_greetings(recording) if recording.greetings else []
        if isinstance(event, ChangeEvent):
            app, now = self._context.apps.of(event.page_id), self._context.clock.now()
            marks += _comment_marks(event, app, prefix=self._context.prefix, now=now)
        if (page := self._unseen_page(event)) is not None:
            marks.append(write(page, b"1", expires_after_seconds=PAGE_SEEN_SECONDS))
        if (channel := self._channels.mark(recording.event)) is not None:
            marks.append(channel)
        return marks

    def _marks_of_greetings(self, recording: Recording) -> list[Mark]:
        """Greetings to people whose id is not known: give them to those whose delivery came first, keep the others."""
        prefix = self._context.prefix
        marks: list[Mark] = []
        greetings, recording.greetings = recording.greetings, []
        for greeting in greetings:
            app, identified_by, sent = greeting
            keys = [greeting_key(app.app_id, name, prefix) for name in identified_by]
            person = next((self._delivered[key] for key in keys if key in self._delivered), None)
            if person is not None:
                recording.add_delivered_greeting(person, sent)
                continue
            recording.greetings.append(greeting)
            keep = app.greeting.window_seconds
            marks += [write(key, sent_to_bytes(sent), expires_after_seconds=keep) for key in keys]
        return marks

    def _unseen_page(self, event: Event | None) -> StateKey | None:
        """The key of the fact that the Page of *event* has delivery events; ``None`` but for about once a day."""
        if not isinstance(event, DeliveryEvent) or event.from_page:
            return None
        if not self._context.apps.of(event.page_id).has_greeting:
            return None
        key = page_key(event.page_id, self._context.prefix)
        seen_at = self._pages_seen.get(key, 0.0)
        return key if self._context.clock.now() - seen_at > PAGE_SEEN_SECONDS / 7 else None

    async def _plan_part(
        self, part: RecordedPerson, stored: Mapping[StateKey, bytes], recording: Recording
    ) -> RecordingPlan:
        if (left_out := self._left_out(part, stored)) is not None:
            return left_out
        event = _event_of(part, recording)
        if event is None:
            part.person = _person_as_known(part, stored)
        is_only_delivery = bool(part.signals) and self._remember_deliveries(part, stored, event)
        has_hooks = part.app.has_hooks and part.answers is NOT_ASKED
        if has_hooks and not is_only_delivery:
            await self._ask_hooks(part, stored, event, recording.hook_time)
        now = self._context.clock.now()
        planned = plan_person(part, stored, event=event, usertime=recording.usertime, now=now)
        if has_hooks and is_only_delivery and planned.records:
            await self._ask_hooks(part, stored, event, recording.hook_time)
            planned = plan_person(part, stored, event=event, usertime=recording.usertime, now=now)
        before_record = self._context.settings.before_record
        if before_record is not None and await self._decide(before_record, part, planned, recording.hook_time):
            planned = plan_person(part, stored, event=event, usertime=recording.usertime, now=now)
        if LeftOut.NOT_STORABLE in planned.left_out:
            self._context.incidents.report("record_not_storable", "state", reason="no stored form")
        return planned

    def _left_out(self, part: RecordedPerson, stored: Mapping[StateKey, bytes]) -> RecordingPlan | None:
        """The plan of a person of whom nothing is recorded; ``None`` for others."""
        joined_to, test_users = part.joined_to, self._context.settings.test_users
        if test_users and (
            part.person.user_id in test_users or (joined_to is not None and joined_to.person.user_id in test_users)
        ):
            return RecordingPlan(left_out=[LeftOut.TEST_USER] * len(part.events))
        if (suppression := suppression_of(part.suppressed_by(stored))) is not None:
            return RecordingPlan(left_out=[suppression] * len(part.events))
        if joined_to is None:
            return None
        if (because := joined_to.suppressed_by(stored)) is not None:
            # They opted out before it was known that this is a reference to them.
            return RecordingPlan(marks=[write(part.suppression_keys[0], because)])
        return None if joined_to.answers.suppression is None else RecordingPlan()

    def _remember_deliveries(self, part: RecordedPerson, stored: Mapping[StateKey, bytes], event: Event | None) -> bool:
        """
        A delivery may come before its greeting is recorded, which does not name the person. Returns whether there is
        nothing but deliveries of what is no greeting, as most are.
        """
        keys = greeting_keys(part, event)
        unsent = [key for key in keys if sent_from_bytes(stored.get(key)) is None]
        for key in unsent:
            if "mid:" in key[1]:
                self._delivered[key] = part.person
                while len(self._delivered) > REMEMBERED_MIDS:
                    self._delivered.popitem(last=False)
        return unsent == keys and part.is_only_delivery

    async def _ask_hooks(
        self, part: RecordedPerson, stored: Mapping[StateKey, bytes], event: Event | None, hook_time: HookTime
    ) -> None:
        """Call the callables of the settings, once for each person of a recording."""
        is_known = bool(KnownState.from_bytes(stored.get(part.keys.known)).first_record)
        with hook_time.running():
            part.answers = await self._privacy.ask(part.app, part.person, event, is_known=is_known)

    async def _decide(
        self,
        before_record: Callable[[Record], Any],
        part: RecordedPerson,
        planned: RecordingPlan,
        hook_time: HookTime,
    ) -> bool:
        """Ask about the records that it has not seen; returns whether it wants any of them changed."""
        new = [record for record in planned.records if record.id not in part.decisions]
        if not new:
            return False
        # At the same time, so that several that hang take no longer than one.
        with hook_time.running():
            decisions = await asyncio.gather(*(self._decision(before_record, record) for record in new))
        part.decisions = {**part.decisions, **dict(zip([record.id for record in new], decisions, strict=True))}
        return any(decision is not None for decision in decisions)

    async def _decision(
        self, before_record: Callable[[Record], Any], record: Record
    ) -> Drop | Mapping[str, Any] | None:
        incidents, name = self._context.incidents, getattr(record, "event_name", record.kind)
        try:
            # It may write into what it is given, and may be asked again about what is the same event.
            decision = await call_hook(before_record, copy.deepcopy(record), read=_clean_if_data)
        except HookFailed as exc:
            incidents.report("before_record_failed", name, reason=str(exc))
        else:
            if isinstance(decision, Drop):
                incidents.report("record_dropped", name, reason=decision.reason, level=logging.INFO)
                return decision
            if decision is None or (isinstance(decision, Mapping) and isinstance(record, Engagement)):
                return decision
            incidents.report("before_record_failed", name, reason=f"it answered {kind_of(decision)}")
        # Its data may be what must not leave; who must not is a matter of `privacy.consent`.
        return {} if isinstance(record, Engagement) else None


class RecordingContributor:
    """One recording's part of a commit: planned anew for each try, and counted once."""

    def __init__(self, planner: RecordingPlanner, recording: Recording, counting: Counting) -> None:
        self._planner = planner
        self._recording = recording
        self._counting = counting
        self._plan: RecordingPlan | None = None
        self._links: list[DayCount] = []

    async def contribute(self) -> Unit:
        self._plan = plan = await self._planner.plan(self._recording)
        appends = self._planner.entries_of(plan)
        self._links += self._counting.take_links()
        return Unit(
            appends=appends, marks=plan.marks, counts=self._planner.counts_of(self._recording, plan) + self._links
        )

    def check_storable(self) -> None:
        """Raise a `TrackingError` when something of the plan has no stored form."""
        if self._plan is not None and LeftOut.NOT_STORABLE in self._plan.left_out:
            msg = "it holds something that has no stored form, such as text that is no Unicode"
            raise TrackingError(msg)

    def committed(self, answer: Committed | None) -> None:
        """Count what was recorded and left out. Idempotent."""
        plan, self._plan = self._plan, None
        links, self._links = self._links, []
        if answer is None and links:
            self._counting.give_back(links)
        self._planner.count(self._recording, plan, answer)


def _clean_if_data(decision: Any) -> Any:
    """What `before_record` answered; data as they are stored, which no object of the author's can change any more."""
    return (clean_event_data(decision, strict=False)[0] or {}) if isinstance(decision, Mapping) else decision


def _event_of(part: RecordedPerson, recording: Recording) -> Event | None:
    """The event being handled, if it is this person's."""
    event = recording.event
    return event if event is not None and event.user_id == part.person.user_id else None


def _comment_marks(event: ChangeEvent, app: App, *, prefix: str, now: float) -> list[Mark]:
    """What is kept of a comment: the ad, until the answer to a private reply names the person."""
    if event.comment_id is None or app.events.attach_referral == "off":
        return []
    at = now if event.timestamp is None else event.timestamp.timestamp()
    state = NO_REFERRAL.with_referral(referral_facts(event.referral), at)
    key = comment_key(app.app_id, event.comment_id, prefix)
    return [write(key, state.to_bytes(), expires_after_seconds=COMMENT_SECONDS)] if state.first else []


def _keys_to_read(part: RecordedPerson, event: Event | None) -> list[StateKey]:
    """The state entries that the plan of one person needs."""
    keys = part.keys
    wanted = [*part.suppression_keys, keys.known]
    if part.app.uses_referrals and _concerns_referral(part, event):
        wanted += [keys.referral, *part.further_referral_keys]
    if part.person.is_assumed and part.person.page_id is not None:
        wanted.append(channel_key(part.person.page_id, keys.prefix))
    if part.events or part.identities or part.app.install.is_entry(event):
        wanted.append(keys.identities)
    if part.signals:
        wanted += [keys.funnel, page_key(part.person.page_id, keys.prefix), *greeting_keys(part, event)]
    return wanted


def _concerns_referral(part: RecordedPerson, event: Event | None) -> bool:
    """Whether it matters, or changes, what led this person here."""
    if part.signals or part.referrals or part.comments or part.user_refs:
        return True
    if event is not None and event.referral is not None:
        return True
    # A generator costs more than all else here: 2 % of the planning of an event.
    for requested in part.events:  # noqa: SIM110
        if requested.is_named:
            return True
    return False


def _person_as_known(part: RecordedPerson, stored: Mapping[StateKey, bytes]) -> Person:
    """
    The person of a call, which says no more than an id: whether that is a reference and, if nobody said where they are,
    under which name it was sent before, or where their Page is.
    """
    if part.person.is_by_device_id:
        return part.person
    identity, name = part.app.identity, part.keys.name
    known = KnownState.from_bytes(stored.get(part.keys.known))
    if known.is_user_ref:
        return attrs.evolve(part.person, is_by_reference=True)
    if not part.person.is_assumed:
        return part.person
    names = [key for key, values in known.ids.items() if name in values]
    # The first channel is assumed where none is known, so what is known of another one was certain.
    for channel in reversed(Channel) if names else ():
        person = attrs.evolve(part.person, channel=channel)
        if identity.key_of(person) in names:
            return person
    page_id = part.person.page_id
    of_page = None if page_id is None else channel_of(stored.get(channel_key(page_id, part.keys.prefix)))
    return part.person if of_page is None else attrs.evolve(part.person, channel=of_page)
