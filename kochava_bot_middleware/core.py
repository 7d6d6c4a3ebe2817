"""What one `KochavaMiddleware` tracks with: asynchronous and synchronous calls, and the chain of a bot, end here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from .chain import Next, checked
from .clock import Clock
from .handling import Handling, current_handling, handling_of
from .messenger.events import Event
from .messenger.outgoing import Outgoing
from .messenger.parsing.webhook import iter_webhook, signature_of, verify_signature
from .store.contract import Store
from .telemetry.observer import GuardedObserver, ObservedStore, Observer
from .tracking.link_provider import LinkProvider
from .tracking.privacy import Privacy
from .tracking.recorder import Recorder
from .tracking.recording import Recording
from .tracking.sends import SendTracker
from .tracking.settings import KochavaSettings, Mode, TrackingContext
from .tracking.timers import GreetingTimers


class Core:
    """
    The store, the recorder and the watched sends of one middleware. It belongs to one process: a fork makes another.

    Attributes:
        observer: Called at handlings, requests and commits.
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
        self.store: Store = store or settings.kept_in.make(clock)
        if observer is not None:
            self.observer = GuardedObserver(observer, clock)
            self.store = ObservedStore(self.store, self.observer, clock)
        self.context = TrackingContext(settings, store=self.store, clock=clock, link_provider=link_provider)
        self.privacy = Privacy(self.context)
        self.recorder = Recorder(self.context, self.privacy)
        self.sends = SendTracker(self.context, self.privacy, self.recorder)
        self.timers = GreetingTimers(self.context, self.recorder)

    @property
    def is_off(self) -> bool:
        """Whether nothing is tracked."""
        return self.context.settings.mode is Mode.OFF

    def parse(self, raw_body: bytes | str | Mapping[str, Any], headers: Mapping[str, str] | None) -> list[Event]:
        """The events of a webhook, as of `KochavaMiddleware.parse`."""
        secrets = self.context.settings.app_secrets
        if secrets:
            raw_body = checked(raw_body, bytes, "pass the body as it was received: its signature is of these bytes")
            verify_signature(raw_body, signature_of(headers or {}), [secret.value for secret in secrets])
        report = self.context.incidents.report
        return list(iter_webhook(raw_body, on_skipped=lambda part: report("webhook_part_skipped", part)))

    async def send(self, outgoing: Outgoing, call: Next[Outgoing, Any]) -> Any:
        """Rewrite the links of *outgoing*, await ``call(outgoing)``, and watch its answer, which is returned."""
        sending = None if self.is_off else await self.sends.begin(outgoing)
        if sending is None:
            return await call(outgoing)
        with self.sends.under_way(sending):
            answer = await call(sending.sent)
        await self.sends.end(sending, answer)
        return answer

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
        outer = current_handling()
        if outer is None or not (is_current or outer.event.key == event.key):
            with handling_of(Handling(event=event, store=self.store, handler=handler)) as handling:
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

    def _observed(self, event: Event) -> AbstractContextManager[object]:
        return nullcontext() if self.observer is None or self.is_off else self.observer.handling(event)
