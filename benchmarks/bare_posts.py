"""
The floor of a worker, in a process of its own: an aiohttp loop that posts what was built beforehand, and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Iterable, Sequence

import aiohttp

from kochava_bot_middleware.kochava.destination import Destination, WireSettings
from kochava_bot_middleware.kochava.records import Engagement
from kochava_bot_middleware.kochava.wire import WireRequest, build_request

from .backlog import APP_ID, record

READY = "ready"


def destination(url: str) -> Destination:
    """The app the records are of, at *url*."""
    return Destination(app_id=APP_ID, wire=WireSettings(event_url=url))


def built(records: Iterable[Engagement], url: str) -> list[WireRequest]:
    """Their requests."""
    to = destination(url)
    return [build_request(each, to) for each in records]


async def post(requests: Sequence[WireRequest], concurrency: int) -> None:
    """Send them, so many at a time."""
    left = iter(requests)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

        async def hand() -> None:
            for request in left:
                async with session.post(request.url, data=request.body, headers=request.headers) as response:
                    assert response.status == 200
                    await response.read()

        await asyncio.gather(*(hand() for _ in range(concurrency)))


async def run(requests: Sequence[WireRequest], concurrency: int) -> None:
    """Send them, and end when told to, so that the processor time can be read until then."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    print(READY, flush=True)
    await post(requests, concurrency)
    await told.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    for name in ("first", "step", "count", "lanes", "concurrency"):
        parser.add_argument(name, type=int)
    arguments = parser.parse_args()
    numbers = range(arguments.first, arguments.count + 1, arguments.step)
    requests = built((record(number, arguments.lanes) for number in numbers), arguments.url)
    asyncio.run(run(requests, arguments.concurrency))


if __name__ == "__main__":
    main()
