"""
Whose records are not sent: opted-out and forgotten people, and those who did not consent.

Opted-out and forgotten people are remembered by a keyed hash of the id under which Kochava knows them. Whether that is
the person's own id or a hash may change with the settings, so both are looked up, and both are written.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ..arguments import name_of_device_id
from ..hooks import HookFailed, call_hook
from ..kochava.records import Deletion, Record
from ..messenger.events import Event
from ..settings import kind_of
from ..store.records import CommitVerdict, Entry, Queue, Unit
from .consent import Consent, HookAnswers, Suppression
from .people import Person, device_facts
from .settings import DRY_PREFIX, App, TrackingContext
from .state import Keys, KnownState, StateKey, change, record_entry, suppression_of, values_of, write

TRIES = 3
"""How often a consent callable is called before its answer counts as not known."""

FIRST_PAUSE_SECONDS = 0.25

REMEMBERED_PEOPLE = 10_000

LOOK_SECONDS = 0.5
"""How long a message waits for the answer whether its links may name the person."""

FAILURE_SECONDS = 5.0
"""For how long no link names a person after the store could not be read in time."""


class Privacy:
    """
    Calls what the settings ask about people, and keeps the list of the suppressed.

    Attributes:
        on_opted_in: Called after a person opted in, who may have been forgotten before.
    """

    def __init__(self, context: TrackingContext) -> None:
        self.on_opted_in: Callable[[], None] = lambda: None
        self._context = context
        self._settings = context.settings.privacy
        self._store = context.store
        self._clock = context.clock
        self._unreadable_until = 0.0
        self._remembered: OrderedDict[str, tuple[float, Suppression | None]] = OrderedDict()

    async def decide(self, user_id: str | None) -> Suppression | Consent | None:
        """
        Why nothing may be sent of a person, or the consent to send along, as the consent callable answers.

        What it does not answer in time is not known for what is written now: a record is not stored until consent is
        known, since it would have to be kept, and could be sent by a worker that has no such callable.

        Args:
            user_id: ``None`` when only a hash is known: then the callable was called when the id was still known.
        """
        consent = self._settings.consent
        if consent is None or user_id is None:
            return None
        answer = None
        try:
            async with asyncio.timeout(self._settings.consent_timeout_seconds):
                answer = await self._answer(consent, user_id)
        except TimeoutError:
            self._context.incidents.report("consent_failed", reason="no answer in time")
        if answer is True or isinstance(answer, Consent):
            return None if answer is True else answer
        if answer is False:
            return Suppression.CONSENT_REFUSED
        # An answer of any other form counts as not known, too.
        return None if self._settings.consent_unknown == "send" else Suppression.CONSENT_UNKNOWN

    async def ask(self, app: App, person: Person, event: Event | None, *, is_known: bool) -> HookAnswers:
        """
        Call the callables of the settings, as far as there are any.

        Args:
            event: The event being handled, if it is theirs.
            is_known: There is a record of them already.
        """
        user_id = None if person.is_hashed else person.user_id
        decision = await self.decide(user_id)
        if isinstance(decision, Suppression):
            return HookAnswers(suppression=decision)
        device: Mapping[str, str] = {}
        if app.device.is_given:
            device, failed = await device_facts(app.device, user_id)
            for name in failed:
                self._context.incidents.report("device_fact_failed", name)
        installs: bool | None = False
        # Of a reference, only the person behind it can be an install; who is known otherwise need not use the bot.
        is_in_bot = not (person.is_by_reference or person.is_by_device_id)
        if app.install.mode != "off" and not is_known and is_in_bot:
            try:
                installs = await app.install.installs(event, user_id, self._clock.now())
            except HookFailed as exc:
                self._context.incidents.report("known_users_failed", reason=str(exc))
                installs = None
        consent = {} if decision is None else {"gdpr_privacy_consent": decision.as_body()}
        return HookAnswers(device=device, extra={**device, **consent}, installs=installs)

    async def _answer(self, consent: Callable[[str], Any], user_id: str) -> Any:
        pause = FIRST_PAUSE_SECONDS
        for again in range(TRIES):
            if again:
                await self._clock.sleep(pause)
                pause *= 2
            try:
                answer = await call_hook(consent, user_id)
                if answer is not None and not isinstance(answer, (bool, Consent)):
                    self._context.incidents.report("consent_not_understood", reason=f"got {kind_of(answer)}")
                return answer
            except HookFailed as exc:
                self._context.incidents.report("consent_failed", reason=str(exc))
        return None

    async def gate(self, record: Record) -> str | None:
        """Why a record that is about to be sent must not be; ``None`` when it may."""
        if isinstance(record, Deletion):
            return None
        # Of a hash, the other name is not known; that it is hashed once more does no harm.
        names = [*self._settings.names(record.user_id)]
        for key, value in getattr(record, "device_ids", {}).items():
            if value != record.user_id:
                names += self._settings.names(name_of_device_id(key, value))
        suppression = await self._stored(names)
        if suppression is None and self._settings.consent is not None and not self._settings.user_id_hash:
            suppression = await self._remembered_consent(record.user_id)
        # What was not known when the record was made did not keep it from being made.
        return None if suppression in (None, Suppression.CONSENT_UNKNOWN) else str(suppression)

    async def is_suppressed(self, app: App, user_id: str) -> bool:
        """
        Whether a SmartLink must not name a person; remembered for a while, since it delays a message.

        While that cannot be read, no link names a person.
        """
        known = self.known_suppression(app, user_id)
        if known is not None:
            return known
        names = app.privacy.names(user_id)
        name = names[0]
        now = self._clock.monotonic()
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                suppression = await self._stored(names)
                if suppression is None:
                    suppression = _suppression(await self.decide(user_id))
        except Exception as exc:  # noqa: BLE001 - tracking never harms the bot
            self._context.incidents.report("link_without_name", reason=type(exc).__name__)
            self._unreadable_until = now + FAILURE_SECONDS
            return True
        self._remember(name, suppression)
        return suppression is not None

    def known_suppression(self, app: App, user_id: str) -> bool | None:
        """As `is_suppressed`, without a look into the store; ``None`` when it would need one."""
        now = self._clock.monotonic()
        known = self._remembered.get(app.privacy.names(user_id)[0])
        if known is not None and known[0] > now:
            return known[1] is not None
        return True if now < self._unreadable_until else None

    async def opt_out(self, user_id: str) -> None:
        """Send nothing more of a person, what waits included."""
        names = await self._names(user_id)
        await self._store.commit(
            Unit(marks=[write(self._context.suppression_key(name), b"opted out") for name in names])
        )
        for name in names:
            self._remember(name, Suppression.OPTED_OUT)

    async def opt_in(self, user_id: str) -> None:
        """Take an opt-out back; a forgotten person is new again."""
        names = await self._names(user_id)
        await self._store.commit(Unit(marks=[write(self._context.suppression_key(name), None) for name in names]))
        for name in names:
            self._remembered.pop(name, None)
        self.on_opted_in()

    async def forget(self, user_id: str) -> int:
        """
        Suppress a person, delete what is kept of them, and ask Kochava to delete it too. Returns how many entries were
        dropped.
        """
        # Of several Pages' settings for one app, those that can ask it to delete.
        apps: dict[str, App] = {}
        for app in self._context.apps:
            if app.app_id not in apps or app.destination.wire.deletion_url is not None:
                apps[app.app_id] = app
        names = await self._forget_state(apps, user_id)
        lanes = await self._inbox_lanes({user_id, *names})
        dropped = 0
        for each in names:
            self._remember(each, Suppression.FORGOTTEN)
            lanes += [f"{app_id}/{each}" for app_id in apps]
            tombstone = write(self._context.suppression_key(each), b"forgotten")
            dropped += await self._store.forget(lanes, reason=str(Suppression.FORGOTTEN), tombstone=tombstone)
            lanes = []
        return dropped

    async def _forget_state(self, apps: Mapping[str, App], user_id: str) -> tuple[str, ...]:
        """
        Write that a person is forgotten, delete their state entries, and ask for the deletion of what was sent of them:
        in one commit, so that nothing of them is sent if the process dies afterwards. Returns all of their names.
        """
        while True:
            names = await self._names(user_id)
            keys = [each for one in names for each in self._keys(one)]
            stored = await self._known(keys)
            marks = [write(self._context.suppression_key(each), b"forgotten") for each in names]
            for each in keys:
                marks += [write(key, None) for key in each.all if key != each.known]
                # What another process sends meanwhile must be in the request.
                marks.append(change(each.known, None, stored))
            requests = []
            for app_id, app in apps.items():
                # What a dry run wrote down was never sent.
                sent = [each.known for each in keys if each.app_id == app_id and not each.prefix]
                states = [KnownState.from_bytes(stored.get(key)) for key in sent]
                if app.destination.wire.deletion_url is not None and any(state.ids for state in states):
                    requests.append(self._deletion(app, names[0], states))
            committed = await self._store.commit(Unit(appends=requests, marks=marks))
            if committed.verdict is CommitVerdict.COMMITTED:
                return names

    async def _names(self, user_id: str) -> tuple[str, ...]:
        """
        The names of a person, that of today first, of the references that turned out to be them, and of further ids
        that were sent of them, under which there may be records without their own.
        """
        names = [*self._settings.names(user_id)]
        keys = [each for name in names for each in self._keys(name)]
        stored = await self._known(keys)
        for each in keys:
            known = KnownState.from_bytes(stored.get(each.known))
            for user_ref in known.user_refs:
                # Beside a hash of the person stand hashes of the references.
                names += self._settings.names(user_ref) if each.name == user_id else [user_ref]
            further = [(key, value) for key, values in known.ids.items() for value in values if value not in names]
            names += [name for one in further for name in self._settings.names(name_of_device_id(*one))]
        return tuple(dict.fromkeys(names))

    async def _stored(self, names: Sequence[str]) -> Suppression | None:
        keys = [self._context.suppression_key(name) for name in names]
        stored = await self._store.recall(keys)
        return suppression_of(next((stored[key] for _, key in keys if key in stored), None))

    async def _remembered_consent(self, user_id: str) -> Suppression | None:
        now = self._clock.monotonic()
        known = self._remembered.get(user_id)
        if known is not None and known[0] > now:
            return known[1]
        suppression = _suppression(await self.decide(user_id))
        self._remember(user_id, suppression)
        return suppression

    def _remember(self, name: str, suppression: Suppression | None) -> None:
        self._remembered[name] = (self._clock.monotonic() + self._settings.consent_seconds, suppression)
        self._remembered.move_to_end(name)
        while len(self._remembered) > REMEMBERED_PEOPLE:
            self._remembered.popitem(last=False)

    def _keys(self, name: str) -> list[Keys]:
        """The keys of a person's state entries in every app, those of a dry run, too."""
        app_ids = dict.fromkeys(app.app_id for app in self._context.apps)
        return [Keys(app_id, name, prefix) for app_id in app_ids for prefix in ("", DRY_PREFIX)]

    async def _known(self, keys: Sequence[Keys]) -> Mapping[StateKey, bytes]:
        known = [each.known for each in keys]
        return values_of(known, await self._store.recall(known))

    def _deletion(self, app: App, name: str, states: Sequence[KnownState]) -> Entry:
        """The request that names what *states* says was sent."""
        values: dict[str, list[str]] = {}
        for state in states:
            for key, sent in state.ids.items():
                values[key] = [*values.get(key, ()), *(value for value in sent if value not in values.get(key, ()))]
        now = self._clock.now()
        record = Deletion(
            id=uuid.uuid4().hex,
            app_id=app.app_id,
            user_id=name,
            page_id=app.destination.page_id,
            usertime=int(now),
            device_ids={key: sent[-1] for key, sent in values.items()},
            former_ids={key: sent[:-1] for key, sent in values.items() if sent[:-1]},
        )
        # Not in the person's own lane, which is about to be emptied.
        label = self._context.counting.label(record, None)
        return record_entry(record, now, label=label, lane=f"{app.app_id}/deletion/{record.id}")

    async def _inbox_lanes(self, user_ids: Collection[str]) -> list[str]:
        """
        The lanes of the person's events that are being handled: a lane begins with a Page, which need not be known.
        """
        lanes: set[str] = set()
        after: str | None = None
        while page := await self._store.browse(Queue.INBOX, limit=500, after=after):
            lanes |= {row.entry.lane for row in page if row.entry.lane.partition("/")[2] in user_ids}
            after = page[-1].entry.id
        return sorted(lanes)


def _suppression(decision: Suppression | Consent | None) -> Suppression | None:
    return decision if isinstance(decision, Suppression) else None
