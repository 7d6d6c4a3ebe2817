"""`KochavaMiddleware`: what a bot adds to be measurable in Kochava, and what its author calls."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .arguments import Id, Ids, people_named
from .chain import awaitable, checked
from .clock import Clock, SystemClock
from .core import Core, HandlerName, WebhookCall
from .handling import Handling
from .kochava.event_builders import StandardEventData
from .layer import TrackingLayer, checked_event
from .messenger.events import Channel, Event
from .messenger.outgoing import Endpoint
from .runtime import CallsAtOnce, Runtime
from .settings import from_mapping
from .store.contract import Store
from .telemetry.observer import Observer
from .tracking.decorators import name_and_data
from .tracking.links.provider import LinkProvider
from .tracking.privacy import Privacy
from .tracking.recording import RequestedEvent
from .tracking.settings import KochavaSettings

if TYPE_CHECKING:
    from .sync import SyncKochava


class KochavaMiddleware(CallsAtOnce):
    """
    Makes a bot measurable in Kochava.

    Example:
        ```python
        kochava = KochavaMiddleware.from_dict({"kochava_app_id": "kobotdemo1234"})
        bot.add_middleware(kochava)


        @bot.on_postback("BUY")
        @kochava.event("Purchase", data={"currency": "USD", "sum": 100})
        async def buy(event, reply):
            await reply.text("Thank you!")
        ```

    On a host of your own, with its core alone:

    ```python
    async with kochava:
        for event in kochava.parse(raw_body, headers):
            async with kochava.handling(event):
                await kochava.send(body, call)
    ```

    Args:
        store: In place of the one that `KochavaSettings.store` names.
        clock: For tests.
        link_provider: Gives SmartLinks from a catalogue of yours; see `LinkProvider`.
        observer: Called at handlings, requests and commits, such as `Metrics`; must be quick. What it raises is logged
            and harms nothing. Without one, `start` begins to make OpenTelemetry spans if the application has set a
            tracer provider by then.

    Attributes:
        chain_layer: Its part in the chains of a `MessengerBot` and an `AsyncBot`.
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
        clock = clock or SystemClock()
        make_core = functools.partial(
            Core, settings, store=store, clock=clock, link_provider=link_provider, observer=observer
        )
        super().__init__(Runtime(settings, clock, make_core))
        self.chain_layer = TrackingLayer(self.runtime)

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

    @functools.cached_property
    def sync(self) -> SyncKochava:
        """The same calls for synchronous code and other threads."""
        # It needs this module, in which it is needed only here.
        from .sync import SyncKochava  # noqa: PLC0415

        return SyncKochava(self)

    def provide_store(self) -> Store:
        """The store, for the host's inbox: then "handled" and "recorded" are one commit."""
        return self.runtime.core.store

    async def start(self) -> None:
        """
        Open the store and, unless the worker is separate, begin to deliver what waits. Idempotent.

        What is tracked before is stored, but nothing delivers it; a warning in the log says so.

        Raises:
            StoreUnavailable: The message says what was tried and how to fix it.
            RegistrationError: It is in use in another event loop, perhaps that of `sync`.
        """
        await self.runtime.start()

    async def stop(self) -> None:
        """
        Finish the requests under way and close the store. What still waits is delivered after the next start. Until
        then, calls that would record something raise `StoreUnavailable`.
        """
        await self.runtime.stop(self.settings.drain_seconds)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def flush(self, *, timeout_seconds: float = 10.0) -> int:
        """
        Wait until everything in the store is delivered, or given up. For programs that end.

        Not everything has to be of this process: it waits for what other processes put into the same store, too. What
        is tracked while an event is handled is in the store only when its handling has ended.

        Returns:
            How many records still wait. The next process that is started with this store delivers them.

        Raises:
            StoreUnavailable: The store cannot be read, or `stop` was called.
        """
        return await self.runtime.flush(timeout_seconds)

    @asynccontextmanager
    async def handling(self, event: Event, *, handler: str | None = None) -> AsyncIterator[Handling]:
        """
        Record *event*, and all that is tracked and sent within as caused by it; committed at the end, in one unit.

        The ids of the records are made from the event's, so that an event that is delivered twice is recorded once.
        Nothing of this raises: what the store does not take at once is written when it works again, and the log says
        so. Errors of the block pass through.

        Args:
            event: One that `parse` gave.
            handler: Name of what handles it, for Kochava.
        """
        self.runtime.bind_loop("handling")
        with self.runtime.core.handling(checked_event(event), handler) as (handling, recording):
            try:
                yield handling
            finally:
                if recording is not None:
                    await self.runtime.commit(recording)

    @asynccontextmanager
    async def handling_together(
        self, events: Sequence[Event], *, handler: HandlerName = None
    ) -> AsyncIterator[WebhookCall]:
        """
        As `handling`, for a host that handles all events of a webhook in one call, and does not say which one.

        What is sent and tracked within belongs to the event of the same person. Of several events of one person, it is
        the last thing that they did themselves.

        Args:
            events: All that `parse` gave.
            handler: Name of what handles them, or a callable that gives it.
        """
        self.runtime.bind_loop("handling_together")
        with self.runtime.core.handling_together([checked_event(event) for event in events], handler) as call:
            try:
                yield call
            finally:
                await self.runtime.commit(*call.to_commit())

    async def send(
        self,
        body: Any,
        call: Callable[[Any], Awaitable[Any]],
        *,
        endpoint: str = Endpoint.MESSAGES,
        page_id: Id | None = None,
        channel: Channel | str | None = None,
        creative: str | None = None,
        greeting: bool = False,
        tracker: str | None = None,
    ) -> Any:
        """
        Send a body with a client of your own: ``call(body)`` is awaited with the links rewritten, and its answer is
        returned, or its error raised. *body* itself is not changed.

        A greeting is watched: Facebook's answer says which message it became. It may be the decoded JSON, or the
        response of an HTTP client.

        Args:
            body: A Send API body, or that of another *endpoint*.
            call: Sends what it is given.
            endpoint: Last part of the Graph path.
            page_id: The Page that sends, if Pages have settings of their own; see `TrackingLayer.send`.
            channel: Where the person is; by default where events of the Page came from, or the event being handled,
                else Messenger.
            creative: Name of the creative shown.
            greeting: Whether the message is a greeting; those of a handler marked with ``@kochava.greeting`` are.
            tracker: Name of the greeting's tracker, which makes the message a greeting.

        Raises:
            TrackingError: An argument is no id or channel.
        """
        named = {"creative": creative, "greeting": greeting, "tracker": tracker}
        sends = self.runtime.core.sends
        outgoing = sends.outgoing(body, endpoint=endpoint, page_id=page_id, channel=channel, **named)
        self.runtime.bind_loop("send")
        return await self.runtime.core.send(outgoing, lambda sent: awaitable(call(sent.body), "call"))

    async def track(
        self,
        name: str | StandardEventData,
        data: Any = None,
        *,
        user_id: Id | None = None,
        id: Id | None = None,  # noqa: A002
        time: datetime | float | None = None,
        device_ids: Ids | None = None,
        page_id: Id | None = None,
        channel: Channel | str | None = None,
    ) -> None:
        """
        Record a named event.

        While an event is handled, it becomes part of that handling's commit. Elsewhere this call is itself the commit,
        and returns once the event is durable, or raises, when the store took `KochavaSettings.commit_timeout_seconds`;
        what callables of the settings take comes on top.

        Args:
            name: As Kochava shall show it, or a built standard event.
            data: An object or one value.
            user_id: The person it is about; while an event is handled, that event's person by default.
            id: Your own id, such as an order number; repeats are ignored while the first waits and for two days after.
            time: When it happened, with a time zone or in seconds since the epoch; by default when the event being
                handled happened, else now. What is in the future counts as now; over an hour ahead it is refused,
                unless the event being handled is not earlier.
            device_ids: Further ids of the person by name, such as ``{"adid": "…"}``, which leave as they are. Without
                `user_id`, outside of handling, the first of them names the person.
            page_id: The Page, outside of handling and only if Pages have apps of their own.
            channel: Where the person is, if not in the event being handled; by default where they or the Page are known
                to be, else Messenger.

        Raises:
            TrackingError: Nobody is named and no event is being handled; an argument is no id, time or channel; or, in
                strict mode, Kochava would refuse it.
            StoreError: It is not recorded: the store did not take it in time, or `stop` was called. Never while an
                event is handled.
        """
        event_name, event_data = name_and_data(name, data)
        core = self.runtime.bind("track")
        event = RequestedEvent.of(
            event_name,
            event_data,
            context=core.context,
            user_id=user_id,
            id=id,
            time=time,
            device_ids=device_ids,
            page_id=page_id,
            channel=channel,
        )
        if (written := core.begin_track(event)) is not None:
            await written

    async def identify(
        self,
        identities: Mapping[str, str],
        *,
        user_id: Id | None = None,
        page_id: Id | None = None,
        channel: Channel | str | None = None,
    ) -> None:
        """
        Join a person to their ids elsewhere, such as ``{"customer_id": "C-17"}``. Each value is sent once.

        It is sent after the person's first record, since Kochava does not tie a link to a person it does not know.

        Args:
            identities: By name. Kochava wants no e-mail address, name or telephone number.
            user_id: As of `track`, like `page_id` and `channel`.

        Raises:
            TrackingError: As of `track`, like `StoreError`.
        """
        core = self.runtime.bind("identify")
        await core.recorder.identify(identities, user_id=user_id, page_id=page_id, channel=channel)

    async def opt_out(self, user_id: Id | None = None, *, device_ids: Ids | None = None) -> None:
        """
        Send nothing more of a person, what waits included. SmartLinks to them carry no id.

        It holds for all ids that were sent of them, also where `track` names them by one of these alone.

        Args:
            user_id: The person, unless only *device_ids* are known, as of `track`.

        Raises:
            TrackingError: Nobody is named, or an argument is no id.
            StoreError: It could not be written.
        """
        privacy, people = self._people("opt_out", user_id, device_ids)
        for each in people:
            await privacy.opt_out(each)

    async def opt_in(self, user_id: Id | None = None, *, device_ids: Ids | None = None) -> None:
        """
        Take back `opt_out` or `forget`, whose arguments and errors it has. Which further ids a forgotten person had is
        forgotten, too: name those that were sent by themselves.
        """
        privacy, people = self._people("opt_in", user_id, device_ids)
        for each in people:
            await privacy.opt_in(each)

    async def forget(self, user_id: Id | None = None, *, device_ids: Ids | None = None) -> int:
        """
        Delete all that is kept of a person, send nothing more of them, and ask Kochava's privacy API to delete what it
        has (when `WireSettings.deletion_url` is set). Only keyed hashes remain, until `opt_in`.

        Arguments and errors are those of `opt_out`. Returns how many records and events that waited were dropped.
        """
        privacy, people = self._people("forget", user_id, device_ids)
        return sum([await privacy.forget(each) for each in people])

    def _people(self, call: str, user_id: object, device_ids: object) -> tuple[Privacy, list[str]]:
        core = self.runtime.bind(call)
        return core.privacy, people_named(user_id, device_ids, own_keys=core.context.apps.own_keys)
