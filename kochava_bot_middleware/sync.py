"""`SyncKochava`: the calls of a `KochavaMiddleware` for synchronous programs, and for any thread."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import Context
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

from . import background
from .arguments import Id
from .background import Begin
from .chain import checked
from .clock import Clock
from .core import HandlerName, WebhookCall
from .exceptions import RegistrationError, StoreError
from .handling import Handling
from .kochava.event_builders import StandardEventData
from .layer import checked_event
from .messenger.events import Channel, Event
from .messenger.outgoing import Endpoint, Outgoing
from .middleware import KochavaMiddleware
from .runtime import CallsAtOnce, Runtime
from .store.contract import Store
from .telemetry.observer import Observer
from .tracking.decorators import name_and_data
from .tracking.links.provider import LinkProvider
from .tracking.recording import RequestedEvent
from .tracking.settings import Mode, WorkerPlace

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    call: Callable[Concatenate[KochavaMiddleware, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncKochava, P], T]:
    """A method with the arguments and the docstring of *call*, which it waits for."""

    @functools.wraps(call)
    def method(self: SyncKochava, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(call.__name__, lambda: call(self._kochava, *args, **kwargs))

    return method


def _begun(
    call: Callable[Concatenate[KochavaMiddleware, P], Coroutine[Any, Any, None]],
    begin: Callable[..., asyncio.Future[None] | None],
) -> Callable[Concatenate[SyncKochava, P], None]:
    """As `_blocking`, but the loop calls *begin* with the same arguments: its future needs no task for a coroutine."""

    @functools.wraps(call)
    def method(self: SyncKochava, /, *args: P.args, **kwargs: P.kwargs) -> None:
        self._call_in(self._loop_for(call.__name__), functools.partial(begin, self.runtime, *args, **kwargs))

    return method


def _begin_track(
    runtime: Runtime, name: str | StandardEventData, data: Any = None, **about: Any
) -> asyncio.Future[None] | None:
    event_name, event_data = name_and_data(name, data)
    core = runtime.bind("track")
    return core.begin_track(RequestedEvent.of(event_name, event_data, context=core.context, **about))


class SyncKochava(CallsAtOnce):
    """
    A `KochavaMiddleware` for Flask, Django, Celery, cron jobs and any thread: the same calls without ``await``.

    The first call starts it, in the background of its process; a forked process starts its own. When the interpreter
    ends, it delivers what waits, for `KochavaSettings.drain_seconds` at most, and stops. Where the middleware was
    started in an event loop that runs in another thread, as `KochavaMiddleware.sync`, the calls run there.

    With the arguments, answers and errors that they have there: ``flush``, ``parse``, ``track``, ``identify``,
    ``rewrite``, ``entry_link``, ``opt_out``, ``opt_in``, ``forget`` and ``added_to``.

    Example:
        ```python
        kochava = SyncKochava.from_dict({"kochava_app_id": "kobotdemo1234"})


        @app.post("/webhook")
        def webhook():
            for event in kochava.parse(request.get_data(), request.headers):
                with kochava.handling(event):
                    kochava.send(body, call)
            return "EVENT_RECEIVED"
        ```
    """

    def __init__(self, kochava: KochavaMiddleware) -> None:
        self._kochava = checked(kochava, KochavaMiddleware, "SyncKochava.from_dict takes a mapping")
        super().__init__(kochava.runtime)

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
        Make it from a settings mapping, as `KochavaMiddleware.from_dict` does.

        Raises:
            SettingsError: With everything that is wrong.
        """
        return cls(
            KochavaMiddleware.from_dict(
                mapping, store=store, clock=clock, link_provider=link_provider, observer=observer
            )
        )

    flush = _blocking(KochavaMiddleware.flush)
    track = _begun(KochavaMiddleware.track, _begin_track)
    identify = _blocking(KochavaMiddleware.identify)
    opt_out = _blocking(KochavaMiddleware.opt_out)
    opt_in = _blocking(KochavaMiddleware.opt_in)
    forget = _blocking(KochavaMiddleware.forget)

    def start(self) -> None:
        """
        Open the store and begin to deliver, rather than at the first call; or again after `stop`.

        Raises:
            StoreUnavailable: The message says what was tried and how to fix it.
        """
        self._begin(self._loop_for("start"))

    def stop(self) -> None:
        """As `KochavaMiddleware.stop`. Afterwards nothing is recorded until `start` is called."""
        loop = self._loop_for("stop")
        background.run_in(loop, self._kochava.stop())
        background.not_at_end(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @contextmanager
    def handling(self, event: Event, *, handler: str | None = None) -> Iterator[Handling]:
        """As `KochavaMiddleware.handling`, in the calling thread."""
        checked_event(event)
        self._loop_for("handling")
        with self.runtime.core.handling(event, handler) as (handling, recording):
            try:
                yield handling
            finally:
                if recording is not None:
                    self._never_raising("handling", lambda: self.runtime.begin_commit(recording))

    @contextmanager
    def handling_together(self, events: Sequence[Event], *, handler: HandlerName = None) -> Iterator[WebhookCall]:
        """As `KochavaMiddleware.handling_together`, in the calling thread."""
        events = [checked_event(event) for event in events]
        self._loop_for("handling_together")
        with self.runtime.core.handling_together(events, handler) as call:
            try:
                yield call
            finally:
                if recordings := call.to_commit():
                    self._never_raising("handling", lambda: self.runtime.begin_commit(*recordings))

    def send(
        self,
        body: Any,
        call: Callable[[Any], T],
        *,
        endpoint: str = Endpoint.MESSAGES,
        page_id: Id | None = None,
        channel: Channel | str | None = None,
        creative: str | None = None,
        greeting: bool = False,
        tracker: str | None = None,
    ) -> T:
        """As `KochavaMiddleware.send`; *call* is a plain function, which is called in the calling thread."""
        named = {"creative": creative, "greeting": greeting, "tracker": tracker}
        sends = self.runtime.core.sends
        outgoing = sends.outgoing(body, endpoint=endpoint, page_id=page_id, channel=channel, **named)
        self._loop_for("send")
        return self.send_blocking(outgoing, call)

    def send_blocking(self, outgoing: Outgoing, call: Callable[[Any], T]) -> T:
        """
        Send with a client that blocks its thread, be it that of an event loop.

        In the loop in which the middleware was started, nothing can be awaited: there links name a person only if it
        is known in this process that they may, as of `SendTracker.begin`. Of tracking, nothing is raised.
        """
        core, is_here = self.runtime.core, self._is_in_own_loop()
        sends = core.sends
        sending = None
        if not core.is_off:
            sending = (
                _at_once(sends.begin(outgoing, at_once=True))
                if is_here
                else self._never_raising("send", lambda: asyncio.create_task(sends.begin(outgoing)))
            )
        if sending is None:
            return call(outgoing.body)
        with sending:
            answer = call(sending.sent.body)
        if is_here:
            sends.end_later(sending, answer)
        else:
            self._never_raising("send", lambda: asyncio.create_task(sends.end(sending, answer)))
        return answer

    def run(self, name: str, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine in the loop and wait for its result, starting what was not started yet."""
        return cast(T, self._call_in(self._loop_for(name), lambda: asyncio.create_task(make())))

    def _call_in(self, loop: asyncio.AbstractEventLoop, begin: Begin[T]) -> T | None:
        """As of `background`, starting what was not started yet."""
        if not (self.runtime.is_started or self.runtime.is_stopped):
            self._begin(loop)
        return background.call_in(loop, begin)

    def _never_raising(self, name: str, begin: Begin[T]) -> T | None:
        """As `_call_in`, for what must not disturb the handler, in any thread; a failure is one log line a minute."""
        try:
            return self._call_in(self._loop(name), begin)
        except Exception as exc:  # noqa: BLE001 - tracking never harms the bot
            reason = str(exc) if isinstance(exc, StoreError) else type(exc).__name__
            self.runtime.core.context.incidents.report("tracking_failed", name, reason=reason)
            return None

    def _loop_for(self, name: str) -> asyncio.AbstractEventLoop:
        """Where calls run: where the middleware was started, or in the background."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            msg = (
                f"`{name}` of SyncKochava would block the event loop that runs in this thread: "
                f"write `await kochava.{name}(…)` with a KochavaMiddleware"
            )
            raise RegistrationError(msg)
        return self._loop(name)

    def _loop(self, name: str) -> asyncio.AbstractEventLoop:
        loop = self.runtime.loop
        if loop is None or (loop.is_closed() and not self.runtime.is_started):
            return background.background_loop()
        if not loop.is_running():
            msg = (
                f"`{name}` of SyncKochava: the event loop in which its KochavaMiddleware was started does not run any "
                "more; call `await kochava.stop()` before it ends"
            )
            raise RegistrationError(msg)
        return loop

    def _is_in_own_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self.runtime.loop
        except RuntimeError:
            return False

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        with background.lock():
            if self.runtime.is_started:
                return
            # In a context of its own: what it starts belongs to no event.
            background.run_in(loop, self._kochava.start(), Context())
            if loop is background.background_loop():
                background.at_end(self, self._end)

    async def _end(self) -> None:
        """Deliver what waits and stop, when the interpreter ends."""
        runtime, settings = self.runtime, self._kochava.settings
        waiting, began = 0, asyncio.get_running_loop().time()
        seconds = settings.drain_seconds
        await runtime.close_inbox(seconds)
        if settings.mode is Mode.LIVE and settings.worker is WorkerPlace.INSIDE:
            try:
                waiting = await runtime.flush(max(0.0, began + seconds - asyncio.get_running_loop().time()))
            except StoreError as exc:
                log.warning("kochava_stopped: %s", exc)
        await runtime.stop(max(0.0, began + seconds - asyncio.get_running_loop().time()))
        if waiting:
            what = "1 record waits" if waiting == 1 else f"{waiting} records wait"
            where = f"{what} for Kochava in {settings.kept_in}"
            log.warning("kochava_stopped: %s; the next process that is started with this store delivers", where)


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of what awaits nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    msg = "it awaits something"
    raise RuntimeError(msg)
