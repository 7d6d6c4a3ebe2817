"""
One life of a process: a bot, a worker, or both, which dies where its plan says.

It tells what it does in lines of its standard output, one write each, so that they are in their true order also between
processes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import attrs
from aiohttp import web

from kochava_bot_middleware.bot import MessengerBot
from kochava_bot_middleware.clock import SystemClock
from kochava_bot_middleware.kochava.client import Answer, Failure, KochavaClient, RequestSender
from kochava_bot_middleware.kochava.records import decode
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.middleware import KochavaMiddleware
from kochava_bot_middleware.sandbox.audit import AuditEntry
from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.records import Committed, CommitVerdict, Outcome, Queue, Unit
from tests.faults import labels
from tests.faults.history import StepKind
from tests.faults.kill_points import (
    KillPoint,
    KillPoints,
    PointedHandling,
    PointedSender,
    PointedStore,
)

SENDER = "X-Life"
READY, DYING, ENDED = "ready", "dying", "ended"
STOPPED_SECONDS = 0.3
"""No process takes so long from one line to the next unless it is stopped; a lease has more than that to spare."""

SETTLING = (Outcome.DONE, Outcome.DEAD, Outcome.DROPPED)


@attrs.frozen(kw_only=True)
class Plan:
    """
    A life to come.

    Attributes:
        name: Unlike all others.
        store: Its address.
        settings: With the tables ``bot`` and ``kochava``.
        is_bot: Whether it takes webhooks.
        is_worker: Whether it delivers.
        deaths: At which passage of a point it dies.
        jumps: From this monotonic time on the wall clock is so many seconds ahead. That time is the whole machine's.
        handler_seconds: How long a handler takes.
    """

    name: str
    store: str
    settings: Mapping[str, Any]
    is_bot: bool = False
    is_worker: bool = False
    deaths: Mapping[str, int] = attrs.field(factory=dict)
    jumps: Sequence[tuple[float, float]] = ()
    handler_seconds: float = 0.0


def tell(*words: Any) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


class JumpingClock(SystemClock):
    """
    A machine's clock that somebody sets again and again.

    Attributes:
        looked_at: The monotonic time when somebody last looked at it.
    """

    def __init__(self, jumps: Sequence[tuple[float, float]]) -> None:
        self.looked_at = 0.0
        self._jumps = sorted((after, ahead) for after, ahead in jumps)

    def monotonic(self) -> float:
        self.looked_at = super().monotonic()
        return self.looked_at

    def now(self) -> float:
        passed = [ahead for after, ahead in self._jumps if after <= self.monotonic()]
        return super().now() + (passed[-1] if passed else 0.0)


class TellingStore(PointedStore):
    """Tells which records it has settled."""

    def __init__(self, inner: Store, name: str) -> None:
        super().__init__(inner, KillPoints({}, kill=lambda _point: None))
        self._name = name

    async def commit(self, unit: Unit) -> Committed:
        committed = await super().commit(unit)
        if committed.verdict is CommitVerdict.COMMITTED:
            for settlement in unit.settlements:
                stored = settlement.claim.entry
                if stored.queue in (Queue.TRACK, Queue.PING) and settlement.outcome in SETTLING:
                    entry = labels.of_record(decode(stored.body))
                    tell(StepKind.SETTLED.value, self._name, entry.lane, entry.label, settlement.outcome.value)
        return committed


class TellingSender:
    """Tells what it is about to send, and when it cannot know whether it arrived."""

    def __init__(self, inner: RequestSender, name: str, clock: JumpingClock) -> None:
        self._inner = inner
        self._name = name
        self._clock = clock

    async def send(self, request: WireRequest) -> Answer | Failure:
        entry = labels.of_request(request.url, request.body)
        # The worker's last look at the clock is its look at the lease.
        looked_at = self._clock.looked_at
        was_stopped = self._clock.monotonic() - looked_at > STOPPED_SECONDS
        self._tell(StepKind.BEGAN_LATE if was_stopped else StepKind.BEGAN, entry)
        named = attrs.evolve(request, headers={**request.headers, SENDER: self._name})
        outcome = await self._inner.send(named)
        if outcome.ambiguous if isinstance(outcome, Failure) else not outcome.complete:
            self._tell(StepKind.UNSURE, entry)
        return outcome

    def _tell(self, kind: StepKind, entry: AuditEntry) -> None:
        tell(kind.value, self._name, entry.lane, entry.label, "")


def make_bot(plan: Plan, kochava: KochavaMiddleware, points: KillPoints, clock: SystemClock) -> MessengerBot:
    bot = MessengerBot.from_dict(plan.settings["bot"], clock=clock)
    bot.add_middleware(kochava)
    bot.add_middleware(PointedHandling(points))

    @bot.on_postback("GET_STARTED")
    @kochava.greeting
    @kochava.event(labels.STARTED, data=lambda event, _result: {"id": event.mid})
    async def greet(_event: Any, reply: Any) -> None:
        await reply.text("Hello!")

    @bot.on_message()
    @kochava.event(labels.SAID, data=lambda event, _result: {"id": event.mid})
    async def hear(_event: Any, _reply: Any) -> None:
        await clock.sleep(plan.handler_seconds)

    return bot


async def live(plan: Plan) -> None:
    """Until SIGTERM, or the death that is planned."""

    def die(point: KillPoint) -> None:
        tell(DYING, plan.name, point)
        os.kill(os.getpid(), signal.SIGKILL)

    points = KillPoints({KillPoint(name): count for name, count in plan.deaths.items()}, kill=die)
    clock = JumpingClock(plan.jumps)
    store = PointedStore(TellingStore(open_store(plan.store, clock=clock), plan.name), points)
    mapping = {**plan.settings["kochava"], "store": plan.store, "worker": "separate"}
    kochava = KochavaMiddleware.from_dict(mapping, store=store, clock=clock)
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    async with AsyncExitStack() as stack:
        url = ""
        if plan.is_bot:
            runner = web.AppRunner(make_bot(plan, kochava, points, clock).app(), access_log=None)
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0]
            url = f"http://{host}:{port}/webhook"
        else:
            stack.push_async_callback(store.close)
            await store.open()
        if plan.is_worker:
            client = KochavaClient(timeout_seconds=kochava.settings.delivery.request_timeout_seconds)
            stack.push_async_callback(client.close)
            sender: RequestSender = TellingSender(PointedSender(client, points), plan.name, clock)
            worker = kochava.make_worker(sender)
            running = asyncio.create_task(worker.run())
            stack.push_async_callback(worker.stop, 5.0)
            running.add_done_callback(lambda _task: end.set())
        tell(READY, plan.name, url)
        await end.wait()
    tell(ENDED, plan.name)


def run(plan: Plan) -> None:
    """What a forked process does."""
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {plan.name} %(levelname)s %(name)s: %(message)s")
    asyncio.run(live(plan))
