"""InvalidSettings by Facebook, and missing answers."""

from __future__ import annotations

import asyncio
import io
import json
import random
import socket
import traceback
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kochava_bot_middleware.exceptions import (
    BadRequestError,
    DeliveryUnknownError,
    RateLimitedError,
    SendError,
    TemporarySendError,
)
from kochava_bot_middleware.messenger.send_api import AsyncBot
from tests.messenger.local_graph import TOKEN, Answer, LocalGraph, NoJitter, StillClock


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def test_error_body_is_returned_as_in_pymessenger(graph: LocalGraph) -> None:
    """By the methods that pymessenger has."""
    graph.will_refuse(100)

    answer = await graph.bot().send_text_message("77", "hi")

    assert 100 == answer["error"]["code"]


async def test_error_is_raised_with_raise_errors(graph: LocalGraph) -> None:
    """By the same methods."""
    graph.will_refuse(100)

    with pytest.raises(BadRequestError):
        await graph.bot(raise_errors=True).send_text_message("77", "hi")


async def test_error_is_raised_by_new_methods(graph: LocalGraph) -> None:
    """By the methods that pymessenger does not have."""
    graph.will_refuse(100)

    with pytest.raises(BadRequestError):
        await graph.bot().send_quick_replies("77", "Size?", [])


async def test_error_in_an_answer_with_status_200_is_an_error(graph: LocalGraph) -> None:
    """The status alone does not make a success."""
    graph.will_refuse(100, status=200)

    with pytest.raises(BadRequestError):
        await graph.bot(raise_errors=True).send_text_message("77", "hi")


RETRIED = [
    (613, None, {}, [1.0, 4.0]),
    (4, None, {}, [1.0, 4.0]),
    (80006, None, {}, [1.0, 4.0]),
    (80002, None, {}, [1.0, 4.0]),
    (341, None, {}, [1.0, 4.0]),
    (987654, None, {"status": 429}, [1.0, 4.0]),
    (987654, None, {"status": 408}, [0.5, 2.0]),
    (987654, None, {"is_transient": "true"}, [0.5, 2.0]),
    (2, None, {"is_transient": True, "status": 500}, [0.5, 2.0]),
    (1200, None, {}, [0.5, 2.0]),
]


@pytest.mark.parametrize(("code", "subcode", "error", "waits"), RETRIED)
async def test_undelivered_message_is_sent_again(
    graph: LocalGraph, code: int, subcode: int | None, error: dict[str, Any], waits: list[float]
) -> None:
    """Two refusals that delivered nothing are followed by a success, after growing waits."""
    clock = StillClock()
    graph.will_refuse(code, subcode, **error)
    graph.will_refuse(code, subcode, **error)

    answer = await graph.bot(clock=clock).send_text_message("77", "hi")

    assert ("m_1", 3, waits) == (answer["message_id"], len(graph.seen), clock.sleeps)


async def test_waits_have_jitter(graph: LocalGraph) -> None:
    """Callers that failed together do not repeat their calls at the same time, nor too early."""
    clock = StillClock()
    graph.will_refuse(613)
    graph.will_refuse(613)

    await graph.bot(clock=clock, rng=random.Random(1)).send_text_message("77", "hi")

    first, second = clock.sleeps
    assert 1.0 < first < 1.5
    assert 4.0 < second < 6.0


async def test_number_of_tries_is_limited(graph: LocalGraph) -> None:
    """The third refusal is raised."""
    for _ in range(5):
        graph.will_refuse(613)

    with pytest.raises(RateLimitedError):
        await graph.bot(clock=StillClock(), raise_errors=True).send_text_message("77", "hi")
    assert 3 == len(graph.seen)


NEVER = [
    (1, 99, {"status": 500}),
    (1, 99, {"status": 500, "is_transient": True}),
    (1, 1357046, {}),
    (2, None, {}),
    (4, 2018354, {}),
    (9, 2018352, {}),
    (10, 2018278, {}),
    (100, None, {}),
    (190, None, {}),
    (551, None, {}),
    (987654, None, {"status": 500}),
    (987654, None, {"status": 503}),
]


@pytest.mark.parametrize(("code", "subcode", "error"), NEVER)
async def test_message_that_may_have_been_delivered_is_not_sent_again(
    graph: LocalGraph, code: int, subcode: int | None, error: dict[str, Any]
) -> None:
    """Also not after a lasting refusal."""
    graph.will_refuse(code, subcode, **error)

    with pytest.raises(SendError):
        await graph.bot(clock=StillClock(), raise_errors=True).send_text_message("77", "hi")
    assert 1 == len(graph.seen)


async def test_wait_requested_by_facebook_is_respected(graph: LocalGraph) -> None:
    """Retry-After makes the wait longer."""
    clock = StillClock()
    graph.answers.append(Answer({"error": {"code": 613}}, 400, {"Retry-After": "7"}))

    await graph.bot(clock=clock).send_text_message("77", "hi")

    assert [7.0] == clock.sleeps


@pytest.mark.parametrize(
    ("status", "body", "headers", "waits"),
    [
        (429, b"slow down", {}, [1.0]),
        (429, b"slow down", {"Retry-After": "9"}, [9.0]),
        (429, b"slow down", {"Retry-After": "Thu, 01 Jan 1970 00:16:52 GMT"}, [12.0]),
        (408, b"<html>", {}, [0.5]),
        (503, b"<html>", {"Retry-After": "3"}, [3.0]),
        (500, {"error": {"code": 2, "is_transient": True}}, {"Retry-After": "6"}, [6.0]),
    ],
)
async def test_call_that_was_turned_away_is_repeated_after_the_wait(
    graph: LocalGraph, status: int, body: Any, headers: dict[str, str], waits: list[float]
) -> None:
    """Also by a load balancer; its date is compared with the clock, which is at 1000 s."""
    clock = StillClock()
    graph.answers.append(Answer(body, status, headers))

    await graph.bot(clock=clock).send_text_message("77", "hi")

    assert (waits, 2) == (clock.sleeps, len(graph.seen))


async def test_long_wait_is_left_to_the_caller(graph: LocalGraph) -> None:
    """Minutes until access is regained are in the error, which is raised at once."""
    usage = '{"9": [{"type": "messenger", "call_count": 101, "estimated_time_to_regain_access": 15}]}'
    graph.answers.append(Answer({"error": {"code": 80006}}, 400, {"x-business-use-case-usage": usage}))

    with pytest.raises(RateLimitedError) as caught:
        await graph.bot(clock=StillClock(), raise_errors=True).send_text_message("77", "hi")
    assert (900.0, 1) == (caught.value.retry_after_seconds, len(graph.seen))


@pytest.mark.parametrize(("percent", "seconds"), [(100, 3600.0), (40, None)])
async def test_wait_of_an_ad_account_is_in_the_error(graph: LocalGraph, percent: float, seconds: float | None) -> None:
    """Of one that has used up its calls, in seconds."""
    usage = json.dumps({"acc_id_util_pct": percent, "reset_time_duration": 3600, "ads_api_access_tier": "standard"})
    graph.answers += [Answer({"error": {"code": 80004}}, 400, {"x-ad-account-usage": usage})] * 3

    with pytest.raises(RateLimitedError) as caught:
        await graph.bot(clock=StillClock(), raise_errors=True).send_text_message("77", "hi")
    assert seconds == caught.value.retry_after_seconds


async def test_refused_connection_is_temporary_and_tried_again() -> None:
    """Nothing was sent, so there are three tries; the error is raised although it has no body."""
    clock = StillClock()
    async with AsyncBot(TOKEN, graph_url=f"http://127.0.0.1:{_free_port()}", clock=clock, rng=NoJitter()) as bot:
        with pytest.raises(TemporarySendError) as caught:
            await bot.send_text_message("77", "hi")

    assert ([0.5, 2.0], None) == (clock.sleeps, caught.value.status)


async def test_lost_connection_means_unknown_delivery(graph: LocalGraph) -> None:
    """The request was read without an answer: the error is raised, and nothing is sent again."""
    graph.answers.append(Answer(hang_up=True))

    with pytest.raises(DeliveryUnknownError):
        await graph.bot(clock=StillClock()).send_text_message("77", "hi")
    assert 1 == len(graph.seen)


async def test_read_call_is_repeated_after_a_lost_connection(graph: LocalGraph) -> None:
    """A GET delivers nothing. The second hang-up is for the repetition by aiohttp itself."""
    clock = StillClock()
    graph.answers.extend([Answer(hang_up=True), Answer(hang_up=True), Answer({"first_name": "Ann"})])

    assert {"first_name": "Ann"} == await graph.bot(clock=clock).get_user_profile("77")
    assert [0.5] == clock.sleeps


async def test_timeout_means_unknown_delivery() -> None:
    """A server that reads the request and does not answer."""
    release = asyncio.Event()

    async def silent(_request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/{path:.*}", silent)
    async with TestServer(app) as server:
        async with AsyncBot(TOKEN, graph_url=str(server.make_url("")), timeout_seconds=0.2) as bot:
            with pytest.raises(DeliveryUnknownError):
                await bot.send_text_message("77", "hi")
        release.set()


@pytest.mark.parametrize("content", [b"<html>", b"", b"{"])
async def test_answer_that_is_not_json_means_unknown_delivery(graph: LocalGraph, content: bytes) -> None:
    """Also with status 200."""
    graph.answers.append(Answer(content))

    with pytest.raises(DeliveryUnknownError):
        await graph.bot().send_text_message("77", "hi")


async def test_redirect_is_not_followed(graph: LocalGraph) -> None:
    """The token is only sent to the address that was set."""
    graph.answers.append(Answer(b"", 307, {"Location": graph.url + "/elsewhere"}))

    with pytest.raises(BadRequestError):
        await graph.bot().send_text_message("77", "hi")
    assert 1 == len(graph.seen)


async def test_upload_from_a_pipe_is_not_repeated(graph: LocalGraph) -> None:
    """It cannot be read a second time."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    graph.will_refuse(613)

    with pytest.raises(RateLimitedError):
        await graph.bot(clock=StillClock(), raise_errors=True).send_file("77", Pipe(b"data"))
    assert 1 == len(graph.seen)


async def test_upload_from_an_open_file_is_repeated_as_a_whole(graph: LocalGraph) -> None:
    """From the initial position of the file."""
    file = io.BytesIO(b"skip-data")
    file.seek(5)
    graph.will_refuse(613)

    await graph.bot(clock=StillClock()).send_file("77", file)

    assert [b"data", b"data"] == [request.fields["filedata"].content for request in graph.seen]


async def test_no_error_shows_token_or_text(graph: LocalGraph) -> None:
    """Message, repr, traceback and body of an error do not have the token, even where Facebook repeats it."""
    graph.answers.append(Answer({"error": {"code": 190, "message": f"Malformed access token {TOKEN}"}}, 400))
    graph.answers.append(Answer(hang_up=True))
    bot = graph.bot(app_secret="app-secret", raise_errors=True)

    for _ in range(2):
        with pytest.raises(SendError) as caught:
            await bot.send_text_message("77", "private words")
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value.body)
        assert TOKEN not in shown
        assert "private words" not in str(caught.value)
        assert "appsecret_proof" not in shown


async def test_retry_is_logged_without_token_or_text(graph: LocalGraph, caplog: pytest.LogCaptureFixture) -> None:
    """The log line has only the numbers of the error."""
    caplog.set_level("DEBUG")
    graph.will_refuse(613)

    await graph.bot(clock=StillClock()).send_text_message("77", "private words")

    assert "code 613" in caplog.text
    assert TOKEN not in caplog.text
    assert "private words" not in caplog.text
