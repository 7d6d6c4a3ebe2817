"""
A child process: a bot, a worker, or both, which kills itself where its plan says.

It reports what it does in lines of its standard output, one write each, so that their order is right also between
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
from kochava_bot_middleware.store.records import OUTBOX, Committed, CommitVerdict, Outcome, Unit
from kochava_bot_middleware.store.wrapper import StoreWrapper
from tests.faults import entries
from tests.faults.history import StepKind
from tests.faults.kill_points import KillPoint, KillPoints, MiddlewareWithPoint, SenderWithPoints, StoreWithPoints

SENDER_HEADER = "X-Sender"
READY, KILLING_ITSELF, STOPPED = "ready", "killing itself", "stopped"
LATE_SECONDS = 0.3
"""Only a process that is stopped takes so long from one line to the next; a lease is much longer."""

FINAL_OUTCOMES = (Outcome.DONE, Outcome.DEAD, Outcome.DROPPED)


@attrs.frozen(kw_only=True)
class ChildPlan:
    """
    What a child process is, and where it kills itself.

    Attributes:
        name: Unlike that of all others.
        store: The address of its store.
        settings: With the tables ``bot`` and ``kochava``.
        is_bot: Whether it takes webhooks.
        is_worker: Whether it delivers.
        kills: At which passage of a point it kills itself.
        jumps: From this monotonic time on the wall clock is so many seconds ahead. That time is the whole machine's.
        handler_seconds: How long a handler takes.
    """

    name: str
    store: str
    settings: Mapping[str, Any]
    is_bot: bool = False
    is_worker: bool = False
    kills: Mapping[str, int] = attrs.field(factory=dict)
    jumps: Sequence[tuple[float, float]] = ()
    handler_seconds: float = 0.0


def report(*words: Any) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


class JumpingClock(SystemClock):
    """
    The clock of a machine whose wall clock is set again and again.

    Attributes:
        read_at: The monotonic time when it was last read.
    """

    def __init__(self, jumps: Sequence[tuple[float, float]]) -> None:
        self.read_at = 0.0
        self._jumps = sorted((after, ahead) for after, ahead in jumps)

    def monotonic(self) -> float:
        self.read_at = super().monotonic()
        return self.read_at

    def now(self) -> float:
        passed = [ahead for after, ahead in self._jumps if after <= self.monotonic()]
        return super().now() + (passed[-1] if passed else 0.0)


class ReportingStore(StoreWrapper):
    """Reports which records it has settled."""

    def __init__(self, inner: Store, name: str) -> None:
        super().__init__(inner)
        self._name = name

    async def commit(self, unit: Unit) -> Committed:
        committed = await super().commit(unit)
        if committed.verdict is CommitVerdict.COMMITTED:
            for settlement in unit.settlements:
                stored = settlement.claim.entry
                if stored.queue in OUTBOX and settlement.outcome in FINAL_OUTCOMES:
                    entry = entries.of_record(decode(stored.body))
                    report(StepKind.SETTLED.value, self._name, entry.lane, entry.label, settlement.outcome.value)
        return committed


class ReportingSender:
    """Reports what it is about to send, and when it cannot know whether it arrived."""

    def __init__(self, inner: RequestSender, name: str, clock: JumpingClock) -> None:
        self._inner = inner
        self._name = name
        self._clock = clock

    async def send(self, request: WireRequest) -> Answer | Failure:
        entry = entries.of_request(request.url, request.body)
        # The worker last read the clock when it checked its lease.
        checked_at = self._clock.read_at
        is_late = self._clock.monotonic() - checked_at > LATE_SECONDS
        self._report(StepKind.BEGAN_LATE if is_late else StepKind.BEGAN, entry)
        named = attrs.evolve(request, headers={**request.headers, SENDER_HEADER: self._name})
        outcome = await self._inner.send(named)
        if outcome.ambiguous if isinstance(outcome, Failure) else not outcome.complete:
            self._report(StepKind.UNSURE, entry)
        return outcome

    def _report(self, kind: StepKind, entry: AuditEntry) -> None:
        report(kind.value, self._name, entry.lane, entry.label, "")


def make_bot(plan: ChildPlan, kochava: KochavaMiddleware, points: KillPoints, clock: SystemClock) -> MessengerBot:
    bot = MessengerBot.from_dict(plan.settings["bot"], clock=clock)
    bot.add_middleware(kochava)
    bot.add_middleware(MiddlewareWithPoint(points))

    @bot.on_postback("GET_STARTED")
    @kochava.greeting
    @kochava.event(entries.STARTED, data=lambda event, _result: {"id": event.mid})
    async def greet(_event: Any, reply: Any) -> None:
        await reply.text("Hello!")

    @bot.on_message()
    @kochava.event(entries.SAID, data=lambda event, _result: {"id": event.mid})
    async def hear(_event: Any, _reply: Any) -> None:
        await clock.sleep(plan.handler_seconds)

    return bot


async def serve(plan: ChildPlan) -> None:
    """Work until SIGTERM, or until the planned kill."""

    def kill(point: KillPoint) -> None:
        report(KILLING_ITSELF, plan.name, point)
        os.kill(os.getpid(), signal.SIGKILL)

    points = KillPoints({KillPoint(name): count for name, count in plan.kills.items()}, kill=kill)
    clock = JumpingClock(plan.jumps)
    store = StoreWithPoints(ReportingStore(open_store(plan.store, clock=clock), plan.name), points)
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
            sender: RequestSender = ReportingSender(SenderWithPoints(client, points), plan.name, clock)
            worker = kochava.runtime.make_worker(sender)
            running = asyncio.create_task(worker.run())
            stack.push_async_callback(worker.stop, 5.0)
            running.add_done_callback(lambda _task: end.set())
        report(READY, plan.name, url)
        await end.wait()
    report(STOPPED, plan.name)


def run(plan: ChildPlan) -> None:
    """Run a forked process."""
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {plan.name} %(levelname)s %(name)s: %(message)s")
    asyncio.run(serve(plan))
