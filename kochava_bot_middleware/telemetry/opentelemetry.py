"""
OpenTelemetry spans around handlings and requests; needs the extra ``otel``.

Without a tracer provider of the application, the spans go nowhere, and none is made of a handling. No span holds a
person's id, a text, or an address beyond its host.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Self

from ..exceptions import KochavaBotError
from ..kochava.client import Answer, Failure
from ..kochava.wire import WireRequest
from ..messenger.events import Event
from .observer import Answered, NullObserver

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

SCOPE = "kochava_bot_middleware"
"""The name under which tracers know this package."""


class Tracing(NullObserver):
    """
    An `Observer` that makes spans.

    Args:
        provider: ``None`` takes the application's global one.

    Raises:
        KochavaBotError: The library is not installed.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        try:
            from opentelemetry import trace  # noqa: PLC0415 - it may not be installed
        except ImportError:
            msg = "traces need a library: pip install 'kochava-bot-middleware[otel]'"
            raise KochavaBotError(msg) from None
        self._trace = trace
        self._provider = provider
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=provider)

    @classmethod
    def if_installed(cls) -> Self | None:
        """It, or ``None`` without its library."""
        try:
            found = importlib.util.find_spec("opentelemetry.trace")
        except (ImportError, ValueError):
            found = None
        return None if found is None else cls()

    def handling(self, event: Event) -> AbstractContextManager[None]:
        """See `Observer.handling`."""
        return nullcontext() if self._goes_nowhere() else self._handling(event)

    def _goes_nowhere(self) -> bool:
        """
        Whether the application has no tracer provider, so far. Even a span that goes nowhere takes a
        fifteenth of a webhook's time.
        """
        trace = self._trace
        return self._provider is None and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)

    @contextmanager
    def _handling(self, event: Event) -> Iterator[None]:
        trace = self._trace
        attributes = {"kochava_bot.kind": str(event.kind), "kochava_bot.channel": str(event.channel)}
        with self._tracer.start_as_current_span(
            f"handle {event.kind}",
            kind=trace.SpanKind.CONSUMER,
            attributes=attributes,
            # The text of an exception may quote what a person wrote.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as exc:
                span.set_attribute("error.type", type(exc).__name__)
                span.set_status(trace.StatusCode.ERROR)
                raise

    @contextmanager
    def sending(self, request: WireRequest) -> Iterator[Answered]:
        """See `Observer.sending`."""
        trace = self._trace
        attributes = {"http.request.method": request.method, "server.address": request.host}
        with self._tracer.start_as_current_span(
            f"{request.method} {request.host}",
            kind=trace.SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            def answered(outcome: Answer | Failure) -> None:
                if isinstance(outcome, Answer):
                    span.set_attribute("http.response.status_code", outcome.status)
                    failed = outcome.status >= 400
                else:
                    span.set_attribute("error.type", outcome.reason)
                    failed = True
                if failed:
                    span.set_status(trace.StatusCode.ERROR)

            yield answered
