"""What one `KochavaMiddleware` tracks with: asynchronous and synchronous calls, and the chain of a bot, end here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import attrs

from .chain import Next, checked
from .clock import Clock
from .handling import Handling, current_handling, current_handlings, handling_of, narrowed_to
from .messenger.events import Event
from .messenger.outgoing import Outgoing
from .messenger.parsing.webhook import Headers, iter_webhook, signature_of, verify_signature
from .store.contract import Store
from .telemetry.observer import GuardedObserver, ObservedStore, Observer
from .tracking.links.provider import LinkProvider
from .tracking.privacy import Privacy
from .tracking.recorder import Recorder
from .tracking.recording import Recording, RequestedEvent
from .tracking.sends import SendTracker
from .tracking.settings import KochavaSettings, TrackingContext
from .tracking.timers import GreetingTimers

HandlerName = str | Callable[[], str | None] | None
"""What handles a webhook, or a callable that says it once that is known."""


@attrs.define(kw_only=True, eq=False)
class WebhookCall:
    """
    The events of one webhook while one call of an endpoint handles all of them.

    Attributes:
        handlings: Of each event, in their order.
        recorder: Records them; ``None`` when nothing is tracked.
    """

    handlings: Sequence[Handling]
    recorder: Recorder | None

    def answered(self, status: int) -> None:
        """
        Note the endpoint's answer. Only 2xx says that the events were handled; after an error (5xx) Facebook delivers
        them again. With anything else the endpoint refused them, and of a refused event nothing is recorded but what
        the endpoint itself has tracked.
        """
        for handling in self.handlings:
            handling.handled = 200 <= status < 300
            if self.recorder is not None and 300 <= status < 500:
                self.recorder.recording_of(handling).without_event = True

    def to_commit(self) -> list[Recording]:
        """What is recorded by now, and shall be written; what comes later belongs to the next call of this."""
        recordings = []
        for handling in self.handlings if self.recorder is not None else ():
            assert self.recorder is not None
            handling.name_handler()
            recording = self.recorder.recording_of(handling)
            if not recording.is_empty:
                self.recorder.go_on_after(recording)
                recordings.append(recording)
        return recordings


class Core:
    """
    The store, the recorder and the watched sends of one middleware. It belongs to one process: a fork makes another.

    Attributes:
        observer: Called at handlings, requests and commits.
        is_off: Nothing is tracked.
    """

    def __init__(
        self,
        settings: KochavaSettings,
        *,
        store: Store | None,
        clock: Clock,
        link_provider: LinkProvider | None,
        observer: Observer | None,
    ) -> None:
        self.observer: Observer | None = None
        self._app_secrets = [secret.value for secret in settings.app_secrets]
        self.store: Store = store or settings.kept_in.make(clock)
        if observer is not None:
            self.observer = GuardedObserver(observer, clock)
            self.store = ObservedStore(self.store, self.observer, clock)
        self.context = TrackingContext(settings, store=self.store, clock=clock, link_provider=link_provider)
        self.is_off = self.context.is_off
        self.privacy = Privacy(self.context)
        self.recorder = Recorder(self.context, self.privacy)
        self.sends = SendTracker(self.context, self.privacy, self.recorder)
        self.timers = GreetingTimers(self.context, self.recorder)

    def parse(self, raw_body: bytes | str | Mapping[str, Any], headers: Headers | None) -> list[Event]:
        """The events of a webhook, as of `KochavaMiddleware.parse`."""
        if self._app_secrets:
            raw_body = checked(raw_body, bytes, "pass the body as it was received: its signature is of these bytes")
            verify_signature(raw_body, signature_of(headers or {}), self._app_secrets)
        report = self.context.incidents.report
        return list(iter_webhook(raw_body, on_skipped=lambda part: report("webhook_part_skipped", part)))

    def begin_track(self, event: RequestedEvent) -> asyncio.Future[None] | None:
        """Record *event*, as of `Recorder.begin_write`; ``None`` when it is a part of the commit of a handling."""
        if self.is_off:
            return None
        recording = self.recorder.track(event)
        return self.recorder.begin_write(recording, "track") if recording.handling is None else None

    async def send(self, outgoing: Outgoing, call: Next[Outgoing, Any]) -> Any:
        """Rewrite the links of *outgoing*, await ``call(outgoing)``, and watch its answer, which is returned."""
        sending = None if self.is_off else await self.sends.begin(outgoing)
        if sending is None:
            return await call(outgoing)
        with sending:
            answer = await call(sending.sent)
        await self.sends.end(sending, answer)
        return answer

    def joins_host(self) -> bool:
        """
        Make what is done from now on a part of the commit of the host, which handles one event; False where there is
        more to do, see `handling`.
        """
        handlings = current_handlings()
        if len(handlings) != 1 or self.observer is not None or self.is_off:
            return False
        (handling,) = handlings
        if handling.store is not self.store or self.recorder.current() is not None:
            return False
        self.recorder.join(handling)
        return True

    @contextmanager
    def handling(
        self, event: Event, handler: str | None = None, *, is_current: bool = False
    ) -> Iterator[tuple[Handling, Recording | None]]:
        """
        Track all that is done within as caused by *event*.

        Gives the handling, and what the caller must commit at the end: ``None`` when the host commits it in one unit
        with "handled", when an outer layer handles the same event, and when nothing is tracked.

        Args:
            handler: Name of what handles it.
            is_current: *event* is that of the current handling, perhaps changed by a middleware.
        """
        together = current_handlings()
        outer = next((each for each in together if each.event.key == event.key), current_handling())
        if len(together) > 1 and outer is not None and outer.event.key == event.key:
            # The host says which of the events it handles now.
            outer.handler = handler or outer.handler
            with narrowed_to(outer):
                yield outer, None
        elif outer is None or not (is_current or outer.event.key == event.key):
            handling = Handling(event=event, store=self.store, handler=handler)
            with handling_of(handling):
                recording = None if self.is_off else self.recorder.recording_of(handling)
                with self._observed(event):
                    yield handling, recording
                    handling.handled = True
        elif self.is_off or self.recorder.current() is not None:
            yield outer, None
        else:
            recording = None
            if outer.store is self.store:
                self.recorder.join(outer)
            else:
                recording = self.recorder.recording_of(outer)
            with self._observed(event):
                yield outer, recording

    @contextmanager
    def handling_together(self, events: Sequence[Event], handler: HandlerName) -> Iterator[WebhookCall]:
        """Track all that is done within as caused by one of *events*. The caller commits what the call then has."""
        find_handler = handler if callable(handler) else None
        handlings = [
            Handling(
                event=event,
                store=self.store,
                handler=handler if isinstance(handler, str) else None,
                find_handler=find_handler,
            )
            for event in events
        ]
        call = WebhookCall(handlings=handlings, recorder=None if self.is_off else self.recorder)
        with ExitStack() as stack:
            stack.enter_context(handling_of(*handlings))
            for handling in handlings:
                stack.enter_context(self._observed(handling.event))
                if call.recorder is not None:
                    call.recorder.recording_of(handling)
            yield call

    def _observed(self, event: Event) -> AbstractContextManager[object]:
        return nullcontext() if self.observer is None or self.is_off else self.observer.handling(event)
