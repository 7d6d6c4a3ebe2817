"""``kochava-bot demo --headless``: a story, a crowd, an outage, and the check that nothing is missing."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import attrs

from ..clock import Clock
from ..store.records import Queue
from .books import Audit, audit
from .crowd import Crowd
from .figures import write_figures
from .kochava_server import LocalKochava
from .shop_process import Child
from .story import Write, tell_story
from .town import SHORT, Leases, Town, town

DRAIN_SECONDS = 60.0
"""After so long, what is still not delivered is called missing."""

KILLED_AFTER_SECONDS = (0.0, 0.8)
"""How long a process lives that is going to be killed, from the moment it is ready."""


@attrs.frozen(kw_only=True)
class DemoSettings:
    """
    How large the demo is.

    Attributes:
        people: How many chat at the same time.
        seconds: How long each of the two chats lasts: before the outage, and in it.
        seed: Of everything that happens by chance.
        kills: How often the bot is killed while people chat, and started again.
    """

    people: int = 40
    seconds: float = 3.0
    seed: int = 1
    kills: int = 0


async def run_demo(
    settings: DemoSettings, write: Write, *, new_kochava: Callable[..., LocalKochava] = LocalKochava
) -> bool:
    """
    Run the whole demo in a temporary folder, which is removed at the end.

    Args:
        write: Takes each line.
        new_kochava: Makes the local Kochava.

    Returns:
        Whether the books balance: nothing missing, doubled, or out of its lane's order.

    Raises:
        ChildFailed: The bot did not start.
        StoryFailed: A step of the story went wrong.
    """
    leases = SHORT if settings.kills else Leases()
    with tempfile.TemporaryDirectory(prefix="kochava-bot-demo-") as folder:
        async with town(Path(folder), seed=settings.seed, leases=leases, new_kochava=new_kochava) as place:
            await place.open_shop()
            _introduce(place, write)
            await tell_story(place, write)
            crowd = _crowd(place, settings)
            await _chat(place, crowd, settings, write)
            await _outage(place, crowd, settings, write)
            judgement = judge(place, killed=settings.kills > 0)
            await place.shop.stop()
    write("")
    write("The books:")
    for line in judgement.lines():
        write(f"   {line}")
    write(_conclusion(judgement))
    return judgement.is_good


def judge(place: Town, *, killed: bool = False) -> Audit:
    """Compare what Messenger was promised with what Kochava got."""
    messenger, kochava = place.messenger, place.kochava
    return audit(
        messenger.acknowledged,
        kochava.records,
        abandoned=messenger.abandoned,
        rejections=kochava.rejections,
        refused=messenger.refused,
        killed=killed,
    )


def _conclusion(judgement: Audit) -> str:
    if not judgement.is_good:
        return "The books do NOT balance."
    return "Nothing is lost." if judgement.killed else "The books balance exactly."


def _introduce(place: Town, write: Write) -> None:
    write("Three servers run on this machine, and nothing leaves it:")
    write(f"   Messenger  {place.messenger.url}  stands in for graph.facebook.com and its webhooks")
    write(f"   Kochava    {place.kochava.url}  stands in for control.kochava.com and acme.smart.link")
    write(f"   the bot    {place.messenger.webhook_url}  an example shop, process {place.shop.process_id}")
    write("")


def _crowd(place: Town, settings: DemoSettings) -> Crowd:
    people = [place.messenger.person() for _ in range(settings.people)]
    return Crowd(people=people, chance=random.Random(settings.seed), clock=place.messenger.clock)  # noqa: S311


async def _chat(place: Town, crowd: Crowd, settings: DemoSettings, write: Write) -> None:
    write("")
    write(f"Now {settings.people} people chat at the same time.")
    if settings.kills:
        write(f"   Meanwhile the bot is killed (SIGKILL) and started again, {settings.kills} times.")
    deaths = kill_again_and_again(
        place.shop,
        place.open_shop,
        kills=settings.kills,
        chance=random.Random(settings.seed),  # noqa: S311
        clock=place.messenger.clock,
    )
    await chat_and_kill(crowd, settings.seconds, deaths)
    await place.drained(within_seconds=DRAIN_SECONDS)
    await write_figures(place, write)


async def chat_and_kill(crowd: Crowd, seconds: float, killing: Coroutine[Any, Any, None]) -> None:
    """Let the crowd chat for so long, and again as long as *killing* goes on."""
    deaths = asyncio.create_task(killing)
    try:
        await crowd.chat(seconds)
        while not deaths.done():
            await crowd.chat(seconds)
        await deaths
    finally:
        deaths.cancel()
        await asyncio.gather(deaths, return_exceptions=True)


async def kill_again_and_again(
    child: Child, start: Callable[[], Awaitable[object]], *, kills: int, chance: random.Random, clock: Clock
) -> None:
    """Kill a process at random moments, and start it again each time."""
    for _ in range(kills):
        await clock.sleep(chance.uniform(*KILLED_AFTER_SECONDS))
        await child.kill()
        await start()


async def _outage(place: Town, crowd: Crowd, settings: DemoSettings, write: Write) -> None:
    clock = place.messenger.clock
    write("")
    write("Now Kochava goes down: its port is closed. People go on chatting.")
    await place.kochava.down()
    before = len(place.messenger.acknowledged)
    await crowd.chat(settings.seconds)
    counts = await place.counts()
    waiting = sum(counts[queue].waiting + counts[queue].in_flight for queue in (Queue.TRACK, Queue.PING))
    write(f"   {len(place.messenger.acknowledged) - before} more webhooks were answered 200; {waiting} records wait.")
    write("Kochava is back.")
    await place.kochava.up()
    began = clock.monotonic()
    if await place.drained(within_seconds=DRAIN_SECONDS):
        write(f"   {clock.monotonic() - began:.1f} s later nothing waits any more.")
    else:
        write(f"   After {DRAIN_SECONDS:g} s there are still records that wait. The end of the bot's log:")
        write(place.shop.log_end())
