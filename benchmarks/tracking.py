"""
What tracking costs the bot: the time of ``track()`` in a handler, and how late the event loop runs meanwhile.

Run ``python -m benchmarks.tracking``.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.messenger.events import Event, MessageEvent
from kochava_bot_middleware.store.records import Queue, QueueStats

from .backlog import NotDelivered
from .row import Row, table_of

USER_ID = "7012345678901234"
CALLS_EACH = 10
"""Events that one handler tracks."""

PER_SECOND = 200
TICK_SECONDS = 0.002


@asynccontextmanager
async def middleware(store: str) -> AsyncIterator[KochavaMiddleware]:
    kochava = KochavaMiddleware.from_dict({"kochava_app_id": "kobench", "store": store, "worker": "separate"})
    await kochava.start()
    try:
        yield kochava
    finally:
        await kochava.stop()


def purchase(number: int) -> dict[str, Any]:
    return {"id": f"sku-{number}", "name": "Shoes", "currency": "USD", "sum": 100, "quantity": 2}


def build_and_dump(number: int) -> bytes:
    """The floor of one call: the request's own dict, as bytes."""
    return orjson.dumps(
        {
            "data": {
                "device_ids": {"fb_user_id": USER_ID},
                "usertime": 1_767_225_600,
                "event_name": "Purchase",
                "event_data": purchase(number),
            },
            "action": "event",
            "kochava_app_id": "kobench",
        }
    )


async def call_microseconds(kochava: KochavaMiddleware, handlings: int) -> float:
    """Time of one ``track()`` within a handler."""
    spent = 0

    async def handler(_event: Event) -> None:
        nonlocal spent
        began = time.perf_counter_ns()
        for number in range(CALLS_EACH):
            await kochava.track("Purchase", purchase(number))
        spent += time.perf_counter_ns() - began

    for number in range(handlings):
        await kochava.chain_layer.receive(
            MessageEvent(page_id="1001", user_id=USER_ID, mid=f"m_{number}", text="hello"), handler
        )
    return spent / handlings / CALLS_EACH / 1000


def floor_microseconds(calls: int) -> float:
    began = time.perf_counter_ns()
    for number in range(calls):
        build_and_dump(number)
    return (time.perf_counter_ns() - began) / calls / 1000


async def lateness(seconds: float) -> float:
    """
    99th percentile of how late the loop comes to what is due every 2 ms, in milliseconds.

    The times are set beforehand, so that a long stop is counted for all that was due meanwhile, not once.
    """
    late = []
    due = time.perf_counter()
    ends = due + seconds
    while due < ends:
        due += TICK_SECONDS
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        late.append((time.perf_counter() - due) * 1000)
    return statistics.quantiles(late, n=100)[98]


async def track_on_and_on(kochava: KochavaMiddleware) -> None:
    """Events outside of handling, each a durable commit of its own, until cancelled."""
    loop = asyncio.get_running_loop()
    due, number = loop.time(), 0
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(kochava.track("Purchase", purchase(number), user_id=str(10**15 + number % 1000)))
            due, number = due + 1 / PER_SECOND, number + 1
            await asyncio.sleep(max(0.0, due - loop.time()))


async def busy_lateness(kochava: KochavaMiddleware, seconds: float) -> float:
    """
    While events are tracked.

    Raises:
        NotDelivered: Fewer events came to the store than should have, so that the figure is not about them.
    """
    before = await accepted(kochava)
    tracking = asyncio.create_task(track_on_and_on(kochava))
    try:
        late = await lateness(seconds)
    finally:
        tracking.cancel()
        await asyncio.wait({tracking})
    stored, wanted = await accepted(kochava) - before, PER_SECOND * seconds
    if stored < wanted * 0.95:
        msg = f"{stored} events came to the store in {seconds:g} s, where {wanted:g} should have"
        raise NotDelivered(msg)
    return late


async def accepted(kochava: KochavaMiddleware) -> int:
    """How many events the store has ever taken."""
    return (await kochava.provide_store().stats()).get(Queue.TRACK, QueueStats()).accepted


async def rows(rounds: int = 7, handlings: int = 200, seconds: float = 1.0) -> list[Row]:
    """The call, and the loop's lateness."""
    async with middleware("memory://") as kochava:
        calls = [
            (await call_microseconds(kochava, handlings), floor_microseconds(handlings * CALLS_EACH))
            for _ in range(rounds)
        ]
    with tempfile.TemporaryDirectory() as folder:
        async with middleware(f"sqlite:///{Path(folder) / 'late.db'}") as kochava:
            late = [(await busy_lateness(kochava, seconds), await lateness(seconds)) for _ in range(min(rounds, 3))]
    return [
        Row.of_rounds(calls, what="track() while handling", floor="build and dump the same dict", unit="µs", budget=6),
        Row.of_rounds(
            late, what=f"p99 lateness of a 2 ms tick at {PER_SECOND} events/s", floor="the same tick, idle", unit="ms"
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--handlings", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    Console().print(table_of(asyncio.run(rows(arguments.rounds, arguments.handlings, arguments.seconds))))


if __name__ == "__main__":
    main()
