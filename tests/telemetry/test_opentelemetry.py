"""OpenTelemetry spans."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.messenger.events import MessageEvent
from kochava_bot_middleware.telemetry.opentelemetry import Tracing

REQUEST = WireRequest(method="GET", url="https://imp.test/track?fb_user_id=somebody", headers={"X": "hidden"})


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider)


def message() -> MessageEvent:
    return MessageEvent(user_id="somebody", page_id="1", timestamp=None, raw={}, mid="m_1", text="private text")


def all_of(span: ReadableSpan) -> str:
    return str(span.to_json())


def test_handling_is_a_span(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    """It is named after the kind of event and has the channel as attribute."""
    with tracing.handling(message()):
        pass
    (span,) = exporter.get_finished_spans()
    assert "handle message" == span.name
    assert {"kochava_bot.kind": "message", "kochava_bot.channel": "messenger"} == dict(span.attributes or {})
    assert not span.status.description


def test_handler_that_raises_fails_its_span_without_its_text(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    """It has the type of the error; the text may quote a person."""
    with pytest.raises(ValueError, match="private"), tracing.handling(message()):
        raise ValueError("private text")
    (span,) = exporter.get_finished_spans()
    assert ("ValueError", False) == ((span.attributes or {})["error.type"], span.status.is_ok)
    assert "private" not in all_of(span)


def test_request_is_a_child_span_of_the_handling(tracing: Tracing, exporter: InMemorySpanExporter) -> None:
    """With method, host and status, and no part of the address that may be private."""
    with tracing.handling(message()), tracing.sending(REQUEST) as answered:
        answered(Answer(status=204))
    request, handling = exporter.get_finished_spans()
    expected = {"http.request.method": "GET", "server.address": "imp.test", "http.response.status_code": 204}
    assert expected == dict(request.attributes or {})
    assert request.parent is not None
    assert handling.context.span_id == request.parent.span_id
    assert "somebody" not in all_of(request) + all_of(handling)


@pytest.mark.parametrize("outcome", [Answer(status=503), Failure(reason="connection broke", ambiguous=True)])
def test_request_that_fails_fails_its_span(
    tracing: Tracing, exporter: InMemorySpanExporter, outcome: Answer | Failure
) -> None:
    """A status from 400 on, and no answer at all."""
    with tracing.sending(REQUEST) as answered:
        answered(outcome)
    (span,) = exporter.get_finished_spans()
    assert not span.status.is_ok


def run(code: str) -> str:
    """What a process of its own prints, since a tracer provider can be set but once."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "" == done.stderr
    return done.stdout


TRACED_BOT = """if True:
    import asyncio
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from kochava_bot_middleware import KochavaMiddleware
    from kochava_bot_middleware.messenger.events import MessageEvent
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    kochava = KochavaMiddleware.from_dict({"kochava_app_id": "koapp", "store": "memory://", "worker": "separate"})

    async def handle(_event):
        pass

    async def handled():
        await kochava.start()
        await kochava.chain_layer.receive(MessageEvent(), handle)
        await kochava.stop()
        print([span.name for span in exporter.get_finished_spans()])
    """


def test_provider_that_is_set_before_the_start_gets_spans() -> None:
    """The middleware is often created before the application has set it."""
    code = f"{TRACED_BOT}\n    trace.set_tracer_provider(provider)\n    asyncio.run(handled())"
    assert "['handle message']\n" == run(code)


def test_provider_that_is_set_later_gets_spans_after_the_next_start() -> None:
    """Whether anything is traced is decided once, so that an event costs nothing while nothing is."""
    code = f"""{TRACED_BOT}
    asyncio.run(handled())
    trace.set_tracer_provider(provider)
    asyncio.run(handled())"""
    assert "[]\n['handle message']\n" == run(code)


def test_tracing_is_off_without_its_library() -> None:
    """`if_set_up` returns none, and the error of the class says what to install."""
    code = """if True:
        import sys
        sys.modules["opentelemetry"] = sys.modules["opentelemetry.trace"] = None
        from kochava_bot_middleware.exceptions import KochavaBotError
        from kochava_bot_middleware.telemetry.opentelemetry import Tracing
        print(Tracing.if_set_up())
        try:
            Tracing()
        except KochavaBotError as exc:
            print(exc)
        """
    none, message = run(code).splitlines()
    assert ("None", True) == (none, "kochava-bot-middleware[otel]" in message)
