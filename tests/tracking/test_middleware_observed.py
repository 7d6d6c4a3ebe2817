"""What an observer of the middleware is told."""

from __future__ import annotations

from pathlib import Path

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.messenger.events import Event, MessageEvent
from kochava_bot_middleware.telemetry.prometheus import Metrics
from kochava_bot_middleware.testing import LocalKochava


async def test_metrics_of_a_bot_with_its_own_worker(tmp_path: Path) -> None:
    """The handling, the commit, the request and the delivery are all told."""
    metrics = Metrics()
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
        await middleware.receive(event, handle)
        while not kochava.events:
            await kochava.clock.sleep(0.02)
        await middleware.stop()
    told = (await metrics.text()).decode()
    assert 'kochava_bot_handling_seconds_count{kind="message"} 1.0' in told
    assert 'kochava_bot_accepted_total{queue="track"} 1.0' in told
    assert 'kochava_bot_delivered_total{queue="track"} 1.0' in told
    assert 'kochava_bot_request_seconds_count{answer="2xx"' in told
    assert 'kochava_bot_recorded_total{kind="engagement"} 1.0' in told
