"""The worker that a middleware makes for whoever runs it elsewhere."""

from __future__ import annotations

import asyncio
import json

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.wire import WireRequest


class Keeping:
    """A `Sender` of one's own: sends nothing, and keeps what it was given."""

    def __init__(self) -> None:
        self.requests: asyncio.Queue[WireRequest] = asyncio.Queue()

    async def send(self, request: WireRequest) -> Answer | Failure:
        self.requests.put_nowait(request)
        return Answer(status=200, start=b'{"success":"1"}')


async def test_a_worker_sends_through_any_sender() -> None:
    """What is tracked arrives there as the request that Kochava would have got."""
    sender = Keeping()
    kochava = KochavaMiddleware.from_dict(
        {"kochava_app_id": "kobotdemo1234", "store": "memory://", "worker": "separate"}
    )
    await kochava.start()
    worker = kochava.make_worker(sender)
    working = asyncio.create_task(worker.run())
    await kochava.track("Purchase", user_id="5")
    async with asyncio.timeout(20):
        request = await sender.requests.get()
    await worker.stop(20)
    await working
    await kochava.stop()
    assert "Purchase" == json.loads(request.body or b"")["data"]["event_name"]
