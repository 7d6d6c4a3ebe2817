"""
Who is not told of: opted-out and forgotten people, and those who did not consent.

Opted-out and forgotten people are remembered by a keyed hash of the id under which Kochava was told of them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from ..clock import Clock
from ..incidents import Incidents
from ..kochava.records import SCHEMA, Deletion, Record, encode
from ..messenger.events import Channel
from ..settings import kind_of
from ..store.contract import Store
from ..store.records import Entry, Mark, Queue, Unit
from .apps import App, Apps
from .arguments import ask, person_id
from .consent import Consent, Decision, PrivacySettings, Suppression, decided, keyed_hash
from .state import Keys

TRIES = 3
"""How often a consent callable is asked before its answer counts as not known."""

FIRST_PAUSE_SECONDS = 0.25

REMEMBERED_PEOPLE = 10_000

LOOK_SECONDS = 0.5
"""How long a message waits to learn whether its links may name the person."""

FAILURE_SECONDS = 5.0
"""For how long nobody is named in links after the store could not be read in time."""

_MARKED = {b"opted out": Suppression.OPTED_OUT, b"forgotten": Suppression.FORGOTTEN}


class Privacy:
    """
    Asks the author's consent callable and keeps the list of the barred.

    Args:
        prefix: Put before the keys of all marks.
    """

    def __init__(
        self, settings: PrivacySettings, *, apps: Apps, store: Store, clock: Clock, incidents: Incidents, prefix: str
    ) -> None:
        self._settings = settings
        self._apps = apps
        self._store = store
        self._clock = clock
        self._incidents = incidents
        self._prefix = prefix
        self._app_id = next(iter(apps)).app_id
        self._blind_until = 0.0
        self._remembered: OrderedDict[str, tuple[float, Suppression | None]] = OrderedDict()

    def key_of(self, name: str) -> str:
        """The key of the mark that bars a person, made from their id as it leaves."""
        key = self._settings.tombstone_key
        return "barred:" + keyed_hash(self._app_id if key is None else key.value, name)

    @staticmethod
    def barred(stored: bytes | None) -> Suppression | None:
        """What a stored mark says."""
        return None if stored is None else _MARKED.get(stored, Suppression.OPTED_OUT)

    async def decide(self, user_id: str | None) -> Decision:
        """
        Ask the consent callable, for no longer than `PrivacySettings.consent_timeout_seconds` in all.

        What is not known by then stays so for what is written now: a record is not stored until consent is known, since
        it would have to be kept, and could be sent by a worker that has no such callable.

        Args:
            user_id: ``None`` when only a hash is known: then consent was asked for when the person was still known.
        """
        consent = self._settings.consent
        if consent is None or user_id is None:
            return Decision()
        answer = None
        try:
            async with asyncio.timeout(self._settings.consent_timeout_seconds):
                answer = await self._answer(consent, user_id)
        except TimeoutError:
            self._incidents.report("consent_failed", reason="no answer in time")
        return decided(answer, self._settings)

    async def _answer(self, consent: Callable[[str], Any], user_id: str) -> Any:
        pause = FIRST_PAUSE_SECONDS
        for again in range(TRIES):
            if again:
                await self._clock.sleep(pause)
                pause *= 2
            try:
                answer = await ask(consent, user_id)
                if answer is not None and not isinstance(answer, (bool, Consent)):
                    self._incidents.report("consent_not_understood", reason=f"got {kind_of(answer)}")
                return answer
            except Exception as exc:  # noqa: BLE001 - the author's code may raise anything
                self._incidents.report("consent_failed", reason=type(exc).__name__)
        return None

    async def gate(self, record: Record) -> str | None:
        """Why a record that is about to be sent must not be; see `delivery.courier.Gate`."""
        if isinstance(record, Deletion):
            return None
        key = self.key_of(record.user_id)
        barred = self.barred((await self._store.recall([key])).get(key))
        if barred is None and self._settings.consent is not None and not self._settings.user_id_hash:
            barred = (await self._remembered_consent(record.user_id)).barred
        # What was not known when the record was made did not keep it from being made.
        return None if barred in (None, Suppression.CONSENT_UNKNOWN) else str(barred)

    async def is_barred(self, app: App, user_id: str) -> bool:
        """
        Whether a SmartLink must not name a person; remembered for a while, since it delays a message.

        While that cannot be learnt, nobody is named.
        """
        name = app.privacy.named(user_id)
        now = self._clock.monotonic()
        known = self._remembered.get(name)
        if known is not None and known[0] > now:
            return known[1] is not None
        if now < self._blind_until:
            return True
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                key = self.key_of(name)
                barred = self.barred((await self._store.recall([key])).get(key))
                if barred is None:
                    barred = (await self.decide(user_id)).barred
        except Exception as exc:  # noqa: BLE001 - tracking never harms the bot
            self._incidents.report("link_without_name", reason=type(exc).__name__)
            self._blind_until = now + FAILURE_SECONDS
            return True
        self._remember(name, barred)
        return barred is not None

    async def opt_out(self, user_id: str | int) -> None:
        """Send nothing more of a person, what waits included."""
        await self._bar(person_id(user_id), b"opted out", Suppression.OPTED_OUT)

    async def opt_in(self, user_id: str | int) -> None:
        """Take an opt-out back; a forgotten person is new again."""
        name = self._settings.named(person_id(user_id))
        await self._store.commit(Unit(marks=[Mark(key=self.key_of(name), value=None)]))
        self._remembered.pop(name, None)

    async def forget(self, user_id: str | int) -> int:
        """Bar a person, delete what is kept of them, and ask Kochava to do the same. Returns how many entries went."""
        person = person_id(user_id)
        name = self._settings.named(person)
        tombstone = Mark(key=self.key_of(name), value=b"forgotten")
        # Of several Pages' settings for one app, those that can ask it to delete.
        apps: dict[str, App] = {}
        for app in self._apps:
            if app.app_id not in apps or app.destination.wire.deletion_url is not None:
                apps[app.app_id] = app
        deletes = [
            Mark(key=key, value=None)
            for app_id in apps
            for key in Keys(app_id=app_id, name=name, prefix=self._prefix).all
        ]
        # The tombstone first: should the process die now, nothing of the person is sent any more.
        requests = [self._deletion(app, name) for app in apps.values() if app.destination.wire.deletion_url is not None]
        await self._store.commit(Unit(appends=requests, marks=[tombstone, *deletes]))
        self._remember(name, Suppression.FORGOTTEN)
        lanes = [f"{app_id}/{name}" for app_id in apps] + await self._inbox_lanes(person)
        return await self._store.forget(lanes, reason=str(Suppression.FORGOTTEN), tombstone=tombstone)

    async def _bar(self, user_id: str, value: bytes, barred: Suppression) -> None:
        name = self._settings.named(user_id)
        await self._store.commit(Unit(marks=[Mark(key=self.key_of(name), value=value)]))
        self._remember(name, barred)

    async def _remembered_consent(self, user_id: str) -> Decision:
        now = self._clock.monotonic()
        known = self._remembered.get(user_id)
        if known is not None and known[0] > now:
            return Decision(barred=known[1])
        decision = await self.decide(user_id)
        self._remember(user_id, decision.barred)
        return decision

    def _remember(self, name: str, barred: Suppression | None) -> None:
        self._remembered[name] = (self._clock.monotonic() + self._settings.consent_seconds, barred)
        self._remembered.move_to_end(name)
        while len(self._remembered) > REMEMBERED_PEOPLE:
            self._remembered.popitem(last=False)

    def _deletion(self, app: App, name: str) -> Entry:
        sharing = [each for each in self._apps if each.app_id == app.app_id]
        names = [each.identity.device_ids(channel, name) for each in sharing for channel in Channel]
        device_ids: Mapping[str, Any] = {key: value for ids in names for key, value in ids.items()}
        now = self._clock.now()
        record = Deletion(
            id=uuid.uuid4().hex,
            app_id=app.app_id,
            user_id=name,
            page_id=app.destination.page_id,
            usertime=int(now),
            device_ids=device_ids,
        )
        return Entry(
            id=record.id,
            queue=record.queue,
            # Not in the person's own lane, which is about to be emptied.
            lane=f"{app.app_id}/deletion/{record.id}",
            schema=SCHEMA,
            created_at=now,
            body=encode(record),
        )

    async def _inbox_lanes(self, user_id: str) -> list[str]:
        """
        The lanes of the person's events that are being handled: a lane begins with a Page, which need not be known.
        """
        lanes: set[str] = set()
        after: str | None = None
        while page := await self._store.browse(Queue.INBOX, limit=500, after=after):
            lanes |= {row.entry.lane for row in page if row.entry.lane.endswith(f"/{user_id}")}
            after = page[-1].entry.id
        return sorted(lanes)
