"""`KochavaMiddleware`: what a bot adds to be measurable in Kochava, and what its author calls."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Self

from .chain import Next, awaitable, checked
from .clock import Clock, SystemClock
from .delivery.attempt import Deliverer
from .delivery.worker import BackgroundWorker, Worker
from .exceptions import RegistrationError
from .handling import Handling, current_handling, detached, handling_of
from .kochava.client import KochavaClient, RequestSender
from .kochava.event_builders import StandardEventData
from .messenger.events import Channel, Event
from .messenger.outgoing import Outgoing
from .settings import from_mapping
from .store.contract import Store
from .telemetry.counts import Counts
from .telemetry.observer import GuardedObserver, ObservedClient, ObservedStore, Observer, observed
from .telemetry.opentelemetry import Tracing
from .tracking.decorators import HandlerDecorators, name_and_data
from .tracking.link_provider import LinkProvider
from .tracking.privacy import Privacy
from .tracking.recorder import Recorder
from .tracking.recording import checked_id, optional_id
from .tracking.sends import SendTracker
from .tracking.settings import KochavaSettings, Mode, TrackingContext, WorkerPlace
from .tracking.timers import GreetingTimers

log = logging.getLogger(__name__)


class KochavaMiddleware(HandlerDecorators):
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
        observer: Called at handlings, requests and commits, such as `Metrics`; must be quick. What it raises is logged
            and harms nothing. Without one, `start` begins to make OpenTelemetry spans if the application has set a
            tracer provider by then.
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
        self.settings = checked(settings, KochavaSettings, "KochavaMiddleware.from_dict takes a mapping")
        self._clock = clock or SystemClock()
        self._observer: Observer | None = None
        self._store: Store = store or settings.kept_in.make(self._clock)
        if observer is not None:
            self._observer = GuardedObserver(observer, self._clock)
            self._store = ObservedStore(self._store, self._observer, self._clock)
        self._context = TrackingContext(settings, store=self._store, clock=self._clock, link_provider=link_provider)
        self._privacy = Privacy(self._context)
        super().__init__(Recorder(self._context, self._privacy))
        self._sends = SendTracker(self._context, self._privacy, self._recorder)
        self._timers = GreetingTimers(self._context, self._recorder)
        self._worker: BackgroundWorker | None = None
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
        return self._context.counts.snapshot(at_risk=self._recorder.at_risk)

    def added_to(self, host: object) -> None:
        """
        Called by the bot that this is added to.

        Raises:
            RegistrationError: It serves another bot already; when that one stops, it would close the store of both.
        """
        if self._host is not None and self._host is not host:
            msg = "one KochavaMiddleware serves one bot: make another one of the same settings for this bot"
            raise RegistrationError(msg)
        self._host = host

    def provide_store(self) -> Store:
        """The store, for the host's inbox: then "handled" and "recorded" are one commit."""
        return self._store

    async def start(self) -> None:
        """
        Open the store and, unless the worker is separate, begin to deliver what waits. Idempotent.

        Raises:
            StoreUnavailable: The message says what was tried and how to fix it.
        """
        if self._started:
            return
        await self._store.open()
        self._started = True
        log.info("kochava_started: records are kept in %s", self.settings.kept_in)
        if self.settings.mode is Mode.OFF:
            return
        if self._observer is None and (tracing := Tracing.if_set_up()) is not None:
            self._observer = GuardedObserver(tracing, self._clock)
        self._timers.start()
        if self.settings.worker is WorkerPlace.INSIDE and self.settings.mode is Mode.LIVE:
            timeout_seconds = self.settings.delivery.request_timeout_seconds
            client = (
                KochavaClient(timeout_seconds=timeout_seconds)
                if self._observer is None
                else ObservedClient(self._observer, timeout_seconds=timeout_seconds)
            )
            self._worker = BackgroundWorker(self.make_worker(client), client)
            self._recorder.wake_worker = self._worker.wake

    async def stop(self) -> None:
        """Finish the requests under way and close the store. What still waits is delivered after the next start."""
        self._started = False
        await self._timers.stop()
        await self._context.apps.close()
        await self._recorder.drain(self.settings.drain_seconds)
        if self._worker is not None:
            await self._worker.stop(self.settings.drain_seconds)
            self._worker = self._recorder.wake_worker = None
        await self._store.close()

    def make_worker(self, sender: RequestSender) -> Worker:
        """
        The worker that delivers this middleware's records; ``kochava-bot worker`` runs one alone.

        Args:
            sender: What each request goes through, such as a `KochavaClient`. It stays open when the worker stops.
        """
        deliverer = Deliverer(
            sender,
            self._context.apps.destinations,
            self.settings.delivery,
            clock=self._clock,
            gate=self._privacy.gate,
        )
        return Worker(self._store, deliverer)

    async def receive(self, event: Event, call_next: Next[Any, Any]) -> Any:
        """Record *event* and what its handler adds. The handler's result and errors pass through untouched."""
        if self.settings.mode is Mode.OFF:
            return await awaitable(call_next(event))
        checked(event, Event, "parse_webhook(raw_body) returns the events of a webhook")
        if self._observer is not None:
            call_next = observed(call_next, self._observer)
        handling = current_handling()
        if handling is None:
            # The host has no inbox of this package.
            with handling_of(Handling(event=event, store=self._store)) as handling:
                return await self._handle(handling, call_next, sets_handled=True)
        if handling.store is not self._store:
            return await self._handle(handling, call_next, sets_handled=False)
        self._recorder.join(handling)
        return await awaitable(call_next(handling.event))

    async def send(self, outgoing: Outgoing, call_next: Next[Any, Any]) -> Any:
        """
        Rewrite the links of *outgoing*, send it, and watch whether it is a greeting.

        With settings by Page, every send must be known to be of a Page. Without its id (`BotSettings.page_access_token`
        names none), replies have that of their event, and other sends that of the one Page whose webhooks this process
        has seen; before the first of them, the settings at the top apply. A process that only sends should name its
        Page under `BotSettings.pages`.
        """
        if self.settings.mode is Mode.OFF:
            return await awaitable(call_next(outgoing))
        handling = current_handling()
        outgoing = self._sends.with_page(checked(outgoing, Outgoing, "Outgoing(body=body) is a Send API body to send"))
        sent = await self._sends.rewritten(outgoing)
        began_at = self._clock.now()
        answer = await awaitable(call_next(sent))
        await self._sends.watch(outgoing, answer, began_at, handling)
        return answer

    async def track(
        self,
        name: str | StandardEventData,
        data: Any = None,
        *,
        user_id: str | int | None = None,
        id: str | int | None = None,  # noqa: A002
        page_id: str | int | None = None,
        channel: Channel | str | None = None,
    ) -> None:
        """
        Record a named event.

        While an event is handled, it becomes part of that handling's commit. Elsewhere this call is itself the commit,
        and returns once the event is durable, at the latest after `KochavaSettings.commit_timeout_seconds`.

        Args:
            name: As Kochava shall show it, or a built standard event.
            data: An object or one value.
            user_id: The person it is about; while an event is handled, that event's person by default.
            id: Your own id, such as an order number; repeats are ignored while the first waits and for two days after.
            page_id: The Page, outside of handling and only if Pages have apps of their own.
            channel: Where the person is, if not in the event being handled; Messenger by default.

        Raises:
            TrackingError: Nobody is named and no event is being handled; an argument is no id or channel; or, in strict
                mode, Kochava would refuse it.
        """
        event_name, event_data = name_and_data(name, data)
        await self._recorder.track(
            event_name, event_data, track_id=id, user_id=user_id, page_id=page_id, channel=channel
        )

    async def identify(
        self,
        identities: Mapping[str, str],
        *,
        user_id: str | int | None = None,
        page_id: str | int | None = None,
        channel: Channel | str | None = None,
    ) -> None:
        """
        Join a person to their ids elsewhere, such as ``{"customer_id": "C-17"}``. Each value is sent once.

        It is sent after the person's first record, since Kochava does not tie a link to a person it does not know.

        Args:
            identities: By name. Kochava wants no e-mail address, name or telephone number.
            user_id: As of `track`, like `page_id` and `channel`.

        Raises:
            TrackingError: As of `track`.
        """
        await self._recorder.identify(identities, user_id=user_id, page_id=page_id, channel=channel)

    def rewrite(
        self,
        body: Any,
        *,
        user_id: str | int | None = None,
        page_id: str | int | None = None,
        creative: str | None = None,
        channel: Channel | str | None = None,
    ) -> Any:
        """
        The body as it would leave, for senders that do not pass this middleware. Pure; never writes into *body*.

        Of a `LinkProvider`, only what is known already is used.

        Args:
            body: A Send API body, or its ``message`` alone.
            user_id: The person it is for, if the body does not say.
            channel: Where the person is, as of `track`: links name the id by channel.

        Raises:
            TrackingError: An argument is no id.
        """
        return self._sends.rewritten_body(body, user_id, page_id, creative, channel)

    def entry_link(
        self, target_url: str, *, ref: str | None = None, creative: str | None = None, page_id: str | int | None = None
    ) -> str:
        """The SmartLink for an ad, QR code or e-mail that leads into the bot; see `SmartLinks.entry_link`."""
        page_id = optional_id("page_id", page_id)
        return self._context.apps.of(page_id).links.entry_link(target_url, ref=ref, creative=creative, page_id=page_id)

    def detached(self) -> AbstractContextManager[None]:
        """Start long-lived tasks within this, so that they do not belong to the event being handled."""
        return detached()

    async def opt_out(self, user_id: str | int) -> None:
        """
        Send nothing more of a person, what waits included. SmartLinks to them carry no id.

        Raises:
            TrackingError: `user_id` is no id.
            StoreError: It could not be written.
        """
        await self._privacy.opt_out(checked_id("user_id", user_id))

    async def opt_in(self, user_id: str | int) -> None:
        """
        Take back `opt_out` or `forget`: from now on records of the person are sent again.

        Raises:
            TrackingError: `user_id` is no id.
            StoreError: It could not be written.
        """
        await self._privacy.opt_in(checked_id("user_id", user_id))

    async def forget(self, user_id: str | int) -> int:
        """
        Delete all that is kept of a person, send nothing more of them, and ask Kochava's privacy API to delete what it
        has (when `WireSettings.deletion_url` is set). Only a keyed hash remains, until `opt_in`.

        Returns:
            How many records and events that waited were dropped.

        Raises:
            TrackingError: `user_id` is no id.
            StoreError: It could not be written.
        """
        return await self._privacy.forget(checked_id("user_id", user_id))

    async def _handle(self, handling: Handling, call_next: Next[Any, Any], *, sets_handled: bool) -> Any:
        """Handle an event whose records are not a part of its host's commit."""
        recording = self._recorder.recording_of(handling)
        try:
            result = await awaitable(call_next(handling.event))
            if sets_handled:
                handling.handled = True
            return result
        finally:
            await self._recorder.commit(recording)
