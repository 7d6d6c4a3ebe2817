"""The worker: order, concurrency, waking and stopping."""

from __future__ import annotations

import asyncio

from kochava_bot_middleware.store.records import OUTBOX, EntryState, Unit
from tests.delivery.harness import BUSY, OK, World, body_of, click, entry_of, event, impression


async def test_record_is_sent_and_delivered() -> None:
    """A record that waits reaches Kochava once and is then done."""
    world = World()
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(0.1)
        assert [("u1", 1)] == world.sender.sent
        assert 1 == (await world.stats()).done
        assert 1 == world.worker.counts.delivered


async def test_history_of_a_delivered_record_has_the_status_of_the_answer() -> None:
    """Besides when, and at which attempt."""
    world = World()
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(0.1)
        (row,) = await world.store.history([event(1).lane])
        assert (EntryState.DONE, 1, "200") == (row.state, row.attempts, row.detail)


async def test_records_of_one_lane_are_sent_in_the_order_committed() -> None:
    """D3.4: none starts before its predecessor is settled."""
    world = World()
    async with world.running():
        await world.append(*(event(number) for number in range(20)))
        await world.clock.advance(1)
        assert [("u1", number) for number in range(20)] == world.sender.sent
        assert 1 == world.sender.most_under_way


async def test_next_of_a_lane_waits_for_the_settlement_of_its_predecessor() -> None:
    """An answer alone does not start the next one: the commit does."""
    world = World()
    async with world.running():
        world.sender.going_on.clear()
        await world.append(event(1), event(2))
        await world.clock.advance(0.1)
        world.store.broken = True
        world.sender.going_on.set()
        await world.clock.advance(0.2)
        assert [("u1", 1)] == world.sender.sent
        world.store.broken = False
        await world.clock.advance(30)
        assert [("u1", 1), ("u1", 2)] == world.sender.sent


async def test_other_users_do_not_wait_for_a_failing_one() -> None:
    """D3.4: other users never wait."""
    world = World()
    world.sender.answer = lambda request: BUSY if body_of(request)["data"]["device_ids"]["fb_user_id"] == "u1" else OK
    async with world.running():
        await world.append(event(1), event(2), event(1, user="u2"), event(2, user="u2"))
        await world.clock.advance(0.1)
        assert [("u2", 1), ("u2", 2)] == [sent for sent in world.sender.sent if sent[0] == "u2"]
        assert ("u1", 2) not in world.sender.sent


async def test_many_lanes_are_sent_at_once_up_to_the_concurrency() -> None:
    """As many requests as allowed, and not one more."""
    world = World(concurrency=4)
    async with world.running():
        world.sender.going_on.clear()
        await world.append(*(event(1, user=f"u{number}") for number in range(50)))
        await world.clock.advance(0.5)
        assert 4 == world.sender.most_under_way
        world.sender.going_on.set()
        await world.clock.advance(2)
        assert 50 == (await world.stats()).done
        assert 4 == world.sender.most_under_way


async def test_next_of_a_lane_comes_with_the_commit_of_its_predecessor() -> None:
    """A long lane needs no claim for each record."""
    world = World()
    async with world.running():
        await world.append(*(event(number) for number in range(30)))
        claims = world.store.claims
        for _ in range(2):
            await world.clock.advance(0.25)
        assert 30 == len(world.sender.sent)
        assert world.store.claims - claims < 3 * len(OUTBOX)


async def test_impression_is_sent_before_the_click() -> None:
    """Though they are in different queues."""
    world = World()
    async with world.running():
        await world.append(impression(), click())
        await world.clock.advance(1)
        assert ["imp.kochava.test", "control.kochava.test"] == [request.host for request in world.sender.requests]


async def test_stop_cuts_what_has_not_ended_by_the_deadline() -> None:
    """One deadline for all; whoever comes next need not wait for the lease."""
    world = World()
    running = asyncio.create_task(world.worker.run())
    world.sender.going_on.clear()
    await world.append(event(1))
    await world.clock.advance(0.1)
    stopping = asyncio.create_task(world.worker.stop(3))
    await world.clock.advance(3.1)
    await asyncio.wait_for(asyncio.gather(stopping, running), 5)
    (claim,) = await world.store.claim("track", 10, 15)
    assert claim.is_takeover


async def test_stop_before_run_and_twice_is_safe() -> None:
    """Whoever shuts down need not know how far the start got."""
    world = World()
    await world.worker.stop(1)
    await world.worker.stop(1)
    await asyncio.wait_for(world.worker.run(), 1)


async def test_wake_makes_delivery_prompt() -> None:
    """No poll is waited for."""
    world = World(poll_seconds=30.0)
    async with world.running():
        await world.clock.advance(1)
        await world.append(event(1))
        await world.clock.advance(0.01)
        assert [("u1", 1)] == world.sender.sent


async def test_what_another_process_appended_is_found_by_polling() -> None:
    """Nobody wakes this worker for it."""
    world = World(poll_seconds=2.0)
    async with world.running():
        await world.clock.advance(1)
        await world.store.commit(Unit(appends=[entry_of(event(1), at=world.clock.now())]))
        await world.clock.advance(2.1)
        assert [("u1", 1)] == world.sender.sent


async def test_idle_worker_does_not_spin() -> None:
    """About one look a poll and queue."""
    world = World(poll_seconds=1.0)
    async with world.running():
        await world.clock.advance(100)
        assert world.store.claims < 125 * len(OUTBOX)
