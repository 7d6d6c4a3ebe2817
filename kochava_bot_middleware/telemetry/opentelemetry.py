"""
OpenTelemetry spans around handlings and requests; needs the extra ``otel``.

Without a tracer provider of the application, spans are discarded, and none is created for a handling. No span holds a
person's id, a text, or more of an address than its host.
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
"""The name of this package's tracer."""


class Tracing(NullObserver):
    """
    An `Observer` that creates spans.

    Args:
        provider: ``None`` uses the application's global one.

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
        """An instance, or ``None`` if the library is not installed."""
        try:
            found = importlib.util.find_spec("opentelemetry.trace")
        except (ImportError, ValueError):
            found = None
        return None if found is None else cls()

    def handling(self, event: Event) -> AbstractContextManager[None]:
        trace = self._trace
        if self._provider is None and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            # The application has no tracer provider yet. Even a discarded span takes a fifteenth of a webhook's time.
            return nullcontext()
        return self._span_of_handling(event)

    @contextmanager
    def _span_of_handling(self, event: Event) -> Iterator[None]:
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
