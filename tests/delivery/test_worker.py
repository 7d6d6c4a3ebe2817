"""
The worker: what becomes of records, in which order, through which failures.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import attrs
import orjson
import pytest

from kochava_bot_middleware.delivery.courier import Settled
from kochava_bot_middleware.kochava.client import Answer, Failure
from kochava_bot_middleware.kochava.destination import Destination, Tracker
from kochava_bot_middleware.kochava.records import Record
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.store.contract import Outcome, State, Unit
from tests.delivery.harness import BUSY, OK, WIRE, World, body_of, click, entry_of, event, impression


async def test_record_is_sent_and_delivered() -> None:
    """A record that waits reaches Kochava once and is then done."""
    world = World()
    async with world.running():
        await world.append(event(1))
        await world.clock.advance(0.1)
        assert [("u1", 1)] == world.sender.sent
        assert 1 == (await world.stats()).done
        assert 1 == world.worker.counts.delivered


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
        await world.clock.advance(0.5)
        assert 30 == len(world.sender.sent)
        assert world.store.claims - claims < 6


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


async def test_head_is_kept_through_an_outage_however_often_it_was_tried() -> None:
    """Failures of everybody say nothing against one record."""
    world = World(retry_waits_seconds=(1.0,))
    world.sender.answer = lambda _request: BUSY
    async with world.running():
        await world.append(event(1), event(1, user="u2"))
        await world.clock.advance(100)
        assert 40 < len(world.sender.requests)
        assert [] == await world.dead()
        world.sender.answer = lambda _request: OK
        await world.clock.advance(10)
        assert 2 == (await world.stats()).done


async def test_refused_credentials_pause_the_app_and_spend_nothing() -> None:
    """D8: 401 stops all of this app, is probed until it works, and no record dies of it."""
    world = World(max_age_seconds=60.0)
    world.sender.answer = lambda _request: Answer(status=401)
    async with world.running():
        await world.append(*(event(1, user=f"u{number}") for number in range(40)))
        await world.clock.advance(2000)
        sent = len(world.sender.requests)
        assert 5 <= sent < 50
        assert [] == await world.dead()
        world.sender.answer = lambda _request: OK
        await world.clock.advance(900)
        assert 40 == (await world.stats()).done


async def test_refused_credentials_of_one_app_never_stop_another() -> None:
    """D8: pauses are by app."""
    world = World(destinations=[Destination(app_id=app, wire=WIRE) for app in ("koone", "kotwo")])
    world.sender.answer = lambda request: Answer(status=403) if body_of(request)["kochava_app_id"] == "koone" else OK
    async with world.running():
        await world.append(*(event(1, user=f"u{number}", app="koone") for number in range(100)))
        await world.append(*(event(1, user=f"u{number}", app="kotwo") for number in range(100)))
        await world.clock.advance(5)
        apps = [body_of(request)["kochava_app_id"] for request in world.sender.requests]
        assert 100 == apps.count("kotwo")
        assert 50 > apps.count("koone")


async def test_refused_credentials_are_one_loud_line(caplog: pytest.LogCaptureFixture) -> None:
    """D8: one line an incident, not an event."""
    world = World()
    world.sender.answer = lambda _request: Answer(status=401, start=b"who are you")
    with caplog.at_level(logging.INFO):
        async with world.running():
            await world.append(*(event(1, user=f"u{number}") for number in range(30)))
            await world.clock.advance(30)
            lines = [line for line in caplog.messages if line.startswith("credentials_refused")]
            assert 1 == len(lines)
            assert "ERROR" == next(
                record.levelname for record in caplog.records if "credentials_refused" in record.getMessage()
            )


async def test_broken_impression_url_never_holds_back_a_purchase() -> None:
    """D8: queues and hosts fail by themselves, even on the same host."""
    same_host = attrs.evolve(
        WIRE, trackers={"greeting": Tracker(impression_url="https://control.kochava.test/i", click_url=None)}
    )
    world = World(destinations=[Destination(app_id="koapp", wire=same_host)])
    world.sender.answer = lambda request: Answer(status=404) if request.method == "GET" else OK
    async with world.running():
        await world.append(*(impression(f"u{number}") for number in range(50)))
        await world.clock.advance(1)
        await world.append(*(event(1, user=f"u{number}", name="Purchase") for number in range(50)))
        await world.clock.advance(1)
        assert 50 == (await world.stats()).done


async def test_impression_is_sent_before_the_click() -> None:
    """Both are of one lane of the ping queue."""
    world = World()
    async with world.running():
        await world.append(impression(), click())
        await world.clock.advance(0.5)
        assert ["imp.kochava.test", "control.kochava.test"] == [request.host for request in world.sender.requests]


async def test_one_probe_at_a_time_while_a_destination_is_down() -> None:
    """D8: an outage costs Kochava one request now and then."""
    world = World()
    world.sender.answer = lambda _request: BUSY
    async with world.running():
        await world.append(*(event(1, user=f"u{number}") for number in range(200)))
        await world.clock.advance(1)
        at_first = len(world.sender.requests)
        assert at_first <= 2 * 16
        await world.clock.advance(3600)
        probes = len(world.sender.requests) - at_first
        assert 30 <= probes <= 150


async def test_an_outage_costs_the_store_next_to_nothing() -> None:
    """With one destination, nothing is claimed while it is down, but for the probe."""
    world = World()
    world.sender.answer = lambda _request: BUSY
    async with world.running():
        await world.append(*(event(1, user=f"u{number}") for number in range(200)))
        await world.clock.advance(60)
        calls = world.store.claims + world.store.commits
        await world.clock.advance(3600)
        track_calls = world.store.claims + world.store.commits - calls - 3600
        assert track_calls < 600


async def test_backlog_drains_with_a_slow_start_after_an_outage() -> None:
    """D8: a server that just came back is not knocked over."""
    world = World(ramp_start_per_second=10.0, ramp_seconds=10.0)
    world.sender.answer = lambda _request: BUSY
    async with world.running():
        await world.append(*(event(1, user=f"u{number}") for number in range(400)))
        await world.clock.advance(5)
        world.sender.answer = lambda _request: OK
        await world.clock.advance_until(lambda: world.worker.counts.delivered > 0, at_most=60)
        await world.clock.advance(0.9)
        assert 30 > world.worker.counts.delivered
        await world.clock.advance(20)
        assert 350 < world.worker.counts.delivered
        await world.clock.advance(120)
        assert 400 == world.worker.counts.delivered


async def test_rate_per_second_is_kept() -> None:
    """A cap on requests a second."""
    world = World(rate_per_second=5.0)
    async with world.running():
        await world.append(*(event(1, user=f"u{number}") for number in range(100)))
        await world.clock.advance(10)
        assert 45 <= len(world.sender.requests) <= 52


async def test_poisoned_head_as_probe_does_not_keep_its_destination_closed() -> None:
    """The next probe is another record's."""
    world = World(failures_to_open=1)
    world.sender.answer = lambda request: BUSY if b'"n":13' in (request.body or b"") else OK
    async with world.running():
        await world.append(event(13))
        await world.clock.advance(0.1)
        await world.append(*(event(1, user=f"v{number}") for number in range(20)))
        await world.clock.advance(20)
        assert 20 == (await world.stats()).done


async def test_ambiguous_attempts_are_counted() -> None:
    """Suspected duplicates can be told from the counts."""
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
        (dropped,) = await world.store.browse("track", state=State.DROPPED)
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


async def test_stop_cuts_what_has_not_ended_by_the_deadline() -> None:
    """One deadline for all."""
    world = World()
    running = asyncio.create_task(world.worker.run())
    world.sender.going_on.clear()
    await world.append(event(1))
    await world.clock.advance(0.1)
    stopping = asyncio.create_task(world.worker.stop(3))
    await world.clock.advance(3.1)
    await asyncio.wait_for(asyncio.gather(stopping, running), 5)
    assert 1 == (await world.stats()).in_flight


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
        assert world.store.claims < 250


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
        ended = [each.settlement.outcome for each in world.settled]
        assert (20, 10) == (ended.count(Outcome.DONE), ended.count(Outcome.DEAD))


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
