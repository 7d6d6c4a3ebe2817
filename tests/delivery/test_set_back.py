"""The store's clock is set back while records wait."""

from __future__ import annotations

from typing import Any

import pytest

from kochava_bot_middleware.delivery.attempt import Deliverer
from kochava_bot_middleware.delivery.retry import longest_wait_seconds
from kochava_bot_middleware.delivery.safeguards import Safeguards
from kochava_bot_middleware.delivery.settings import DeliverySettings
from kochava_bot_middleware.kochava.client import Answer
from kochava_bot_middleware.kochava.destination import Destination, Destinations
from kochava_bot_middleware.queues.claims import Claimed
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Claim
from tests.delivery.harness import BUSY, OK, TRACKERS, WIRE, FakeSender, ShakyStore, World, entry_of, event
from tests.fakes import ServersClock, VirtualClock

HOUR = 3600.0
DAY = 24 * HOUR
LONGEST = 1.5 * 1801.0
"""What the sweep says with the settings as they are by default."""
SWEEP = 60.0


class ServedWorld(World):
    """A worker whose store is on another machine."""

    def __init__(self) -> None:
        super().__init__(poll_seconds=5.0)
        self.servers_clock = ServersClock(self.clock)
        store = ShakyStore(self.clock)
        MemoryStore.__init__(store, clock=self.servers_clock)
        self.store = store
        self.worker = self.another_worker()


async def test_records_in_backoff_are_delayed_by_the_longest_wait_at_most() -> None:
    """Though the clock was set back by a day."""
    world = ServedWorld()
    world.sender.answer = lambda _request: BUSY
    async with world.running():
        await world.append(*(event(1, user=f"u{number}") for number in range(20)))
        await world.clock.advance(20)
        assert 0 == (await world.stats()).done
        world.sender.answer = lambda _request: OK
        world.servers_clock.ahead = -DAY
        await world.clock.advance(SWEEP + LONGEST + 100)
        assert 20 == (await world.stats()).done


async def test_records_that_nobody_claimed_yet_are_delayed_by_the_longest_wait_at_most() -> None:
    """They were due at once when the clock was a day ahead."""
    world = ServedWorld()
    world.servers_clock.ahead = DAY
    await world.append(*(event(1, user=f"u{number}") for number in range(20)))
    world.servers_clock.ahead = 0.0
    async with world.running():
        await world.clock.advance(LONGEST + 10)
        assert 20 == (await world.stats()).done


async def test_the_whole_machines_clock_is_set_back() -> None:
    """The worker's own clock is the store's."""
    world = World(poll_seconds=5.0)
    world.sender.answer = lambda _request: BUSY
    async with world.running():
        await world.append(*(event(1, user=f"u{number}") for number in range(20)))
        await world.clock.advance(20)
        world.sender.answer = lambda _request: OK
        world.clock.jump(-DAY)
        await world.clock.advance(SWEEP + LONGEST + 100)
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
    world = World(
        destinations=[Destination(app_id=app, wire=WIRE, trackers=TRACKERS) for app in ("koone", "kotwo")],
        poll_seconds=60.0,
    )
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
def test_the_longest_wait_is_that_of_the_settings(settings: dict[str, Any], longest: float) -> None:
    """Whichever of them that is."""
    assert longest == longest_wait_seconds(DeliverySettings(**settings))


async def test_the_longest_wait_grows_with_what_kochava_asked_for() -> None:
    """It shrinks as time passes, and never below that of the settings; half as much again for other workers'."""
    clock, sender = VirtualClock(), FakeSender()
    sender.answer = lambda _request: Answer(status=429, retry_after=str(DAY))
    deliverer = Deliverer(
        sender, Destinations([Destination(app_id="koapp", wire=WIRE, trackers=TRACKERS)]), clock=clock
    )
    assert LONGEST == deliverer.longest_wait_seconds()

    async def is_owned(_claimed: Claimed) -> bool:
        return True

    safeguards = Safeguards(
        MemoryStore(clock=clock), has_installs=False, is_owned=is_owned, begin=lambda _claimed: None
    )
    claim = Claim(entry=entry_of(event(1), at=clock.now()), token="token", attempt=1)
    settled = await deliverer.attempt(Claimed(claim=claim, asked_at=(clock.monotonic(), clock.now())), safeguards)
    assert settled is not None
    wait = settled.retry_after_seconds
    assert wait is not None
    assert wait > DAY
    assert pytest.approx(1.5 * wait) == deliverer.longest_wait_seconds()
    clock.stall(HOUR)
    clock.jump(-HOUR)
    assert pytest.approx(1.5 * (wait - HOUR)) == deliverer.longest_wait_seconds()
    clock.stall(2 * DAY)
    assert LONGEST == deliverer.longest_wait_seconds()
