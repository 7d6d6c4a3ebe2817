"""The front door: one middleware that joins tracking, store and delivery."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from .clock import Clock, SystemClock
from .delivery.attempt import Deliverer
from .delivery.worker import Worker
from .exceptions import RegistrationError
from .handling import Handling, current_handling, handling_of
from .kochava.client import KochavaClient, RequestSender
from .messenger.events import Event
from .messenger.outgoing import Outgoing
from .settings import from_mapping
from .store.contract import Store
from .telemetry.counts import Counts
from .telemetry.observer import GuardedObserver, NullObserver, ObservedClient, ObservedStore, Observer
from .telemetry.opentelemetry import Tracing
from .tracking.apps import KochavaSettings, Mode, WorkerPlace
from .tracking.assembly import assembled
from .tracking.authoring import Authoring
from .tracking.link_provider import LinkProvider
from .tracking.recording import Recording

log = logging.getLogger(__name__)

CallNext = Callable[[Any], Awaitable[Any]]


class KochavaMiddleware(Authoring):
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
        link_provider: Gives SmartLinks from a catalogue of yours; see `LinkProvider`.
        observer: Told of handlings, requests and commits, such as `Metrics`; must be quick. What it raises is logged
            and harms nothing. Without one, spans are made if OpenTelemetry is installed.
    """

    def __init__(
        self,
        settings: KochavaSettings,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        link_provider: LinkProvider | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.settings = settings
        self._clock = clock or SystemClock()
        watching = observer or Tracing.if_installed()
        self._observer = NullObserver() if watching is None else GuardedObserver(watching, self._clock)
        kept_in = store or settings.kept_in.make(self._clock)
        self._store: Store = kept_in if observer is None else ObservedStore(kept_in, self._observer, self._clock)
        self._parts = assembled(
            settings,
            store=self._store,
            clock=self._clock,
            link_provider=link_provider,
            on_committed=self._wake,
        )
        self._apps = self._parts.apps
        self._recorder = self._parts.recorder
        self._incidents = self._parts.incidents
        self._tally = self._parts.tally
        self._client: KochavaClient | None = None
        self._worker: Worker | None = None
        self._working: asyncio.Task[None] | None = None
        self._started = False
        self._host: object | None = None

    @classmethod
    def from_dict(
        cls,
        mapping: Mapping[str, Any],
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        link_provider: LinkProvider | None = None,
        observer: Observer | None = None,
    ) -> Self:
        """
        Make it from a settings mapping; see `KochavaSettings` for the keys.

        Raises:
            SettingsError: With everything that is wrong.
        """
        settings = from_mapping(KochavaSettings, mapping)
        return cls(settings, store=store, clock=clock, link_provider=link_provider, observer=observer)

    @property
    def counts(self) -> Counts:
        """What was recorded, rewritten and left out since this was made."""
        return self._tally.counts(at_risk=self._recorder.at_risk)

    def added_to(self, host: object) -> None:
        """
        Told by the bot that it is added to.

        Raises:
            RegistrationError: It serves another bot already, whose end would close the store under this one.
        """
        if self._host is not None and self._host is not host:
            msg = "one KochavaMiddleware serves one bot: make another one of the same settings for this bot"
            raise RegistrationError(msg)
        self._host = host

    def provide_store(self) -> Store:
        """The store, for the host to keep its inbox in: then "handled" and "recorded" are one commit."""
        return self._store

    async def start(self) -> None:
        """
        Open the store and, unless the worker is separate, begin to deliver what waits. Idempotent.

        Raises:
            StoreUnavailable: The message says what was tried and how to mend it.
        """
        if self._started:
            return
        await self._store.open()
        self._started = True
        log.info("kochava_started: records are kept in %s", self.settings.kept_in)
        if self.settings.mode is Mode.OFF:
            return
        self._parts.timers.start()
        if self.settings.worker is WorkerPlace.SEPARATE or self.settings.mode is not Mode.LIVE:
            return
        timeout = self.settings.delivery.request_timeout_seconds
        self._client = ObservedClient(self._observer, timeout_seconds=timeout)
        self._worker = self.make_worker(self._client)
        self._working = asyncio.create_task(self._worker.run())

    async def stop(self) -> None:
        """Finish the requests under way and close the store. What still waits is delivered after the next start."""
        self._started = False
        await self._parts.timers.stop()
        if self._parts.catalogue is not None:
            await self._parts.catalogue.close()
        await self._recorder.drain(self.settings.drain_seconds)
        if self._worker is not None and self._working is not None:
            await self._worker.stop(self.settings.drain_seconds)
            await self._working
        if self._client is not None:
            await self._client.close()
        self._worker = self._working = self._client = None
        await self._store.close()

    def make_worker(self, sender: RequestSender) -> Worker:
        """
        The worker that delivers this middleware's records; ``kochava-bot worker`` runs one alone.

        Args:
            sender: What each request goes through, such as a `KochavaClient`. It stays open when the worker stops.
        """
        deliverer = Deliverer(
            sender,
            self._apps.destinations,
            self.settings.delivery,
            clock=self._clock,
            gate=self._parts.privacy.gate,
        )
        return Worker(self._store, deliverer)

    async def receive(self, event: Event, call_next: CallNext) -> Any:
        """Record what *event* and its handler tell. The handler's result and errors pass through untouched."""
        if self.settings.mode is Mode.OFF:
            return await call_next(event)
        self._parts.departures.saw(event)
        handling = current_handling()
        if handling is None:
            # A host without an inbox of ours.
            handling = Handling(event=event, store=self._store)
            with handling_of(handling):
                return await self._received(handling, call_next, sets_handled=True)
        return await self._received(handling, call_next, sets_handled=False)

    async def send(self, outgoing: Outgoing, call_next: CallNext) -> Any:
        """
        Rewrite the links of *outgoing*, send it, and watch whether it is a greeting.

        With settings by Page, every send must be known to be of a Page. Without its id (`BotSettings.page_access_token`
        names none), replies have that of their event, and other sends that of the one Page whose webhooks this process
        has seen; before the first of them, the settings at the top apply. A process that only sends should name its
        Page under `BotSettings.pages`.
        """
        if self.settings.mode is Mode.OFF:
            return await call_next(outgoing)
        handling = current_handling()
        outgoing = self._parts.departures.of_page(outgoing)
        sent = await self._parts.departures.rewritten(outgoing)
        began_at = self._clock.now()
        answer = await call_next(sent)
        await self._parts.departures.watch(outgoing, answer, began_at, handling)
        return answer

    async def opt_out(self, user_id: str | int) -> None:
        """
        Send nothing more of a person, what waits included. SmartLinks to them carry no id.

        Raises:
            TrackingError: `user_id` is no id.
            StoreError: It could not be written down.
        """
        await self._parts.privacy.opt_out(user_id)

    async def opt_in(self, user_id: str | int) -> None:
        """
        Take back `opt_out` or `forget`: from now on the person is told of again.

        Raises:
            TrackingError: `user_id` is no id.
            StoreError: It could not be written down.
        """
        await self._parts.privacy.opt_in(user_id)

    async def forget(self, user_id: str | int) -> int:
        """
        Delete all that is kept of a person, send nothing more of them, and ask Kochava's privacy API to delete what it
        has (when `WireSettings.deletion_url` is set). Only a keyed hash remains, until `opt_in`.

        Returns:
            How many records and events that waited were dropped.

        Raises:
            TrackingError: `user_id` is no id.
            StoreError: It could not be written down.
        """
        return await self._parts.privacy.forget(user_id)

    async def _received(self, handling: Handling, call_next: CallNext, *, sets_handled: bool) -> Any:
        recording = self._join(handling)
        by_hand = handling.store is not self._store or sets_handled
        try:
            with self._observer.handling(handling.event):
                result = await call_next(handling.event)
            if sets_handled:
                handling.handled = True
            return result
        finally:
            if by_hand and recording is not None:
                recording.is_open = False
                await self._recorder.commit(recording)

    def _join(self, handling: Handling) -> Recording | None:
        try:
            recording = self._recorder.of(handling)
        except Exception as exc:  # noqa: BLE001 - tracking never harms the bot
            self._incidents.report("event_not_recorded", reason=type(exc).__name__)
            return None
        if handling.store is self._store:
            handling.contributors[self] = recording
        return recording

    def _wake(self, appended: int) -> None:
        if appended and self._worker is not None:
            self._worker.wake()
