"""
From what a handling told to what is written: the one place where a person's stored state meets what is new.

Planning may be done again when somebody else changed that state in between; nothing is written or counted here.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs

from ..handling import Contribution
from ..incidents import Incidents
from ..kochava.records import SCHEMA, Record, encode
from ..messenger.events import DeliveryEvent, Event
from ..store.records import Condition, Entry, Mark
from ..telemetry.counts import LeftOut
from .apps import Apps
from .device import device_facts
from .funnel import Delivered
from .people import Person
from .person_plan import Assembled, assemble
from .privacy import Privacy
from .state import Keys, sent_from_bytes, sent_to_bytes
from .told import PersonFacts, Subject, Told, Unaddressed

log = logging.getLogger(__name__)

Recall = Callable[[Sequence[str]], Awaitable[Mapping[str, bytes]]]

REMEMBERED_MIDS = 1000
"""Delivered messages that may belong to a send whose person is not known yet, as far as this process saw them."""

PAGE_SEEN_SECONDS = 7 * 86400.0
"""For how long a Page that sent a delivery event is expected to send more of them."""


@attrs.define(kw_only=True)
class Plan:
    """
    What to write, and what to count once it is written.

    Attributes:
        appends: Records and timers.
        marks: Changed state.
        kinds: Kind of each record, by its id.
        left_out: Why something is not written, once for each.
    """

    appends: list[Entry] = attrs.field(factory=list)
    marks: list[Mark] = attrs.field(factory=list)
    kinds: dict[str, str] = attrs.field(factory=dict)
    left_out: list[str] = attrs.field(factory=list)

    @property
    def contribution(self) -> Contribution:
        """For the commit."""
        return Contribution(appends=self.appends, marks=self.marks)


class Planner:
    """
    Plans for one middleware.

    Args:
        test_users: Ids of people of whom nothing is recorded.
        is_dry: Records are logged in place of being stored.
        prefix: Put before the keys of all marks.
    """

    def __init__(
        self,
        *,
        apps: Apps,
        recall: Recall,
        now: Callable[[], float],
        privacy: Privacy,
        incidents: Incidents,
        test_users: Sequence[str] = (),
        is_dry: bool = False,
        prefix: str = "",
    ) -> None:
        self._apps = apps
        self._recall = recall
        self._now = now
        self._privacy = privacy
        self._incidents = incidents
        self._test_users = frozenset(test_users)
        self._is_dry = is_dry
        self._prefix = prefix
        self._delivered: OrderedDict[str, Person] = OrderedDict()
        self._pages_seen: dict[str, float] = {}

    async def plan(self, told: Told) -> Plan:
        """
        What to write for *told*.

        Raises:
            StoreError: The stored state cannot be read.
        """
        plan = Plan()
        subjects = self._subjects(told, plan)
        self._see_page(told.event, plan)
        keys = [key for subject in subjects for key in self._keys(subject)]
        stored = await self._recall(keys) if keys else {}
        for subject in subjects:
            await self._plan_person(subject, stored, told, plan)
        return plan

    def _subjects(self, told: Told, plan: Plan) -> list[Subject]:
        subjects: dict[tuple[str, str], Subject] = {}
        for happening in told.happenings:
            self._subject(subjects, happening.person, told).happenings.append(happening)
        for person, identities in told.identities:
            self._subject(subjects, person, told).identities.update(identities)
        for person, signal in told.signals:
            self._subject(subjects, person, told).signals.append(signal)
        event = told.event
        if event is not None and event.user_id and (event.referral is not None or self._is_entry(event)):
            person = Person(user_id=event.user_id, page_id=event.page_id, channel=event.channel)
            self._subject(subjects, person, told)
        for send in told.unaddressed:
            self._join_or_keep(send, subjects, told, plan)
        wanted = []
        for subject in subjects.values():
            if subject.person.user_id in self._test_users:
                plan.left_out += [LeftOut.TEST_USER] * len(subject.happenings)
            else:
                wanted.append(subject)
        return wanted

    def _is_entry(self, event: Event) -> bool:
        return self._apps.of(event.page_id).install.is_entry(event)

    def _subject(self, subjects: dict[tuple[str, str], Subject], person: Person, told: Told) -> Subject:
        app = self._apps.of(person.page_id)
        name = app.name_of(person)
        subject = subjects.get((app.app_id, name))
        if subject is None:
            event = told.event if told.event is not None and told.event.user_id == person.user_id else None
            keys = Keys(app_id=app.app_id, name=name, prefix=self._prefix)
            barred_key = self._privacy.key_of(name)
            subject = Subject(person=person, app=app, name=name, keys=keys, barred_key=barred_key, event=event)
            subjects[app.app_id, name] = subject
        return subject

    def _join_or_keep(
        self, send: Unaddressed, subjects: dict[tuple[str, str], Subject], told: Told, plan: Plan
    ) -> None:
        app = self._apps.of(send.page_id)
        keys = [self._prefix + f"join:{app.app_id}:{name}" for name in send.names]
        person = next((self._delivered[key] for key in keys if key in self._delivered), None)
        if person is not None:
            subject = self._subject(subjects, person, told)
            subject.signals[:0] = [send.sent, Delivered(at=send.sent.at, mids=[send.sent.mid or ""])]
            return
        expires_at = self._now() + app.greeting.window_seconds
        plan.marks += [Mark(key=key, value=sent_to_bytes(send.sent), expires_at=expires_at) for key in keys]

    def _see_page(self, event: Event | None, plan: Plan) -> None:
        """Remember, about once a day, that a Page has delivery events."""
        if not isinstance(event, DeliveryEvent) or not self._apps.of(event.page_id).greeting.is_on:
            return
        now = self._now()
        key = Keys.of_page(event.page_id, self._prefix)
        if now - self._pages_seen.get(key, 0.0) > PAGE_SEEN_SECONDS / 7:
            self._pages_seen[key] = now
            plan.marks.append(Mark(key=key, value=b"1", expires_at=now + PAGE_SEEN_SECONDS))

    def _keys(self, subject: Subject) -> list[str]:
        keys = subject.keys
        wanted = [subject.barred_key, keys.referral]
        if subject.happenings or subject.identities or subject.app.install.is_entry(subject.event):
            wanted += [keys.known, keys.identities]
        if subject.signals:
            wanted += [keys.funnel, Keys.of_page(subject.person.page_id, self._prefix)]
            wanted += self._joins(subject)
        return wanted

    def _joins(self, subject: Subject) -> list[str]:
        """Keys under which greetings to this person may wait that were sent without knowing them."""
        names = [f"mid:{mid}" for signal in subject.signals if isinstance(signal, Delivered) for mid in signal.mids]
        prior = None if subject.event is None else subject.event.prior_message
        if prior is not None and prior.identifier is not None:
            names.append(f"user_ref:{prior.identifier}")
        return [self._prefix + f"join:{subject.app.app_id}:{name}" for name in names]

    async def _plan_person(self, subject: Subject, stored: Mapping[str, bytes], told: Told, plan: Plan) -> None:
        barred = self._privacy.barred(stored.get(subject.barred_key))
        if barred is not None:
            plan.left_out += [barred] * len(subject.happenings)
            return
        self._join(subject, stored, plan)
        facts = PersonFacts() if subject.is_only_delivery else await self._facts(subject, stored, told)
        assembled = assemble(subject, stored, facts, now=self._now())
        if subject.is_only_delivery and assembled.records:
            facts = await self._facts(subject, stored, told)
            assembled = assemble(subject, stored, facts, now=self._now())
        if facts.decision.barred is not None:
            plan.left_out += [facts.decision.barred] * len(subject.happenings)
            return
        self._add(assembled, plan)
        if assembled.marks:
            # Who is forgotten in between must not come back as a leftover of this plan.
            unless = Mark(key=subject.barred_key, value=None, condition=Condition.IF_ABSENT)
            plan.marks.append(unless)

    def _join(self, subject: Subject, stored: Mapping[str, bytes], plan: Plan) -> None:
        for key in self._joins(subject):
            sent = sent_from_bytes(stored.get(key))
            if sent is not None:
                subject.signals.insert(0, sent)
                plan.marks.append(Mark(key=key, value=None))
            elif "mid:" in key:
                self._delivered[key] = subject.person
                while len(self._delivered) > REMEMBERED_MIDS:
                    self._delivered.popitem(last=False)

    async def _facts(self, subject: Subject, stored: Mapping[str, bytes], told: Told) -> PersonFacts:
        key = subject.app.app_id, subject.name
        if key not in told.facts:
            told.facts[key] = await self._ask(subject, is_new=subject.keys.known not in stored)
        return told.facts[key]

    async def _ask(self, subject: Subject, *, is_new: bool) -> PersonFacts:
        person, app = subject.person, subject.app
        user_id = None if person.is_hashed else person.user_id
        decision = await self._privacy.decide(user_id)
        if decision.barred is not None:
            return PersonFacts(decision=decision)
        device: Mapping[str, str] = {}
        if app.device.is_given:
            device, failed = await device_facts(app.device, user_id)
            for name in failed:
                self._incidents.report("device_fact_failed", name)
        installs: bool | None = False
        if is_new and app.install.mode != "off":
            try:
                installs = await app.install.installs(subject.event, user_id, self._now())
            except Exception as exc:  # noqa: BLE001 - the author's code may raise anything
                self._incidents.report("known_users_failed", reason=type(exc).__name__)
                installs = None
        return PersonFacts(decision=decision, device=device, installs=installs)

    def _add(self, assembled: Assembled, plan: Plan) -> None:
        for record in assembled.records:
            if self._is_dry:
                log.info("dry_run: %s %s", record.kind, getattr(record, "event_name", ""))
                plan.left_out.append(LeftOut.DRY_RUN)
                continue
            try:
                plan.appends.append(self._entry(record))
                plan.kinds[record.id] = record.kind
            except (TypeError, ValueError) as exc:
                self._incidents.report("record_not_storable", record.kind, reason=type(exc).__name__)
                plan.left_out.append(LeftOut.NOT_STORABLE)
        plan.appends += assembled.timers
        plan.marks += assembled.marks

    def _entry(self, record: Record) -> Entry:
        return Entry(
            id=record.id,
            queue=record.queue,
            lane=record.lane,
            schema=SCHEMA,
            created_at=self._now(),
            body=encode(record),
        )
