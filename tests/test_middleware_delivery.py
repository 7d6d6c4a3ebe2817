"""The worker of a middleware, inside its process and elsewhere."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.messenger.events import Event, MessageEvent
from kochava_bot_middleware.store.records import Committed, Unit
from kochava_bot_middleware.telemetry.prometheus import Metrics
from kochava_bot_middleware.testing import LocalKochava


class SignallingMetrics(Metrics):
    """Metrics that signal the first settlement."""

    def __init__(self) -> None:
        super().__init__()
        self.settled = asyncio.Event()

    def committed(self, unit: Unit, answer: Committed | None, seconds: float) -> None:
        super().committed(unit, answer, seconds)
        if unit.settlements:
            self.settled.set()


async def test_metrics_of_a_bot_with_its_own_worker(tmp_path: Path) -> None:
    """The handling, the commit, the request and the delivery are all counted."""
    metrics = SignallingMetrics()
    async with LocalKochava(app_ids=["koapp"]) as kochava:
        middleware = KochavaMiddleware.from_dict(
            {
                "kochava_app_id": "koapp",
                "store": f"sqlite:///{tmp_path / 'bot.db'}",
                **kochava.settings(),
            },
            observer=metrics,
        )
        metrics.watch(middleware)
        await middleware.start()

        async def handle(event: Event) -> None:
            await middleware.track("Purchase")

        event = MessageEvent(user_id="5", page_id="1", timestamp=None, raw={}, mid="m_1", text="hello")
        await middleware.chain_layer.receive(event, handle)
        async with asyncio.timeout(20):
            await metrics.settled.wait()
        await middleware.stop()
    text = (await metrics.text()).decode()
    assert 'kochava_bot_handling_seconds_count{kind="message"} 1.0' in text
    assert 'kochava_bot_accepted_total{queue="track"} 1.0' in text
    assert 'kochava_bot_delivered_total{queue="track"} 1.0' in text
    assert 'kochava_bot_request_seconds_count{answer="2xx"' in text
    assert 'kochava_bot_recorded_total{kind="engagement"} 1.0' in text


class RecordingSender:
    """A `RequestSender` that sends nothing, and keeps what it was given."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[WireRequest] = asyncio.Queue()

    async def send(self, request: WireRequest) -> Answer | Failure:
        self.requests.put_nowait(request)
        return Answer(status=200, start=b'{"success":"1"}')


async def test_a_worker_sends_through_any_sender() -> None:
    """What is tracked arrives there as the request that Kochava would have got."""
    sender = RecordingSender()
    kochava = KochavaMiddleware.from_dict(
        {"kochava_app_id": "kobotdemo1234", "store": "memory://", "worker": "separate"}
    )
    await kochava.start()
    worker = kochava.runtime.make_worker(sender)
    working = asyncio.create_task(worker.run())
    await kochava.track("Purchase", user_id="5")
    async with asyncio.timeout(20):
        request = await sender.requests.get()
    await worker.stop(20)
    await working
    await kochava.stop()
    assert "Purchase" == json.loads(request.body or b"")["data"]["event_name"]
