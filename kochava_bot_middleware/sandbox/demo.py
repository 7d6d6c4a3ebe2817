"""``kochava-bot demo --headless``: a scripted conversation, traffic, an outage of Kochava, and an audit."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import attrs

from ..clock import Clock
from ..settings import at_least
from ..store.records import OUTBOX, QueueStats
from .environment import DemoEnvironment, demo_environment
from .kochava.server import LocalKochava
from .processes import ChildProcess
from .scenario import Write, run_scenario
from .traffic import Traffic

DRAIN_SECONDS = 60.0
"""After so long, what is still not delivered is reported as missing."""

KILLED_AFTER_SECONDS = (0.0, 0.8)
"""Shortest and longest time from the start of a process to its kill."""


@attrs.frozen(kw_only=True)
class DemoSettings:
    """How many users chat and how long, before and during the outage, and how often the bot is killed before it."""

    people: int = attrs.field(default=40, validator=at_least(1))
    seconds: float = attrs.field(default=3.0, validator=at_least(0, exclusive=True))
    seed: int = 1
    kills: int = attrs.field(default=0, validator=at_least(0))


async def run_demo(
    settings: DemoSettings, write: Write, *, new_kochava: Callable[..., LocalKochava] = LocalKochava
) -> bool:
    """
    Run the whole demo in a temporary folder; returns whether no event is missing, doubled or out of order.

    Raises:
        ProcessFailed: The bot did not start.
        ScenarioFailed: A step of the conversation was not completed.
    """
    killed = settings.kills > 0
    with tempfile.TemporaryDirectory(prefix="kochava-bot-demo-") as folder:
        async with demo_environment(
            Path(folder), seed=settings.seed, short_leases=killed, new_kochava=new_kochava
        ) as environment:
            await environment.start_bot()
            _introduce(environment, write)
            await run_scenario(environment, write)
            traffic = Traffic(
                people=[environment.messenger.person() for _ in range(settings.people)],
                chance=random.Random(settings.seed),  # noqa: S311
                clock=environment.messenger.clock,
            )
            await _chat(environment, traffic, settings, write)
            await _outage(environment, traffic, settings, write)
            audit = environment.audit(killed=killed)
            await environment.bot.stop()
    write("")
    write("The audit:")
    for line in audit.lines():
        write(f"   {line}")
    if not audit.is_good:
        write("The audit FAILED.")
    else:
        write("Nothing was lost." if audit.killed else "Every event was received exactly once, in order.")
    return audit.is_good


def _introduce(environment: DemoEnvironment, write: Write) -> None:
    messenger, kochava, bot = environment.messenger, environment.kochava, environment.bot
    write("Three servers run on this machine; nothing is sent to any other:")
    write(f"   Messenger  {messenger.url}  stands in for graph.facebook.com and its webhooks")
    write(f"   Kochava    {kochava.url}  stands in for control.kochava.com and acme.smart.link")
    write(f"   the bot    {messenger.webhook_url}  a small shop, process {bot.process_id}")
    write("")


async def _chat(environment: DemoEnvironment, traffic: Traffic, settings: DemoSettings, write: Write) -> None:
    write("")
    write(f"Now {settings.people} users chat at the same time.")
    if settings.kills:
        write(f"   Meanwhile the bot is killed (SIGKILL) and started again, {settings.kills} times.")
    killing = kill_repeatedly(
        environment.bot,
        environment.start_bot,
        kills=settings.kills,
        chance=random.Random(settings.seed),  # noqa: S311
        clock=environment.messenger.clock,
    )
    await chat_while(killing, traffic, settings.seconds)
    await environment.drained(within_seconds=DRAIN_SECONDS)
    await _write_figures(environment, write)


async def chat_while(killing: Coroutine[Any, Any, None], traffic: Traffic, seconds: float) -> None:
    """Let all users chat for so long, and again as long as *killing* takes."""
    task = asyncio.create_task(killing)
    try:
        await traffic.chat(seconds)
        while not task.done():
            await traffic.chat(seconds)
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def kill_repeatedly(
    process: ChildProcess, start: Callable[[], Awaitable[object]], *, kills: int, chance: random.Random, clock: Clock
) -> None:
    """Kill a process at random moments, and start it again each time."""
    for _ in range(kills):
        await clock.sleep(chance.uniform(*KILLED_AFTER_SECONDS))
        await process.kill()
        await start()


async def _outage(environment: DemoEnvironment, traffic: Traffic, settings: DemoSettings, write: Write) -> None:
    messenger = environment.messenger
    clock = messenger.clock
    write("")
    write("Now Kochava goes down: its port is closed. The users go on chatting.")
    await environment.kochava.down()
    before = len(messenger.acknowledged)
    await traffic.chat(settings.seconds)
    counts = await environment.counts()
    waiting = sum(counts[queue].waiting + counts[queue].in_flight for queue in OUTBOX)
    write(f"   {len(messenger.acknowledged) - before} more webhooks were answered 200; {waiting} records wait.")
    write("Kochava is up again.")
    await environment.kochava.up()
    began = clock.monotonic()
    if await environment.drained(within_seconds=DRAIN_SECONDS):
        write(f"   {clock.monotonic() - began:.1f} s later all records are delivered.")
    else:
        write(f"   After {DRAIN_SECONDS:g} s there are still records that wait. The end of the bot's log:")
        write(environment.bot.log_end())


async def _write_figures(environment: DemoEnvironment, write: Write) -> None:
    messenger, kochava = environment.messenger, environment.kochava
    answered = messenger.acknowledged
    redeliveries = sum(outcome.attempts - 1 for outcome in answered)
    rows = [
        ("webhooks answered 200", f"{len(answered)}, with {redeliveries} redeliveries"),
        ("time to that answer", _latencies(messenger.webhooks.answer_seconds)),
        ("messages sent by the bot", f"{len(messenger.sent)}"),
        ("events at Kochava", f"{len(kochava.events)}"),
        ("impressions", f"{len(kochava.impressions)}"),
        ("clicks", f"{len(kochava.clicks)}"),
        ("SmartLink clicks", f"{len(kochava.smartlink_clicks)}"),
    ]
    counts = await environment.counts()
    rows += [(f"store, {queue}", _sums(count)) for queue, count in counts.items()]
    for name, value in rows:
        write(f"   {name:<26}{value}")


def _latencies(seconds: Sequence[float]) -> str:
    """Median, 99th percentile and maximum, in milliseconds."""
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    median, late = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.99))
    return f"median {median * 1000:.1f} ms, 99 % within {late * 1000:.1f} ms, maximum {ordered[-1] * 1000:.1f} ms"


def _sums(stats: QueueStats) -> str:
    """The counts of one queue, which add up."""
    states = ("done", "waiting", "in_flight", "dead", "dropped")
    parts = [(getattr(stats, name), name.replace("_", " ")) for name in states]
    summed = " + ".join(f"{count} {name}" for count, name in parts if count or name == "done")
    return f"{stats.accepted} accepted = {summed}"
