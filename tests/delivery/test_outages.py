"""Destinations that are down, refuse or slow down."""

from __future__ import annotations

import logging

import pytest

from kochava_bot_middleware.kochava.client import Answer
from kochava_bot_middleware.kochava.destination import Destination, TrackerUrls
from kochava_bot_middleware.kochava.records import Record
from kochava_bot_middleware.store.records import OUTBOX
from tests.delivery.harness import BUSY, OK, TRACKERS, WIRE, World, body_of, event, impression


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
    world = World(destinations=[Destination(app_id=app, wire=WIRE, trackers=TRACKERS) for app in ("koone", "kotwo")])
    world.sender.answer = lambda request: Answer(status=403) if body_of(request)["kochava_app_id"] == "koone" else OK
    async with world.running():
        await world.append(*(event(1, user=f"u{number}", app="koone") for number in range(100)))
        await world.append(*(event(1, user=f"u{number}", app="kotwo") for number in range(100)))
        await world.clock.advance(5)
        apps = [body_of(request)["kochava_app_id"] for request in world.sender.requests]
        assert 100 == apps.count("kotwo")
        assert 50 > apps.count("koone")


@pytest.mark.parametrize(("status", "dead"), [(401, 0), (503, 100)])
async def test_postponed_record_dies_of_age_in_an_outage_but_not_in_a_pause(status: int, dead: int) -> None:
    """What waits for credentials is kept until they are corrected."""
    world = World(
        destinations=[Destination(app_id=app, wire=WIRE, trackers=TRACKERS) for app in ("koone", "kotwo")],
        max_age_seconds=600.0,
        retry_waits_seconds=(1.0,),
    )
    world.sender.answer = lambda request: Answer(status=status) if body_of(request)["kochava_app_id"] == "koone" else OK
    async with world.running():
        await world.append(*(event(1, user=f"u{number}", app="koone") for number in range(100)))
        await world.clock.advance(900)
        assert dead == len(await world.dead())
        assert 100 > len(world.sender.requests)
        assert 100 < world.worker.counts.postponed
        assert world.worker.counts.retried + min(dead, 1) <= len(world.sender.requests)


async def test_dropped_records_leave_no_trace_in_the_circuit() -> None:
    """Many of them do not use up the places for requests."""

    async def gate(record: Record) -> str | None:
        return "opted out" if record.user_id != "last" else None

    world = World(gate=gate, concurrency=4)
    async with world.running():
        await world.append(*(event(1, user=f"u{number}") for number in range(50)))
        await world.clock.advance(2)
        await world.append(event(1, user="last"))
        await world.clock.advance(1)
        assert [("last", 1)] == world.sender.sent
        assert 50 == world.worker.counts.dropped


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


async def test_what_is_given_up_is_told_by_app_and_answer(caplog: pytest.LogCaptureFixture) -> None:
    """It may be the only hint at a wrong App GUID."""
    world = World()
    world.sender.answer = lambda _request: Answer(status=400, start=b"unknown app")
    with caplog.at_level(logging.INFO):
        async with world.running():
            await world.append(event(1))
            await world.clock.advance(1)
    assert "record_given_up koapp track rejected by Kochava 400" in caplog.messages


async def test_each_outage_is_told_from_its_beginning_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """What ended is not one incident with the next."""
    world = World(probe_waits_seconds=(1.0,), ramp_seconds=0.0)
    with caplog.at_level(logging.INFO, logger="kochava_bot_middleware.delivery"):
        async with world.running():
            for outage in range(2):
                world.sender.answer = lambda _request: Answer(status=503)
                await world.append(*(event(outage, user=f"u{outage}{number}") for number in range(10)))
                await world.clock.advance(20)
                world.sender.answer = lambda _request: OK
                await world.clock.advance(200)
    reported = [line for line in caplog.messages if line.startswith("destination_down")]
    ends = [index for index, line in enumerate(reported) if " is over (" in line]
    assert (2, len(reported) - 1) == (len(ends), ends[-1])
    assert " more)" not in reported[ends[0] + 1]


async def test_broken_impression_url_never_holds_back_a_purchase() -> None:
    """D8: queues and hosts fail by themselves, even on the same host."""
    same_host = {"greeting": TrackerUrls(impression_url="https://control.kochava.test/i", click_url=None)}
    world = World(destinations=[Destination(app_id="koapp", wire=WIRE, trackers=same_host)])
    world.sender.answer = lambda request: Answer(status=404) if request.method == "GET" else OK
    async with world.running():
        await world.append(*(impression(f"u{number}") for number in range(50)))
        await world.clock.advance(1)
        await world.append(*(event(1, user=f"u{number}", name="Purchase") for number in range(50)))
        await world.clock.advance(1)
        assert 50 == (await world.stats()).done


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
        track_calls = world.store.claims + world.store.commits - calls - 3600 * (len(OUTBOX) - 1)
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
    world = World(failures_to_open=1, retry_waits_seconds=(0.001,))
    world.sender.answer = lambda request: BUSY if b'"n":13' in (request.body or b"") else OK
    async with world.running():
        await world.append(event(13))
        await world.clock.advance(0.1)
        await world.append(*(event(1, user=f"v{number}") for number in range(20)))
        await world.clock.advance(20)
        assert 20 == (await world.stats()).done
