"""Claims, leases, consent, and a store that fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

import attrs
import pytest

from kochava_bot_middleware.delivery.attempt import Settled
from kochava_bot_middleware.exceptions import StoreUnavailable, StoreUnusable
from kochava_bot_middleware.kochava.client import Answer
from kochava_bot_middleware.kochava.records import Record
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.store.records import OUTBOX, EntryState, Unit
from tests.delivery.harness import OK, ShakyStore, World, entry_of, event, impression


async def test_record_of_an_unknown_app_is_left_for_another_worker() -> None:
    """D9: an unknown destination is neither sent nor dead, and said once a minute."""
    world = World()
    async with world.running():
        await world.append(event(1, app="koother"), event(1))
        await world.clock.advance(300)
        assert [("u1", 1)] == world.sender.sent
        (waiting,) = await world.store.browse("track")
        assert "unknown destination" == waiting.reason
        assert [] == await world.dead()


async def test_ping_of_an_unknown_tracker_is_left_for_another_worker() -> None:
    """Its URL may be in another worker's settings."""
    world = World()
    async with world.running():
        await world.append(attrs.evolve(impression(), tracker="summer"))
        await world.clock.advance(5)
        assert ["unknown destination"] == [row.reason for row in await world.store.browse("ping")]


async def test_record_of_a_newer_release_is_left_for_another_worker() -> None:
    """D9: release N reads what N-1 wrote, not the reverse."""
    world = World()
    async with world.running():
        await world.append_raw(id="new", schema=99, body=b'{"kind":"engagement","schema":99}')
        await world.append_raw(id="newer", lane="koapp/u2", body=b'{"kind":"hologram","schema":1}')
        await world.clock.advance(300)
        assert 2 * ["unknown kind of record"] == [row.reason for row in await world.store.browse("track")]
        assert [] == await world.dead()


async def test_corrupt_bytes_are_dead_at_once_and_the_lane_goes_on() -> None:
    """D9: only corrupt bytes are dead."""
    world = World()
    async with world.running():
        await world.append_raw(id="bad", body=b"\x00\xff{")
        await world.append(event(1))
        await world.clock.advance(0.5)
        assert ["unreadable record"] == [dead.reason for dead in await world.dead()]
        assert [("u1", 1)] == world.sender.sent


async def test_forbidden_record_is_dropped_with_the_reason() -> None:
    """Consent and opt-out are asked at claim time."""

    async def gate(record: Record) -> str | None:
        return "opted out" if record.user_id == "u1" else None

    world = World(gate=gate)
    async with world.running():
        await world.append(event(1), event(1, user="u2"))
        await world.clock.advance(0.5)
        assert [("u2", 1)] == world.sender.sent
        (dropped,) = await world.store.browse("track", state=EntryState.DROPPED)
        assert ("opted out", b"") == (dropped.reason, dropped.entry.body)


async def test_record_waits_when_the_check_of_consent_fails() -> None:
    """Without an answer nothing is sent, and nothing is lost."""
    broken = True

    async def gate(_record: Record) -> str | None:
        if broken:
            msg = "database of consent is down, asked for Ann Miller"
            raise RuntimeError(msg)
        return None

    world = World(gate=gate)
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(60)
        assert [] == world.sender.requests
        (row,) = await world.store.browse("track")
        assert "could not be tried" == row.reason
        assert "Ann" not in row.detail
        broken = False
        await world.clock.advance(400)
        assert 1 == (await world.stats()).done


async def test_failing_sender_does_not_end_the_worker() -> None:
    """A bug in a sender costs a wait."""
    world = World()
    calls = 0

    def answer(_request: WireRequest) -> Answer:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError
        return OK

    world.sender.answer = answer
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(10)
        assert 1 == (await world.stats()).done


async def test_failing_listener_does_not_end_the_worker() -> None:
    """What `on_settled` raises is its own business."""
    world = World()
    world.settled = _Refusing()
    world.worker = world.another_worker()
    async with world.running():
        await world.append(event(1), event(2))
        await world.clock.advance(1)
        assert 2 == (await world.stats()).done


class _Refusing(list[Settled]):
    def append(self, _item: Settled) -> None:
        raise ValueError


async def test_store_outage_never_ends_the_worker() -> None:
    """It backs off, and goes on when the store works again; what was sent is not sent again."""
    world = World()
    async with world.running():
        world.sender.going_on.clear()
        await world.append(event(1))
        await world.clock.advance(0.1)
        world.store.broken = True
        world.sender.going_on.set()
        await world.clock.advance(40)
        world.store.broken = False
        await world.append(event(2))
        await world.clock.advance(40)
        assert [("u1", 1), ("u1", 2)] == world.sender.sent
        assert 2 == (await world.stats()).done


async def test_store_outage_is_one_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Not one for each try."""
    world = World()
    with caplog.at_level(logging.INFO):
        async with world.running():
            world.store.broken = True
            await world.clock.advance(600)
            lines = [line for line in caplog.messages if line.startswith("store_failed track")]
            assert 2 <= len(lines) <= 12


async def test_lapsed_lease_is_not_sent() -> None:
    """A worker that was stopped past its lease checks it before the request."""
    world = World(concurrency=1)
    async with world.running():
        world.sender.going_on.clear()
        await world.append(event(1), event(1, user="u2"))
        await world.clock.advance(0.1)
        assert [("u1", 1)] == world.sender.sent
        world.clock.stall(61)
        (taken,) = [claim for claim in await world.store.claim("track", 5, 300) if claim.entry.lane == "koapp/u2"]
        world.sender.going_on.set()
        await world.clock.advance(1)
        assert [("u1", 1)] == world.sender.sent
        assert 2 == world.worker.counts.lost
        assert "koapp-u2-1" == taken.entry.id


async def test_long_held_lease_is_renewed_before_the_request() -> None:
    """A claim that waited in the worker's memory is still owned when it is sent."""
    world = World(concurrency=1)
    async with world.running():
        world.sender.going_on.clear()
        await world.append(event(1), event(1, user="u2"))
        await world.clock.advance(50)
        world.sender.going_on.set()
        await world.clock.advance(0.1)
        world.sender.going_on.clear()
        await world.clock.advance(0.1)
        assert {("u1", 1), ("u2", 1)} == set(world.sender.sent)
        assert 0 == world.worker.counts.lost


async def test_wall_clock_jumps_neither_lose_nor_double() -> None:
    """What was due before the clock went back an hour is late by that hour, and nothing else."""
    world = World(poll_seconds=30.0)
    async with world.running():
        for number, seconds in enumerate((3600.0, -3600.0, 3600.0)):
            await world.append(event(number, user=f"u{number}"))
            world.clock.jump(seconds)
            await world.clock.advance(1)
        await world.clock.advance(3700)
        assert {("u0", 0), ("u1", 1), ("u2", 2)} == set(world.sender.sent)
        assert 3 == len(world.sender.requests)
        assert 3 == (await world.stats()).done


async def test_two_workers_share_a_store_without_doubling() -> None:
    """Claims are exclusive."""
    world = World(concurrency=4)
    other = world.another_worker()
    async with world.running():
        running = asyncio.create_task(other.run())
        await world.append(*(event(number, user=f"u{user}") for user in range(20) for number in range(3)))
        other.wake()
        await world.clock.advance(10)
        assert 60 == len(set(world.sender.sent)) == len(world.sender.sent)
        assert 60 == (await world.stats()).done
        stopping = asyncio.create_task(other.stop(5))
        await world.clock.advance(6)
        await stopping
        await running


async def test_lanes_of_a_dead_worker_are_served_within_one_lease() -> None:
    """A claim that nobody ends is due again when its lease lapses."""
    world = World()
    await world.append(event(1))
    await world.store.claim("track", 10, 60)
    async with world.running():
        await world.clock.advance(58)
        assert [] == world.sender.sent
        await world.clock.advance(4)
        assert [("u1", 1)] == world.sender.sent


async def test_stop_lets_requests_under_way_end_and_releases_the_rest() -> None:
    """Graceful: nothing is cut, nothing counts as an attempt that was none."""
    world = World(concurrency=2)
    running = asyncio.create_task(world.worker.run())
    world.sender.going_on.clear()
    await world.append(*(event(1, user=f"u{number}") for number in range(6)))
    await world.clock.advance(0.1)
    stopping = asyncio.create_task(world.worker.stop(30))
    await world.clock.advance(5)
    assert not stopping.done()
    world.sender.going_on.set()
    await world.clock.advance(1)
    await asyncio.wait_for(asyncio.gather(stopping, running), 5)
    stats = await world.stats()
    assert (2, 4, 0) == (stats.done, stats.waiting, stats.in_flight)
    assert {0} == {row.attempts for row in await world.store.browse("track")}


async def test_nothing_private_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """No id of a person, no body, no answer."""
    world = World()
    world.sender.answer = lambda _request: Answer(status=503, start=b"secret-answer")
    with caplog.at_level(logging.DEBUG, logger="kochava_bot_middleware"):
        async with world.running():
            await world.append(*(event(1, user=f"psid-{number}") for number in range(10)))
            await world.append_raw(id="x", lane="koapp/psid-77", body=b"psid-77")
            await world.clock.advance(100)
        logged = "\n".join(caplog.messages)
        assert "destination_down" in logged
        assert "psid" not in logged
        assert "secret-answer" not in logged


async def test_the_worker_sweeps_the_store_once_a_minute_for_each_queue() -> None:
    """Ids and state entries are remembered for a while; after that, they must be removed."""
    world = World()
    async with world.running():
        await world.clock.advance(130)
        assert len(OUTBOX) * (1 + 2) == world.store.sweeps


class StumblingStore(ShakyStore):
    """A store whose engine raises an unforeseen error when it is swept first."""

    async def sweep(self, longest_waits: Mapping[str, float] | None = None) -> None:
        await super().sweep(longest_waits)
        if self.sweeps <= len(OUTBOX):
            msg = "unforeseen"
            raise RuntimeError(msg)


async def test_sweeping_goes_on_after_an_unforeseen_error() -> None:
    """It is tried again in a minute, as the engine's known failures are."""
    world = World()
    world.store = StumblingStore(world.clock)
    world.worker = world.another_worker()
    async with world.running():
        await world.clock.advance(130)
        assert len(OUTBOX) * (1 + 2) == world.store.sweeps


class AnnouncingStore(ShakyStore):
    """Tells of appends, as PostgreSQL does."""

    def on_append(self, callback: Callable[[], None]) -> None:
        self.reported = callback


async def test_an_append_of_another_process_is_seen_at_once_when_the_store_announces_it() -> None:
    """Without waiting for the next look."""
    world = World(poll_seconds=60.0)
    world.store = AnnouncingStore(world.clock)
    world.worker = world.another_worker()
    async with world.running():
        await world.clock.advance(1)
        await world.store.commit(Unit(appends=[entry_of(event(1), at=world.clock.now())]))
        world.store.reported()
        await world.clock.advance(0.5)
        assert [("u1", 1)] == world.sender.sent


@pytest.mark.parametrize("error", [StoreUnavailable("away"), StoreUnusable("read-only"), TimeoutError()], ids=repr)
async def test_record_waits_while_the_store_cannot_be_asked(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """That is a failure of the store, not of the attempt: no record becomes too old by it."""
    is_away = True

    async def gate(_record: Record) -> str | None:
        if is_away:
            raise error
        return None

    world = World(gate=gate, max_age_seconds=600.0)
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(900)
        (row,) = await world.store.browse("track")
        assert (EntryState.WAITING, "the store does not answer") == (row.state, row.reason)
        is_away = False
        await world.clock.advance(10)
    assert [] == [each.getMessage() for each in caplog.records if "crashed" in each.getMessage()]
    assert any(f"store_failed track {type(error).__name__}" in each.getMessage() for each in caplog.records)


async def test_record_waits_while_its_lease_cannot_be_renewed(caplog: pytest.LogCaptureFixture) -> None:
    """The lease may have lapsed while the gate was asked; whether it did cannot be said without the store."""
    world = World()

    async def gate(_record: Record) -> str | None:
        world.clock.stall(world.settings.lease)
        world.store.broken = True
        return None

    world.gate = gate
    world.worker = world.another_worker()
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(1)
        assert [] == world.sender.requests
        world.store.broken = False
    assert [] == [each.getMessage() for each in caplog.records if "crashed" in each.getMessage()]
