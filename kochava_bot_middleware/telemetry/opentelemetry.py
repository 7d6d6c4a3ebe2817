"""
OpenTelemetry spans around handlings and requests; needs the extra ``otel``.

No span holds a person's id, a text, or more of an address than its host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from ..exceptions import KochavaBotError
from ..kochava.client import Answer, Failure
from ..kochava.wire import WireRequest
from ..messenger.events import Event
from ..store.records import Committed, Unit
from .observer import Answered

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

SCOPE = "kochava_bot_middleware"
"""The name of this package's tracer."""


class Tracing:
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
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=provider)

    @classmethod
    def if_set_up(cls) -> Self | None:
        """An instance if the library is installed and the application has set a tracer provider; otherwise ``None``."""
        try:
            tracing = cls()
        except KochavaBotError:
            return None
        provider = tracing._trace.get_tracer_provider()
        # Even a discarded span takes a fifteenth of a webhook's time.
        return None if isinstance(provider, tracing._trace.ProxyTracerProvider) else tracing

    @contextmanager
    def handling(self, event: Event) -> Iterator[None]:
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

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        """Commits have no spans."""
