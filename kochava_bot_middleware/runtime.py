"""
What runs for one middleware in this process: its core and, once started, what delivers. And the calls that need no
more than that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any

from .arguments import Id, optional_id
from .clock import Clock
from .core import Core
from .delivery.attempt import Deliverer
from .delivery.undelivered import RECORDS_WAIT, UndeliveredWatch, undelivered
from .delivery.worker import BackgroundWorker, Worker
from .exceptions import RegistrationError, StoreUnavailable
from .inbox.inbox import Dispatch, Inbox, warn_if_in_memory
from .inbox.settings import InboxSettings
from .kochava.client import KochavaClient, RequestSender
from .messenger.events import Channel, Event
from .messenger.outgoing import text_or_none
from .messenger.parsing.webhook import Headers
from .telemetry.counts import Counts
from .telemetry.observer import GuardedObserver, ObservedClient
from .telemetry.opentelemetry import Tracing
from .tracking.decorators import HandlerDecorators
from .tracking.recording import Recording
from .tracking.settings import KochavaSettings, Mode, WorkerPlace

log = logging.getLogger("kochava_bot_middleware.middleware")

NOT_STARTED = "nothing delivers them from here: `start` was not called; call `await kochava.start()` first"
NOT_LIVE = 'nothing delivers while `mode` is "{}"'

FIRST_LOOK_SECONDS = 0.01
LONGEST_LOOK_SECONDS = 0.25
"""How often `flush` looks whether something still waits."""


class Runtime:
    """
    The core of one middleware, what it runs, and the event loop to which both belong.

    In a forked process everything is made anew: sockets, files and threads of the parent are of no use there.

    Attributes:
        core: What it tracks with.
        loop: Where it is used; ``None`` before the first call and after `stop`.
        is_started: Between `start` and `stop`.
        is_stopped: After `stop`, until it is started again.
        host: The bot or application that it was added to.
        inbox: Of a foreign host whose webhooks are stored first; it stays after `stop`, to refuse what still comes.
    """

    def __init__(self, settings: KochavaSettings, clock: Clock, make_core: Callable[[], Core]) -> None:
        self._settings = settings
        self._clock = clock
        self._make_core = make_core
        self.host: object | None = None
        self._begin()
        _RUNTIMES.add(self)

    def _begin(self) -> None:
        self.core = self._make_core()
        self.core.recorder.on_recorded = self._recorded
        self.loop: asyncio.AbstractEventLoop | None = None
        self.is_started = self.is_stopped = False
        self.inbox: Inbox | None = None
        self._worker: BackgroundWorker | None = None
        self._watch: asyncio.Task[None] | None = None
        self._start_stop_lock = asyncio.Lock()

    def begin_anew(self) -> None:
        """In a forked process: leave everything of the parent alone."""
        # Collected, it would close what the parent still uses.
        _INHERITED.append((self.core, self.loop, self._worker, self._watch))
        self._begin()

    def bind(self, call: str) -> Core:
        """
        The core, for *call* in the running event loop.

        Raises:
            RegistrationError: It is in use in another event loop.
            StoreUnavailable: It was stopped.
        """
        if self.loop is not asyncio.get_running_loop():
            self.bind_loop(call)
        if self.is_stopped:
            msg = f"`{call}` after `stop`, which closed the store: it is not recorded; call `start` first"
            raise StoreUnavailable(msg)
        return self.core

    def bind_loop(self, call: str) -> None:
        """As `bind`, also after `stop`."""
        running = asyncio.get_running_loop()
        if self.loop is running:
            return
        if self.loop is not None and (self.is_started or not self.loop.is_closed()):
            state = "has ended without `await kochava.stop()`" if self.loop.is_closed() else "is another one"
            msg = (
                f"`{call}`: the event loop in which this KochavaMiddleware was used first {state}; "
                "from other threads and loops call `kochava.sync`, whose methods have the same names"
            )
            raise RegistrationError(msg)
        self.loop = running

    async def start(self) -> None:
        """Open the store, and begin to deliver. Idempotent."""
        self.bind_loop("start")
        async with self._start_stop_lock:
            if self.is_started:
                return
            core, settings = self.core, self._settings
            await core.store.open()
            self.is_started, self.is_stopped = True, False
            self.inbox = None
            core.recorder.is_closed = False
            log.info("kochava_started: records are kept in %s", settings.kept_in)
            core.context.incidents.over(RECORDS_WAIT)
            if settings.mode is not Mode.OFF:
                if core.observer is None and (tracing := Tracing.if_set_up()) is not None:
                    core.observer = GuardedObserver(tracing, self._clock)
                core.timers.start()
            if settings.mode is not Mode.LIVE:
                self._watch = self._watching(NOT_LIVE.format(settings.mode), is_certain=True)
            elif settings.worker is WorkerPlace.SEPARATE:
                cause = 'no worker has touched one for a minute, and `worker` is "separate": run `kochava-bot worker`'
                self._watch = self._watching(cause, is_certain=False)
            else:
                self._worker = self._background_worker()

    async def open_inbox(self, dispatch: Dispatch, settings: InboxSettings) -> None:
        """Begin to handle events that are stored first. Idempotent until the next `start`."""
        async with self._start_stop_lock:
            if self.inbox is None and self.is_started:
                warn_if_in_memory(self.core.store)
                self.inbox = Inbox(store=self.core.store, dispatch=dispatch, settings=settings, clock=self._clock)
                await self.inbox.start()

    async def close_inbox(self, deadline_seconds: float | None = None) -> None:
        """Let the handlers end, and take no more events; see `Inbox.stop`. Idempotent."""
        if self.inbox is not None:
            await self.inbox.stop(deadline_seconds)

    async def stop(self, drain_seconds: float) -> None:
        """Finish the requests under way, and close the store. Idempotent."""
        self.bind_loop("stop")
        await self.close_inbox()
        async with self._start_stop_lock:
            self.is_started, self.is_stopped = False, True
            core = self.core
            core.recorder.is_closed = True
            if self._watch is not None:
                self._watch.cancel()
                self._watch = None
            await core.timers.stop()
            await core.context.apps.close()
            await core.recorder.drain(drain_seconds)
            worker, self._worker = self._worker, None
            if worker is not None:
                await worker.stop(drain_seconds)
            await core.store.close()
            self.loop = None

    async def flush(self, timeout_seconds: float) -> int:
        """Wait until nothing waits any more; returns how much still does."""
        core, settings = self.bind("flush"), self._settings
        ends_at = self._clock.monotonic() + timeout_seconds
        pause = FIRST_LOOK_SECONDS
        while True:
            waiting = core.recorder.at_risk + await undelivered(core.store)
            left = ends_at - self._clock.monotonic()
            if waiting == 0 or left <= 0 or settings.mode is not Mode.LIVE:
                if waiting and self._is_not_started:
                    cause = NOT_STARTED if settings.mode is Mode.LIVE else NOT_LIVE.format(settings.mode)
                    core.context.incidents.report(RECORDS_WAIT, reason=f"{waiting} records wait: {cause}")
                return waiting
            await self._clock.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_LOOK_SECONDS)

    async def commit(self, *recordings: Recording) -> None:
        """Write what was recorded while events were handled. Never raises: the handler has nothing to do with it."""
        if (waiter := self.begin_commit(*recordings)) is not None:
            await waiter

    def begin_commit(self, *recordings: Recording) -> asyncio.Future[None] | None:
        """As `commit`; ``None`` when there is nothing to wait for."""
        return self.core.recorder.begin_commit(*recordings) if recordings else None

    def make_worker(self, sender: RequestSender) -> Worker:
        """A worker that delivers the records through *sender*."""
        context, settings = self.core.context, self._settings
        destinations, gate = context.apps.destinations, self.core.privacy.gate
        deliverer = Deliverer(sender, destinations, settings.delivery, clock=self._clock, gate=gate)
        has_installs = any(app.install.mode != "off" for app in context.apps)
        return Worker(self.core.store, deliverer, has_installs=has_installs)

    def _background_worker(self) -> BackgroundWorker:
        observer, delivery = self.core.observer, self._settings.delivery
        seconds, proxy = delivery.request_timeout_seconds, delivery.proxy
        client = (
            KochavaClient(timeout_seconds=seconds, proxy=proxy)
            if observer is None
            else ObservedClient(observer, timeout_seconds=seconds, proxy=proxy)
        )
        return BackgroundWorker(self.make_worker(client), client)

    def _watching(self, cause: str, *, is_certain: bool) -> asyncio.Task[None]:
        incidents = self.core.context.incidents
        watch = UndeliveredWatch(self.core.store, self._clock, incidents, cause=cause, is_certain=is_certain)
        return asyncio.create_task(watch.run())

    @property
    def _is_not_started(self) -> bool:
        """`start` was never called."""
        return not (self.is_started or self.is_stopped or self._start_stop_lock.locked())

    def _recorded(self, queues: Collection[str]) -> None:
        if self._worker is not None:
            self._worker.wake(queues)
        elif self._is_not_started:
            self.core.context.incidents.report(RECORDS_WAIT, reason=NOT_STARTED)


_RUNTIMES: weakref.WeakSet[Runtime] = weakref.WeakSet()
_INHERITED: list[object] = []


def _begin_anew() -> None:
    for runtime in tuple(_RUNTIMES):
        runtime.begin_anew()


os.register_at_fork(after_in_child=_begin_anew)


class CallsAtOnce(HandlerDecorators):
    """The calls of `KochavaMiddleware` and `SyncKochava` that wait for nothing."""

    def __init__(self, runtime: Runtime) -> None:
        # Not through `self`, which everything that was decorated would keep alive.
        super().__init__(lambda: runtime.core.recorder)
        self.runtime = runtime

    @property
    def counts(self) -> Counts:
        """What was recorded, rewritten and left out since this was made."""
        core = self.runtime.core
        return core.context.counts.snapshot(at_risk=core.recorder.at_risk)

    def added_to(self, host: object) -> None:
        """
        Called by the bot that this is added to.

        Raises:
            RegistrationError: It serves another bot already; when that one stops, it would close the store of both.
        """
        if self.runtime.host is not None and self.runtime.host is not host:
            msg = "one KochavaMiddleware serves one bot: make another one of the same settings for this bot"
            raise RegistrationError(msg)
        self.runtime.host = host

    def parse(self, raw_body: bytes | str | Mapping[str, Any], headers: Headers | None = None) -> list[Event]:
        """
        The events of a webhook, whose signature is checked if `KochavaSettings.app_secret` is set.

        Args:
            raw_body: The body as it was received. What a framework decoded from it will do if no signature is checked.
            headers: Of the request.

        Raises:
            SignatureError: The signature is missing or wrong: answer 403.
            NotAWebhook: It is no webhook of the Messenger Platform: answer 400.
            RegistrationError: A signature is to be checked, but *raw_body* is not the bytes that were received.
        """
        return self.runtime.core.parse(raw_body, headers)

    def rewrite(
        self,
        body: Any,
        *,
        user_id: Id | None = None,
        page_id: Id | None = None,
        creative: str | None = None,
        channel: Channel | str | None = None,
    ) -> Any:
        """
        The body as it would leave, where `send` cannot be used. Never writes into *body*, and sees no greeting.

        It never waits: of a `LinkProvider`, only what is known already is used, and opt-outs are not looked up. While
        an event is handled, the ids in these links are kept for a later `forget`; elsewhere they are not.

        Args:
            body: A Send API body, or its ``message`` alone.
            user_id: The person it is for, if the body does not say.
            channel: Where the person is, as of `track`: links name the id by channel.

        Raises:
            TrackingError: An argument is no id.
        """
        return self.runtime.core.sends.rewritten_body(body, user_id, page_id, creative, channel)

    def entry_link(
        self, target_url: str, *, ref: str | None = None, creative: str | None = None, page_id: Id | None = None
    ) -> str:
        """The SmartLink for an ad, QR code or e-mail that leads into the bot; see `SmartLinks.entry_link`."""
        page_id = optional_id("page_id", page_id)
        text_or_none("creative", creative)
        links = self.runtime.core.context.apps.of(page_id).links
        return links.entry_link(target_url, ref=ref, creative=creative, page_id=page_id)
