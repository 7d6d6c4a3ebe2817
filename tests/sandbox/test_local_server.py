"""What both local servers can do: go down and up, and fail on demand."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.sandbox.local_server import Exchange
from tests.fakes import SleepNotingClock

PIXEL = "/track/impression?campaign_id=kogreet&network_id=1"


async def test_a_server_that_is_down_refuses_connections(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """Nothing listens on the port, also for a client with an open connection."""
    async with client.get(kochava.url + PIXEL) as response:
        await response.read()
    await kochava.down()
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get(kochava.url + PIXEL)


async def test_a_server_comes_back_on_the_same_port(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """The address stays and so does what was recorded."""
    before = kochava.url
    await client.get(before + PIXEL)
    for _ in range(3):
        await kochava.down()
        await kochava.up()
    async with client.get(before + PIXEL) as response:
        assert response.status == 200
    assert before == kochava.url
    assert len(kochava.impressions) == 2


async def test_down_and_up_may_be_repeated(kochava: LocalKochava) -> None:
    """A second `down` or `up` changes nothing."""
    await kochava.down()
    await kochava.down()
    assert not kochava.is_up
    await kochava.up()
    await kochava.up()
    assert kochava.is_up


async def test_a_request_under_way_is_answered_when_the_server_goes_down() -> None:
    """So no request is recorded whose sender cannot know it."""
    clock = SleepNotingClock()
    async with LocalKochava(app_ids={"kodemo1"}, clock=clock) as kochava, aiohttp.ClientSession() as client:
        kochava.slow(3)
        request = asyncio.ensure_future(client.get(kochava.url + PIXEL))
        await clock.slept.wait()
        going_down = asyncio.ensure_future(kochava.down())
        await clock.advance(3)
        assert (await request).status == 200
        await going_down
    assert len(kochava.impressions) == 1


async def test_a_prepared_answer_is_given_so_many_times(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """Afterwards requests are handled again; those that met the fault are not recorded."""
    kochava.answer_with(503, headers={"Retry-After": "7"}, body=b"busy", times=2)
    statuses = []
    for _ in range(3):
        async with client.get(kochava.url + PIXEL) as response:
            statuses.append((response.status, response.headers.get("Retry-After")))
    assert [(503, "7"), (503, "7"), (200, None)] == statuses
    assert len(kochava.impressions) == 1


async def test_a_fault_without_a_number_lasts_until_the_server_behaves(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """`times=None` is for every request."""
    kochava.answer_with(500, times=None)
    assert [500, 500] == [(await client.get(kochava.url + PIXEL)).status for _ in range(2)]
    kochava.behave()
    assert (await client.get(kochava.url + PIXEL)).status == 200


async def test_a_fault_can_be_of_one_path_only(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """Requests of other paths are handled as usual and are not counted."""
    kochava.answer_with(500, path="/v1/cpi/")
    assert (await client.get(kochava.url + PIXEL)).status == 200
    click = kochava.url + "/v1/cpi/click?campaign_id=kogreet&network_id=1"
    assert (await client.get(click, allow_redirects=False)).status == 500


async def test_a_slow_server_answers_after_its_time(kochava: LocalKochava, client: aiohttp.ClientSession) -> None:
    """The wait is that of the clock."""
    kochava.clock = clock = SleepNotingClock()
    kochava.slow(30)
    request = asyncio.ensure_future(client.get(kochava.url + PIXEL))
    await clock.slept.wait()
    assert not request.done()
    await clock.advance(30)
    assert (await request).status == 200


async def test_a_hanging_request_is_neither_answered_nor_recorded(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """The client's own timeout ends it."""
    kochava.hang()
    with pytest.raises(TimeoutError):
        await client.get(kochava.url + PIXEL, timeout=aiohttp.ClientTimeout(total=0.05))
    assert [] == kochava.impressions


async def test_waiting_for_records_ends_with_what_was_received(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """The message says where to look for the rest."""
    async with client.get(kochava.url + PIXEL) as response:
        await response.read()
    message = r"1 of 2 records were received within 0\.01 s: impression kogreet; look at `kochava\.rejections`"
    with pytest.raises(TimeoutError, match=message):
        await kochava.received(2, within_seconds=0.01)


async def test_a_reset_request_is_recorded_though_its_answer_is_cut(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """The sender cannot know whether it was recorded: the ambiguous case."""
    kochava.reset()
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        async with client.get(kochava.url + PIXEL) as response:
            await response.read()
    assert len(kochava.impressions) == 1


async def test_watcher_sees_each_request_with_its_answer_and_faults(
    kochava: LocalKochava, client: aiohttp.ClientSession
) -> None:
    """A connection that was reset has no status."""
    seen: list[Exchange] = []
    kochava.watchers.append(seen.append)
    async with client.post(f"{kochava.url}/track/json", data=b"x") as response:
        answer = await response.read()
    kochava.answer_with(503)
    await client.get(kochava.url + PIXEL)
    kochava.reset()
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        async with client.get(kochava.url + PIXEL) as response:
            await response.read()
    assert [("POST", 400), ("GET", 503), ("GET", None)] == [(one.method, one.status) for one in seen]
    assert (b"x", answer, PIXEL) == (seen[0].body, seen[0].answer, seen[1].path)
