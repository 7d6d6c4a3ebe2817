"""
Waits for delivery events: in another process, late, while a clock is set, or with two clocks that differ.

A clock that is set back delays a wait. The sweep, which runs once a minute, bounds the delay by the longest wait.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Queue
from tests.fakes import ServersClock, VirtualClock
from tests.tracking.tracked_bot import GREETING, PAGE_ID, TrackedBot, body_to, tracked_bot

HOUR = 3600.0
DAY = 86400.0
SWEEP_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 2 * (60.0 + 30.0)
"""Twice the greeting's wait and the lease of a wait that is being ended."""


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def servers_clock(clock: VirtualClock) -> ServersClock:
    return ServersClock(clock)


@pytest.fixture
async def bot(clock: VirtualClock, servers_clock: ServersClock) -> AsyncIterator[TrackedBot]:
    """A running bot that has greeted; the wait of 60 seconds has begun."""
    bot = tracked_bot(clock, store=MemoryStore(clock=servers_clock), greeting=GREETING)
    await bot.kochava.start()
    yield bot
    await bot.kochava.stop()


async def pings(bot: TrackedBot) -> list[str]:
    return [record.kind for record in await bot.records(Queue.PING)]


async def test_a_clock_set_back_delays_a_wait_by_no_more_than_the_longest_wait(
    bot: TrackedBot, clock: VirtualClock
) -> None:
    """The whole machine's clock: without the sweep, the wait would end an hour late."""
    await bot.send(body_to(), greeting=True)
    await clock.advance(10)
    clock.jump(-HOUR)
    await clock.advance(SWEEP_SECONDS + LONGEST_WAIT_SECONDS)
    assert ["impression"] == await pings(bot)


async def test_a_servers_clock_set_back_delays_a_wait_by_no_more_than_the_longest_wait(
    bot: TrackedBot, clock: VirtualClock, servers_clock: ServersClock
) -> None:
    """By the bot's own clock it is not ended before its time."""
    await bot.send(body_to(), greeting=True)
    await clock.advance(10)
    servers_clock.ahead = -HOUR
    await clock.advance(45)
    assert [] == await pings(bot)
    await clock.advance(SWEEP_SECONDS + LONGEST_WAIT_SECONDS - 45)
    assert ["impression"] == await pings(bot)


async def test_a_wait_that_begins_after_a_clock_was_set_back_ends_in_time(bot: TrackedBot, clock: VirtualClock) -> None:
    """It is the first by the clock as it is now, and delays the earlier one no further."""
    await bot.send(body_to(), greeting=True)
    await clock.advance(50)
    clock.jump(-HOUR)
    await bot.send(body_to("u2"), greeting=True)
    await clock.advance(65)
    assert ["u2"] == [record.user_id for record in await bot.records(Queue.PING)]
    await clock.advance(SWEEP_SECONDS + LONGEST_WAIT_SECONDS - 65)
    assert ["impression", "impression"] == await pings(bot)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR, -100.0, -1.0])
async def test_a_wait_ends_by_the_bots_clock_whatever_the_servers_is(
    bot: TrackedBot, clock: VirtualClock, servers_clock: ServersClock, ahead: float
) -> None:
    """Where that is far behind, each wait seems too long to the store, but is not ended before its time."""
    servers_clock.ahead = ahead
    await bot.send(body_to(), greeting=True)
    await clock.advance(55)
    assert [] == await pings(bot)
    await clock.advance(110)
    assert ["impression"] == await pings(bot)


async def wait(bot: TrackedBot, seconds: float) -> None:
    """Let time pass while the middleware's timers run."""
    await bot.kochava.start()
    await bot.clock.advance(seconds)


def with_greeting(**more: Any) -> TrackedBot:
    return tracked_bot(greeting={**GREETING, **more})


async def test_a_wait_goes_on_in_another_process() -> None:
    """It is in the store, and its greeting counts once although both processes live."""
    bot = with_greeting()
    await bot.send(body_to(), greeting=True)
    other = bot.restarted()
    await bot.kochava.start()
    await other.kochava.start()
    await bot.clock.advance(70)
    assert ["impression"] == await pings(bot)
    assert 1 == (await bot.store.stats())[Queue.TIMER].done
    await bot.kochava.stop()
    await other.kochava.stop()


async def test_a_wait_that_ends_days_late_gives_no_impression() -> None:
    """The bot was down for days; a ping carries no time, so it would be counted on the wrong day."""
    bot = with_greeting()
    await bot.send(body_to(), greeting=True)
    bot.clock.stall(3 * DAY)
    await wait(bot, 1)
    assert [] == await pings(bot)
    assert 1 == (await bot.store.stats())[Queue.TIMER].dropped
    await bot.kochava.stop()


async def test_a_wait_of_a_page_that_belongs_to_another_app_now_is_dropped() -> None:
    """Its greeting was counted for the former app, so the new one must not get it."""
    bot = with_greeting()
    await bot.send(body_to(), greeting=True)
    moved = TrackedBot(
        settings={**bot.settings, "pages": {PAGE_ID: {"kochava_app_id": "koother"}}}, clock=bot.clock, store=bot.store
    )
    await wait(moved, 70)
    timers = (await bot.store.stats())[Queue.TIMER]
    assert ([], 1, 0) == (await pings(bot), timers.dropped, timers.done)
    await moved.kochava.stop()
