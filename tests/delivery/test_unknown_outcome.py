"""Requests of which nobody knows whether they arrived, since the process that made them ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kochava_bot_middleware.delivery.safeguards import Safeguards
from kochava_bot_middleware.delivery.worker import Worker
from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.records import Record
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.queues.claims import Claimed
from kochava_bot_middleware.store.records import Committed, Unit
from tests.delivery.harness import BUSY, OK, ShakyStore, World, event, impression

LEASE = 15.0


def strict(**settings: Any) -> World:
    return World(**{"on_ambiguous": {"Purchase": "dead"}, **settings})


def purchase(number: int, user: str = "u1") -> Record:
    return event(number, user=user, name="Purchase")


async def is_owned(_claimed: Claimed) -> bool:
    return True


async def begin_and_die(world: World, queue: str = "track") -> None:
    """Claim all that is due and begin to send it, as a process does that is killed then."""
    safeguards = Safeguards(world.store, has_installs=False, is_owned=is_owned, begin=lambda _claimed: None)
    for claim in await world.store.claim(queue, 10, LEASE):
        await safeguards.note_begun(claim)


async def test_what_a_killed_process_had_begun_is_dead_if_the_setting_says_so() -> None:
    """With a reason that can be listed; the lane goes on."""
    world = strict()
    await world.append(purchase(1), purchase(2))
    await begin_and_die(world)
    async with world.running():
        await world.clock.advance(LEASE + 2)
        (dead,) = await world.dead()
        assert ("perhaps delivered", "koapp-u1-1") == (dead.reason, dead.entry.id)
        assert "ended before its answer was stored" in dead.detail
        assert [("u1", 2)] == world.sender.sent
        assert {} == await world.store.recall([("koapp/u1", f"begun:koapp-u1-{number}") for number in (1, 2)])


async def test_what_a_killed_process_had_only_claimed_is_sent() -> None:
    """It surely did not arrive."""
    world = strict()
    await world.append(purchase(1))
    await world.store.claim("track", 10, LEASE)
    async with world.running():
        await world.clock.advance(LEASE + 2)
        assert [("u1", 1)] == world.sender.sent


async def test_other_events_are_sent_again() -> None:
    """By default."""
    world = strict()
    await world.append(event(1))
    await begin_and_die(world)
    async with world.running():
        await world.clock.advance(LEASE + 2)
        assert [("u1", 1)] == world.sender.sent


async def test_the_default_for_all_others_holds_for_pings_too() -> None:
    """They have no event's name."""
    world = World(on_ambiguous_default="dead")
    await world.append(impression())
    await begin_and_die(world, "ping")
    async with world.running():
        await world.clock.advance(LEASE + 2)
        assert ["perhaps delivered"] == [row.reason for row in await world.dead("ping")]


async def run_for(world: World, worker: Worker, seconds: float) -> None:
    running = asyncio.create_task(worker.run())
    await world.clock.advance(seconds)
    stopping = asyncio.create_task(worker.stop(3))
    await world.clock.advance(10)
    await asyncio.wait_for(asyncio.gather(stopping, running), 5)


async def test_a_request_cut_off_by_a_shutdown_is_of_unknown_outcome() -> None:
    """What only waited is released, and sent by the next process at once."""
    world = strict(concurrency=4, request_timeout_seconds=100.0)
    world.sender.going_on.clear()
    await world.append(*(purchase(1, user=f"u{number}") for number in range(10)))
    await run_for(world, world.worker, 0.5)
    begun = set(world.sender.sent)
    assert 4 == len(begun)
    world.sender.going_on.set()
    await run_for(world, world.another_worker(), 2)
    assert 10 == len(world.sender.sent) == len(set(world.sender.sent))
    assert 4 == len(await world.dead())


@pytest.mark.parametrize("answer", [BUSY, Failure(reason="connection refused", ambiguous=False)])
async def test_an_answered_attempt_leaves_no_trace(answer: Answer | Failure) -> None:
    """A later attempt that was only claimed when its process was killed is not taken for begun."""
    world = strict(retry_waits_seconds=(2.0,))
    world.sender.answer = lambda _request: answer
    await world.append(purchase(1))
    await run_for(world, world.worker, 0.5)
    assert {} == await world.store.recall([("koapp/u1", "begun:koapp-u1-1")])
    tried = len(world.sender.requests)
    await world.clock.advance(3)
    await world.store.claim("track", 10, LEASE)
    world.sender.answer = lambda _request: OK
    await run_for(world, world.another_worker(), LEASE + 2)
    assert tried + 1 == len(world.sender.requests)
    assert [] == await world.dead()


class ForgetfulStore(ShakyStore):
    """Fails each commit that notes the beginning of a request, until it is mended."""

    is_mended = False

    async def commit(self, unit: Unit) -> Committed:
        if unit.marks and not unit.settlements and not self.is_mended:
            self.broken = True
        try:
            return await super().commit(unit)
        finally:
            self.broken = False


async def test_nothing_is_sent_while_the_beginning_cannot_be_noted() -> None:
    """And it is sent once when it can."""
    world = strict(retry_waits_seconds=(2.0,))
    world.store = store = ForgetfulStore(world.clock)
    world.worker = world.another_worker()
    async with world.running():
        await world.append(purchase(1))
        await world.clock.advance(30)
        assert [] == world.sender.requests
        store.is_mended = True
        await world.clock.advance(60)
        assert [("u1", 1)] == world.sender.sent
        assert [] == await world.dead()


async def test_a_takeover_is_decided_even_while_the_destination_is_down() -> None:
    """Else the attempt that only waited would hide the one before."""
    world = strict(failures_to_open=1)
    world.sender.answer = lambda _request: BUSY
    await world.append(purchase(1))
    await begin_and_die(world)
    async with world.running():
        await world.append(event(1, user="u2"), event(1, user="u3"))
        await world.clock.advance(LEASE + 10)
        world.sender.answer = lambda _request: OK
        await world.clock.advance(100)
        assert ["koapp-u1-1"] == [row.entry.id for row in await world.dead()]
        assert not [sent for sent in world.sender.sent if sent[0] == "u1"]


async def test_the_beginning_is_noted_before_the_request_and_only_where_it_matters() -> None:
    """It costs a commit."""
    world = strict()
    noted: list[tuple[bool, bool]] = []

    def answer(request: WireRequest) -> Answer:
        is_purchase = b"Purchase" in (request.body or b"")
        key = "begun:koapp-u1-1" if is_purchase else "begun:koapp-u2-1"
        noted.append((is_purchase, key in world.store._values))
        return OK

    world.sender.answer = answer
    async with world.running():
        await world.append(purchase(1), event(1, user="u2"))
        await world.clock.advance(1)
        assert {(True, True), (False, False)} == set(noted)
