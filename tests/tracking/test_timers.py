"""Waits for a delivery event while a clock is set, or two clocks differ."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Queue
from tests.fakes import ServersClock, VirtualClock
from tests.tracking.tracked_bot import GREETING, TrackedBot, body_to, tracked_bot

HOUR = 3600.0


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


async def impressions(bot: TrackedBot) -> int:
    return len(await bot.records(Queue.PING))


async def test_a_wait_is_not_delayed_by_a_clock_set_back(bot: TrackedBot, clock: VirtualClock) -> None:
    """The whole machine's clock: the wait would end an hour late."""
    await bot.send(body_to(), greeting=True)
    await clock.advance(10)
    clock.jump(-HOUR)
    await clock.advance(60)
    assert 1 == await impressions(bot)


async def test_a_wait_is_not_delayed_by_a_servers_clock_set_back(
    bot: TrackedBot, clock: VirtualClock, servers_clock: ServersClock
) -> None:
    """By the bot's own clock it ends when it should."""
    await bot.send(body_to(), greeting=True)
    await clock.advance(10)
    servers_clock.ahead = -HOUR
    await clock.advance(45)
    assert 0 == await impressions(bot)
    await clock.advance(10)
    assert 1 == await impressions(bot)


async def test_a_later_wait_does_not_delay_an_earlier_one(bot: TrackedBot, clock: VirtualClock) -> None:
    """It is the first by the clock as it is now."""
    await bot.send(body_to(), greeting=True)
    await clock.advance(50)
    clock.jump(-HOUR)
    await bot.send(body_to("u2"), greeting=True)
    await clock.advance(15)
    assert 1 == await impressions(bot)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR, -100.0, -1.0])
async def test_a_wait_ends_by_the_bots_clock_whatever_the_servers_is(
    bot: TrackedBot, clock: VirtualClock, servers_clock: ServersClock, ahead: float
) -> None:
    """Where that is far behind, each wait seems too long to the store, but is not ended before its time."""
    servers_clock.ahead = ahead
    await bot.send(body_to(), greeting=True)
    await clock.advance(55)
    assert 0 == await impressions(bot)
    await clock.advance(110)
    assert 1 == await impressions(bot)
