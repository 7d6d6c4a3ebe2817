"""Events that wait in the inbox while the store's clock is set back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import attrs
import pytest

from kochava_bot_middleware.inbox.inbox import Inbox
from kochava_bot_middleware.inbox.settings import InboxSettings
from kochava_bot_middleware.inbox.stored_event import SCHEMA, entry_of
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.records import Lease, Queue, Unit
from tests.fakes import ServersClock, VirtualClock
from tests.inbox.inbox_fakes import Counter, message

HOUR = 3600.0
LEASE = Lease(queue=Queue.INBOX, seconds=30.0)


class World:
    """A store on another machine, whose clock was an hour ahead, and the inboxes of several processes."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.servers_clock = ServersClock(self.clock, HOUR)
        self.store = MemoryStore(clock=self.servers_clock)
        self.store.durable = True
        self.counter = Counter()
        self.inboxes: list[Inbox] = []

    async def start(self) -> Inbox:
        inbox = Inbox(store=self.store, dispatch=self.counter, settings=InboxSettings(), clock=self.clock)
        self.inboxes.append(inbox)
        await inbox.start()
        return inbox


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.counter.release()
    for inbox in world.inboxes:
        await inbox.stop(0)


async def test_event_that_nobody_holds_is_handled_in_time_to_be_answered(world: World) -> None:
    """It was released, or left behind, before the clock was set back by an hour."""
    await world.store.commit(Unit(appends=[entry_of(message("one"), world.clock.now())]))
    world.servers_clock.ahead = 0.0
    await world.start()
    await world.clock.advance(InboxSettings().rerun_within_seconds / 2)
    assert ["one"] == world.counter.ended


async def test_event_of_a_dead_process_is_taken_over_in_time_to_be_answered(world: World) -> None:
    """Its lease ends an hour ahead, but is made to end before the event is too old for its handler."""
    await world.store.commit(Unit(appends=[entry_of(message("one"), world.clock.now())], lease=LEASE))
    world.servers_clock.ahead = 0.0
    await world.start()
    await world.clock.advance(InboxSettings().rerun_within_seconds / 2)
    assert ["one"] == world.counter.ended


async def test_event_in_hand_is_not_taken_over(world: World) -> None:
    """Its process lives and renews, though its lease ends an hour ahead at first."""
    world.counter.hold("one")
    owner = await world.start()
    await owner.accept([message("one")])
    await world.counter.until(lambda: world.counter.begun == ["one"])
    world.servers_clock.ahead = 0.0
    await world.start()
    await world.clock.advance(600)
    world.counter.release()
    async with asyncio.timeout(10):
        await world.counter.until(lambda: world.counter.ended == ["one"])
    assert {"one": [1]} == world.counter.attempts


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
async def test_event_that_is_left_to_a_newer_release_waits_by_the_stores_clock(world: World, ahead: float) -> None:
    """For one lease, although the two clocks differ by an hour."""
    world.servers_clock.ahead = ahead
    newer = attrs.evolve(entry_of(message("newer"), world.clock.now()), schema=SCHEMA + 1)
    await world.store.commit(Unit(appends=[newer]))
    await world.start()
    attempts = []
    for seconds in (1, 28, 3):
        await world.clock.advance(seconds)
        row = await world.store.find(newer.id)
        assert row is not None
        attempts.append(row.attempts)
    assert [1, 1, 2] == attempts
