"""What becomes of a record: the verdict table at work."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.records import IdentityLink
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.store.records import Outcome
from tests.delivery.harness import BUSY, OK, World, event, impression


async def test_server_error_is_tried_again_until_it_works() -> None:
    """D8: a 5xx is retried."""
    world = World()
    answers = iter([BUSY, BUSY, OK])
    world.sender.answer = lambda _request: next(answers)
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(7 + 30 + 2)
        assert 3 == len(world.sender.requests)
        assert 1 == (await world.stats()).done
        assert 2 == world.worker.counts.retried


@pytest.mark.parametrize("header", ["100", "Fri, 15 Jan 2027 08:01:40 GMT"])
async def test_retry_after_is_a_floor(header: str) -> None:
    """D8: nothing is sent to a destination before the time that it named, in both forms of the header."""
    world = World()
    world.sender.answer = lambda _request: Answer(status=429, retry_after=header)
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(0.1)
        world.sender.answer = lambda _request: OK
        await world.append(event(1, user="u2"))
        await world.clock.advance(99)
        assert 1 == len(world.sender.requests)
        await world.clock.advance(300)
        assert 2 == (await world.stats()).done


async def test_rejected_record_is_dead_with_the_start_of_the_answer() -> None:
    """D8: success false is a rejection, and the lane goes on."""
    world = World()
    refusal = Answer(status=200, start=b'{"success":"0","error":"bad event"}')
    world.sender.answer = lambda request: refusal if b'"n":1' in (request.body or b"") else OK
    async with world.running():
        await world.append(event(1), event(2))
        await world.clock.advance(0.1)
        (dead,) = await world.dead()
        assert "rejected by Kochava" == dead.reason
        assert "bad event" in dead.detail
        assert [("u1", 1), ("u1", 2)] == world.sender.sent


@pytest.mark.parametrize("status", [401, 403])
async def test_account_without_identity_links_keeps_its_events(status: int) -> None:
    """An unsigned link says nothing of the app's credentials: it is dead, and no delivery pauses."""
    world = World()
    world.sender.answer = lambda request: Answer(status=status) if "identityLink" in request.url else OK
    link = IdentityLink(
        id="link", app_id="koapp", user_id="u1", usertime=1, device_ids={"fb_user_id": "u1"}, identities={"c": "1"}
    )
    async with world.running():
        await world.append(event(1), link, event(2), event(3, user="u2"))
        await world.clock.advance(1)
        assert ["link"] == [dead.entry.id for dead in await world.dead("link")]
        assert 3 == (await world.stats()).done


async def test_record_is_dead_at_its_greatest_age() -> None:
    """D8: by age, until max_age_seconds."""
    world = World(max_age_seconds=100.0)
    world.sender.answer = lambda _request: BUSY
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(2000)
        (dead,) = await world.dead()
        assert "too old" == dead.reason
        assert 1 < len(world.sender.requests)


async def test_old_ping_is_never_sent() -> None:
    """D8: pings live a day, since they carry no time."""
    world = World()
    await world.append(impression())
    await world.clock.advance(86_401)
    async with world.running():
        await world.clock.advance(1)
        assert [] == world.sender.requests
        assert ["too old"] == [dead.reason for dead in await world.dead("ping")]


async def test_old_event_that_was_never_tried_is_sent() -> None:
    """It carries its time, so it is worth a try after a week of standstill."""
    world = World()
    await world.append(event(1))
    await world.clock.advance(8 * 86_400)
    async with world.running():
        await world.clock.advance(1)
        assert 1 == (await world.stats()).done


async def test_head_that_gets_5xx_while_others_are_served_is_dead_after_twenty_tries() -> None:
    """D8: one record that always fails does not stop its lane for a week."""
    world = World(retry_waits_seconds=(1.0,))
    world.sender.answer = lambda request: BUSY if b'"n":13' in (request.body or b"") else OK
    async with world.running():
        await world.append(event(13), event(14))
        for number in range(60):
            await world.append(event(number + 200, user="u2"))
            await world.clock.advance(1)
        (dead,) = await world.dead()
        assert "fails while others are served" == dead.reason
        assert 20 <= world.sender.sent.count(("u1", 13)) < 60
        assert ("u1", 14) in world.sender.sent


async def test_ambiguous_attempts_are_counted() -> None:
    """Suspected duplicates can be read from the counts."""
    world = World()
    answers: Iterator[Answer | Failure] = iter([Failure(reason="no answer in time", ambiguous=True), OK])
    world.sender.answer = lambda _request: next(answers)
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(10)
        assert 1 == world.worker.counts.ambiguous
        assert 1 == world.worker.counts.delivered


async def test_on_ambiguous_dead_gives_up_an_event_that_perhaps_arrived() -> None:
    """D8: by event name."""
    world = World(on_ambiguous={"Purchase": "dead"})
    world.sender.answer = lambda _request: Failure(reason="no answer in time", ambiguous=True)
    async with world.running():
        await world.append(event(1, name="Purchase"), event(1, user="u2", name="Message"))
        await world.clock.advance(20)
        assert ["koapp-u1-1"] == [dead.entry.id for dead in await world.dead()]
        assert ["perhaps delivered"] == [dead.reason for dead in await world.dead()]


async def test_counts_add_up() -> None:
    """accepted = delivered + waiting + in flight + dead + dropped."""
    world = World()

    def answer(request: WireRequest) -> Answer:
        number = orjson.loads(request.body or b"{}")["data"]["event_data"]["n"]
        return (OK, BUSY, Answer(status=400), OK)[number % 4]

    world.sender.answer = answer
    async with world.running():
        await world.append(*(event(number, user=f"u{number}") for number in range(40)))
        await world.clock.advance(15)
        stats = await world.stats()
        assert 40 == stats.accepted == stats.done + stats.waiting + stats.in_flight + stats.dead + stats.dropped
        assert (20, 10) == (stats.done, stats.dead)
        ended = [each.outcome for each in world.settled]
        assert (20, 10) == (ended.count(Outcome.DONE), ended.count(Outcome.DEAD))
