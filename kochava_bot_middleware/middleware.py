"""
The front door: one middleware that joins tracking, store and delivery.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from typing import Any, Self, TypeVar

import attrs

from .apps import App, Apps, KochavaSettings, Mode, WorkerPlace
from .clock import Clock, SystemClock
from .delivery.incidents import Incidents
from .delivery.worker import Worker
from .exceptions import RegistrationError, TrackingError
from .handling import Handling, current_handling, detached, handling_of
from .kochava.client import KochavaClient
from .kochava.records import Record
from .messenger.events import Channel, Event
from .messenger.outgoing import Outgoing
from .outbound import greeting_run, greeting_sent, is_greeting, rewritten
from .recording import Recording
from .settings import from_mapping
from .settling import Settler
from .store.address import open_store
from .store.contract import Store
from .tracking.engagement import Draft
from .tracking.identity import Person
from .tracking.rewriting import context_of, rewrite
from .wrapping import wrapped

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
CallNext = Callable[[Any], Coroutine[Any, Any, Any]]


class KochavaMiddleware:
    """
    Makes a bot measurable in Kochava.

    Example::

        kochava = KochavaMiddleware.from_dict({"kochava_app_id": "kobotdemo1234"})
        bot.add_middleware(kochava)


        @bot.on_postback("BUY")
        @kochava.event("Purchase", data={"currency": "USD", "sum": 100})
        async def buy(event, reply):
            await reply.text("Thank you!")

    Args:
        store: In place of the one that `KochavaSettings.store` names.
        clock: For tests.
    """

    def __init__(self, settings: KochavaSettings, *, store: Store | None = None, clock: Clock | None = None) -> None:
        self.settings = settings
        self._clock = clock or SystemClock()
        self._apps = Apps(settings)
        self._store = store or open_store(settings.store, clock=self._clock)
        self._settler = Settler(self._store, self._clock)
        self._incidents = Incidents(self._clock)
        self._test_users = frozenset(settings.test_users)
        self._client: KochavaClient | None = None
        self._worker: Worker | None = None
        self._working: asyncio.Task[None] | None = None
        self._commits: set[asyncio.Task[Any]] = set()

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], *, store: Store | None = None, clock: Clock | None = None) -> Self:
        """
        Make it from a settings mapping; see `KochavaSettings` for the keys.

        Raises:
            SettingsError: With everything that is wrong.
        """
        return cls(from_mapping(KochavaSettings, mapping), store=store, clock=clock)

    # Life

    def provide_store(self) -> Store:
        """
        The store, for the host to keep its inbox in: then "handled" and "recorded" are one commit.
        """
        return self._store

    async def start(self) -> None:
        """
        Open the store and, unless the worker is separate, begin to deliver what waits. Idempotent.

        Raises:
            StoreUnavailable: The message says what was tried and how to mend it.
        """
        if self._working is not None:
            return
        await self._store.open()
        log.info("kochava_started: records are kept in %s", self.settings.store)
        if self.settings.worker is WorkerPlace.SEPARATE or self.settings.mode is not Mode.LIVE:
            return
        self._client = KochavaClient(timeout_seconds=self.settings.delivery.request_timeout_seconds)
        self._worker = self.make_worker(self._client)
        self._working = asyncio.create_task(self._worker.run())

    async def stop(self) -> None:
        """
        Finish the requests under way and close the store. What still waits is delivered after the next start.
        """
        if self._commits:
            await asyncio.wait(self._commits, timeout=self.settings.drain_seconds)
        if self._worker is not None and self._working is not None:
            await self._worker.stop(self.settings.drain_seconds)
            await self._working
        if self._client is not None:
            await self._client.close()
        self._worker = self._working = self._client = None
        await self._store.close()

    def make_worker(self, client: KochavaClient) -> Worker:
        """
        The worker that delivers this middleware's records; ``kochava-bot worker`` runs one alone.
        """
        return Worker(
            store=self._store,
            sender=client,
            destinations=self._apps.destinations,
            settings=self.settings.delivery,
            clock=self._clock,
            rng=random.Random(),  # noqa: S311 - jitter
        )

    # The two directions

    async def receive(self, event: Event, call_next: CallNext) -> Any:
        """
        Record what *event* and its handler tell. The handler's result and errors pass through untouched.
        """
        if self.settings.mode is Mode.OFF:
            return await call_next(event)
        handling = current_handling()
        if handling is not None and handling.store is self._store:
            self._join(handling)
            return await call_next(event)
        # A host without an inbox of ours: the unit is committed here when handling ends.
        handling = Handling(event=event, store=self._store)
        recording = self._join(handling)
        try:
            with handling_of(handling):
                result = await call_next(event)
                handling.handled = True
                return result
        finally:
            await self._commit(recording)

    async def send(self, outgoing: Outgoing, call_next: CallNext) -> Any:
        """
        Rewrite the links of *outgoing*, send it, and watch whether it is a greeting.
        """
        if self.settings.mode is Mode.OFF:
            return await call_next(outgoing)
        handling = current_handling()
        app = self._apps.of(outgoing.page_id)
        sent = self._rewritten(outgoing, app, handling) if app.links.is_active else outgoing
        began_at = self._clock.now()
        answer = await call_next(sent)
        if app.greeting.is_on and is_greeting(outgoing):
            try:
                await self._watch(outgoing, answer, began_at, handling)
            except Exception as exc:  # noqa: BLE001
                self._incidents.report("greeting_not_watched", reason=type(exc).__name__)
        return answer

    # What authors call

    def event(
        self,
        name: str,
        data: Mapping[str, Any] | Callable[[Any, Any], Any] | None = None,
        *,
        when: str = "success",
    ) -> Callable[[F], F]:
        """
        Record a named event when the decorated function ends. It wraps handlers, and any other function, async or not,
        that is called while an event is handled.

        Args:
            name: As Kochava shall show it; its standard names are in `StandardEvent`.
            data: The event's data, or a callable of (event, result) that gives it.
            when: ``success``: only when the function did not raise; ``always``: in any case, with result ``None``.

        Raises:
            RegistrationError: The function is registered as a handler already, so wrapping it has no effect.
        """
        if when not in ("success", "always"):
            msg = f"`when` is 'success' or 'always', got {when!r}"
            raise RegistrationError(msg)

        def record(result: Any) -> None:
            self._record_named(name, data, result)

        def decorate(function: F) -> F:
            return wrapped(function, f'@kochava.event("{name}")', after=record, also_after_errors=when == "always")

        return decorate

    def greeting(self, function: F) -> F:
        """
        Mark a handler as one that greets: all it sends is one impression once shown, and its first answer a click.

        Raises:
            RegistrationError: See `event`.
        """
        return wrapped(function, "@kochava.greeting", around=greeting_run)

    def ignore(self, function: F) -> F:
        """
        Keep a handler's automatic event out of Kochava.

        Raises:
            RegistrationError: See `event`.
        """

        def leave_out(_result: Any) -> None:
            recording = self._recording()
            if recording is not None:
                recording.ignored = True

        return wrapped(function, "@kochava.ignore", after=leave_out, also_after_errors=True)

    async def track(
        self,
        name: str,
        data: Any = None,
        *,
        user_id: str | None = None,
        id: str | None = None,  # noqa: A002
        page_id: str | None = None,
        channel: Channel = Channel.MESSENGER,
    ) -> None:
        """
        Record a named event.

        While an event is handled, it becomes part of that handling's commit. Elsewhere this call is itself the commit,
        and returns once the event is durable, at the latest after `KochavaSettings.commit_timeout_seconds`.

        Args:
            name: As Kochava shall show it.
            data: An object or one value.
            user_id: Whom it is about; while an event is handled, that event's person by default.
            id: Your own id of what happened, such as an order number; the same one again is a no-op.
            page_id: The Page, outside of handling and only if Pages have apps of their own.
            channel: Where the person is, if not in the event being handled.

        Raises:
            TrackingError: Nobody is named and no event is being handled; or, in strict mode, Kochava would refuse it.
        """
        if self.settings.mode is Mode.OFF:
            return
        recording = self._recording()
        if recording is not None and recording.handling is not None:
            event = recording.handling.event
            own = user_id is None or user_id == event.user_id
            person = Person(
                user_id=user_id or event.user_id or "",
                page_id=page_id or event.page_id,
                channel=event.channel if own else channel,
            )
        elif user_id is None:
            msg = f"event {name!r}: no event is being handled, so `user_id` must say whom it is about"
            raise TrackingError(msg)
        else:
            person = Person(user_id=user_id, page_id=page_id, channel=channel)
        if recording is not None:
            recording.track(person, Draft(name=name, data=data), track_id=id)
            return
        alone = self._new_recording(None)
        alone.track(person, Draft(name=name, data=data), track_id=id)
        await self._commit(alone)

    def rewrite(
        self, body: Any, *, user_id: str | None = None, page_id: str | None = None, creative: str | None = None
    ) -> Any:
        """
        The body as it would leave, for senders that do not pass this middleware. Pure; never writes into *body*.

        Args:
            body: A Send API body; its recipient is used unless *user_id* is given.
        """
        app = self._apps.of(page_id)
        outgoing = Outgoing(body=body, page_id=page_id, creative=creative)
        context = context_of(outgoing)
        if user_id is not None:
            context = attrs.evolve(context, user_id=user_id)
        return rewrite(body, app.links, context).body

    def entry_link(
        self, target_url: str, *, ref: str | None = None, creative: str | None = None, page_id: str | None = None
    ) -> str:
        """
        The SmartLink for an ad, QR code or e-mail that leads into the bot; see `SmartLinks.entry_link`.
        """
        return self._apps.of(page_id).links.entry_link(target_url, ref=ref, creative=creative)

    def detached(self) -> AbstractContextManager[None]:
        """
        Start long-lived tasks within this, so that they do not belong to the event being handled.
        """
        return detached()

    # Inside

    def _join(self, handling: Handling) -> Recording:
        recording = self._new_recording(handling)
        handling.contributors[self] = recording
        recording.observe(handling.event)
        return recording

    def _new_recording(self, handling: Handling | None) -> Recording:
        return Recording(
            apps=self._apps,
            recall=self._store.recall,
            now=self._clock.now,
            new_id=lambda: uuid.uuid4().hex,
            incidents=self._incidents,
            handling=handling,
            admit=self._admits,
            on_committed=self._wake,
        )

    def _recording(self) -> Recording | None:
        handling = current_handling()
        recording = None if handling is None else handling.contributors.get(self)
        return recording if isinstance(recording, Recording) else None

    def _admits(self, record: Record) -> bool:
        if self.settings.mode is Mode.DRY_RUN:
            log.info("dry_run: %s %s", record.kind, getattr(record, "event_name", ""))
            return False
        return record.user_id not in self._test_users

    def _wake(self, appended: int) -> None:
        if appended and self._worker is not None:
            self._worker.wake()

    async def _commit(self, recording: Recording) -> None:
        """
        Make a recording durable, waiting no longer than allowed; it goes on in the background if need be.
        """
        task = asyncio.create_task(self._settler.settle([recording]))
        self._commits.add(task)
        task.add_done_callback(self._committed)
        await asyncio.wait({task}, timeout=self.settings.commit_timeout_seconds)

    def _committed(self, task: asyncio.Task[Any]) -> None:
        self._commits.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._incidents.report("tracking_failed", reason=type(task.exception()).__name__)

    def _rewritten(self, outgoing: Outgoing, app: App, handling: Handling | None) -> Outgoing:
        try:
            result = rewritten(outgoing, app, handling)
        except Exception as exc:  # noqa: BLE001
            self._incidents.report("links_not_rewritten", reason=type(exc).__name__)
            return outgoing
        return attrs.evolve(outgoing, body=result.body) if result.changed else outgoing

    async def _watch(self, outgoing: Outgoing, answer: Any, began_at: float, handling: Handling | None) -> None:
        signal = greeting_sent(outgoing, answer, began_at, self._apps.of(outgoing.page_id), handling)
        if signal is None:
            return
        recording = self._recording()
        if recording is not None:
            recording.signal(*signal)
            return
        alone = self._new_recording(None)
        alone.signal(*signal)
        await self._commit(alone)

    def _record_named(self, name: str, data: Any, result: Any) -> None:
        recording = self._recording()
        handling = None if recording is None else recording.handling
        if recording is None or handling is None or handling.event.user_id is None:
            self._incidents.report("event_without_person", name, reason="called while no event is handled")
            return
        event = handling.event
        strict = self._apps.of(event.page_id).events.strict
        try:
            value = data(event, result) if callable(data) else data
        except Exception as exc:
            if strict:
                raise
            self._incidents.report("event_data_failed", name, reason=type(exc).__name__)
            value = None
        person = Person(user_id=event.user_id or "", page_id=event.page_id, channel=event.channel)
        recording.track(person, Draft(name=name, data=value))
