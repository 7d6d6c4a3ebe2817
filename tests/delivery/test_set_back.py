"""The store's clock is set back while records wait."""

from __future__ import annotations

from typing import Any

import pytest

from kochava_bot_middleware.delivery.horizon import Horizon
from kochava_bot_middleware.delivery.settings import DeliverySettings
from kochava_bot_middleware.kochava.client import Answer
from kochava_bot_middleware.kochava.destination import Destination
from kochava_bot_middleware.store.memory import MemoryStore
from tests.delivery.harness import BUSY, OK, WIRE, ShakyStore, World, event
from tests.fakes import ServersClock, VirtualClock

HOUR = 3600.0
DAY = 24 * HOUR


class ServedWorld(World):
    """A worker whose store is on another machine."""

    def __init__(self) -> None:
        super().__init__()
        self.servers_clock = ServersClock(self.clock)
        store = ShakyStore(self.clock)
        MemoryStore.__init__(store, clock=self.servers_clock)
        self.store = store
        self.worker = self.another_worker()


async def test_records_in_backoff_are_not_delayed_by_a_clock_set_back_by_an_hour() -> None:
    """With the settings as they are by default."""
    world = ServedWorld()
    world.sender.answer = lambda _request: BUSY
    async with world.running():
        await world.append(*(event(1, user=f"u{number}") for number in range(20)))
        await world.clock.advance(20)
        assert 0 == (await world.stats()).done
        world.sender.answer = lambda _request: OK
        world.servers_clock.ahead = -HOUR
        await world.clock.advance(100)
        assert 20 == (await world.stats()).done


async def test_records_that_nobody_claimed_yet_are_not_delayed_by_a_clock_set_back_by_an_hour() -> None:
    """They were due at once when the clock was an hour ahead."""
    world = ServedWorld()
    world.servers_clock.ahead = HOUR
    await world.append(*(event(1, user=f"u{number}") for number in range(20)))
    world.servers_clock.ahead = 0.0
    async with world.running():
        await world.clock.advance(2)
        assert 20 == (await world.stats()).done


async def test_the_whole_machines_clock_is_set_back() -> None:
    """The worker's own clock is the store's."""
    world = World()
    world.sender.answer = lambda _request: BUSY
    async with world.running():
        await world.append(*(event(1, user=f"u{number}") for number in range(20)))
        await world.clock.advance(20)
        world.sender.answer = lambda _request: OK
        world.clock.jump(-HOUR)
        await world.clock.advance(100)
        assert 20 == (await world.stats()).done


async def test_a_request_under_way_is_not_repeated_by_another_worker_when_the_clock_is_set_back() -> None:
    """Its lease is far ahead then, but its owner lives."""
    world = ServedWorld()
    world.sender.going_on.clear()
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(1)
        world.servers_clock.ahead = -HOUR
        world.worker, first = world.another_worker(), world.worker
        async with world.running():
            await world.clock.advance(5)
            world.sender.going_on.set()
            await world.clock.advance(5)
        world.worker = first
        assert (1, 1) == (len(world.sender.requests), (await world.stats()).done)


async def test_a_long_rest_that_kochava_asks_for_is_not_taken_for_a_clock_set_back() -> None:
    """The record is left alone meanwhile, though other destinations are served."""
    world = World(destinations=[Destination(app_id=app, wire=WIRE) for app in ("koone", "kotwo")], poll_seconds=60.0)
    answers = iter([Answer(status=429, retry_after=str(2 * HOUR))])
    world.sender.answer = lambda _request: next(answers, OK)
    async with world.running():
        await world.append(event(1, app="koone"))
        await world.clock.advance(1)
        await world.append(event(1, app="kotwo"))
        await world.clock.advance(60)
        (row,) = await world.store.browse("track")
        assert ("koone/u1", 1) == (row.entry.lane, row.attempts)
        await world.clock.advance(3 * HOUR)
        assert 2 == (await world.stats()).done


@pytest.mark.parametrize(
    ("settings", "longest"),
    [
        ({}, 1801.0),
        ({"retry_waits_seconds": [7.0], "refused_waits_seconds": [200.0]}, 302.0),
        ({"retry_waits_seconds": [7.0], "probe_waits_seconds": [1000.0]}, 1502.0),
        ({"rate_per_second": 0.0001}, 15002.0),
        ({"lease_seconds": 4000.0}, 4000.0),
        ({"unknown_wait_seconds": 5000.0}, 5000.0),
    ],
)
def test_horizon_is_half_as_far_again_as_the_longest_wait(settings: dict[str, Any], longest: float) -> None:
    """Whichever of the settings that is."""
    horizon = Horizon(DeliverySettings(**settings), VirtualClock())
    assert 1.5 * longest == horizon.seconds()


def test_horizon_goes_as_far_as_what_was_put_off() -> None:
    """It comes nearer as time passes, and never nearer than the settings say."""
    clock = VirtualClock()
    horizon = Horizon(DeliverySettings(), clock)
    horizon.note(DAY)
    horizon.note(7.0)
    assert 1.5 * DAY == horizon.seconds()
    clock.stall(HOUR)
    clock.jump(-HOUR)
    assert 1.5 * (DAY - HOUR) == horizon.seconds()
    clock.stall(DAY)
    assert 1.5 * 1801.0 == horizon.seconds()
