"""Waits for a delivery event while a clock is set, or two clocks differ."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Queue
from tests.fakes import ServersClock, VirtualClock
from tests.tracking.stage import GREETING, Stage, stage, to

HOUR = 3600.0


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def servers_clock(clock: VirtualClock) -> ServersClock:
    return ServersClock(clock)


@pytest.fixture
async def on(clock: VirtualClock, servers_clock: ServersClock) -> AsyncIterator[Stage]:
    """A running bot that has greeted; the wait of 60 seconds has begun."""
    on = stage(clock, store=MemoryStore(clock=servers_clock), greeting=GREETING)
    await on.kochava.start()
    yield on
    await on.kochava.stop()


async def impressions(on: Stage) -> int:
    return len(await on.records(Queue.PING))


async def test_a_wait_is_not_delayed_by_a_clock_set_back(on: Stage, clock: VirtualClock) -> None:
    """The whole machine's clock: the wait would end an hour late."""
    await on.send(to(), greeting=True)
    await clock.advance(10)
    clock.jump(-HOUR)
    await clock.advance(60)
    assert 1 == await impressions(on)


async def test_a_wait_is_not_delayed_by_a_servers_clock_set_back(
    on: Stage, clock: VirtualClock, servers_clock: ServersClock
) -> None:
    """By the bot's own clock it ends when it should."""
    await on.send(to(), greeting=True)
    await clock.advance(10)
    servers_clock.ahead = -HOUR
    await clock.advance(45)
    assert 0 == await impressions(on)
    await clock.advance(10)
    assert 1 == await impressions(on)


async def test_a_wait_that_began_later_does_not_hide_an_earlier_one(on: Stage, clock: VirtualClock) -> None:
    """It is the first by the clock as it is now."""
    await on.send(to(), greeting=True)
    await clock.advance(50)
    clock.jump(-HOUR)
    await on.send(to("u2"), greeting=True)
    await clock.advance(15)
    assert 1 == await impressions(on)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR, -100.0, -1.0])
async def test_a_wait_ends_by_the_bots_clock_whatever_the_servers_is(
    on: Stage, clock: VirtualClock, servers_clock: ServersClock, ahead: float
) -> None:
    """Where that is far behind, each wait seems too long to the store, but is not ended before its time."""
    servers_clock.ahead = ahead
    await on.send(to(), greeting=True)
    await clock.advance(55)
    assert 0 == await impressions(on)
    await clock.advance(110)
    assert 1 == await impressions(on)
