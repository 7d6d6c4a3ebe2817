"""What happens when Facebook refuses, or does not answer."""

from __future__ import annotations

import asyncio
import io
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


async def test_error_body_is_returned_as_pymessenger_does(graph: LocalGraph) -> None:
    """Methods that pymessenger has return the decoded error."""
    graph.will_refuse(100)

    answer = await graph.bot().send_text_message("77", "hi")

    assert 100 == answer["error"]["code"]


async def test_error_is_raised_on_request(graph: LocalGraph) -> None:
    """With raise_errors the same methods raise."""
    graph.will_refuse(100)

    with pytest.raises(BadRequestError):
        await graph.bot(raise_errors=True).send_text_message("77", "hi")


async def test_error_is_raised_by_new_methods(graph: LocalGraph) -> None:
    """Methods that pymessenger does not have always raise."""
    graph.will_refuse(100)

    with pytest.raises(BadRequestError):
        await graph.bot().send_quick_replies("77", "Size?", [])


async def test_error_in_an_answer_of_200_is_an_error(graph: LocalGraph) -> None:
    """The status alone does not make a success."""
    graph.will_refuse(100, status=200)

    with pytest.raises(BadRequestError):
        await graph.bot(raise_errors=True).send_text_message("77", "hi")


RETRIED = [
    (613, None, {}, [1.0, 4.0]),
    (4, None, {}, [1.0, 4.0]),
    (80006, None, {}, [1.0, 4.0]),
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


async def test_waits_are_spread(graph: LocalGraph) -> None:
    """Callers who failed together do not come again together, nor earlier than they would alone."""
    clock = StillClock()
    graph.will_refuse(613)
    graph.will_refuse(613)

    await graph.bot(clock=clock, rng=random.Random(1)).send_text_message("77", "hi")

    first, second = clock.sleeps
    assert 1.0 < first < 1.5
    assert 4.0 < second < 6.0


async def test_tries_are_bounded(graph: LocalGraph) -> None:
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
]


@pytest.mark.parametrize(("code", "subcode", "error"), NEVER)
async def test_message_that_may_have_arrived_is_not_sent_again(
    graph: LocalGraph, code: int, subcode: int | None, error: dict[str, Any]
) -> None:
    """Unknown outcome and lasting refusals end at the first try."""
    graph.will_refuse(code, subcode, **error)

    with pytest.raises(SendError):
        await graph.bot(clock=StillClock(), raise_errors=True).send_text_message("77", "hi")
    assert 1 == len(graph.seen)


async def test_wait_that_facebook_asks_for_is_kept(graph: LocalGraph) -> None:
    """Retry-After lengthens the wait."""
    clock = StillClock()
    graph.answers.append(Answer({"error": {"code": 613}}, 400, {"Retry-After": "7"}))

    await graph.bot(clock=clock).send_text_message("77", "hi")

    assert [7.0] == clock.sleeps


async def test_long_wait_is_left_to_the_caller(graph: LocalGraph) -> None:
    """Minutes until access is regained are on the error; nobody is held that long."""
    usage = '{"9": [{"type": "messenger", "call_count": 101, "estimated_time_to_regain_access": 15}]}'
    graph.answers.append(Answer({"error": {"code": 80006}}, 400, {"x-business-use-case-usage": usage}))

    with pytest.raises(RateLimitedError) as caught:
        await graph.bot(clock=StillClock(), raise_errors=True).send_text_message("77", "hi")
    assert (900.0, 1) == (caught.value.retry_after_seconds, len(graph.seen))


async def test_refused_connection_is_temporary_and_tried_again() -> None:
    """Nothing left this machine, so it is tried three times; the error is raised though there is no body."""
    clock = StillClock()
    async with AsyncBot(TOKEN, graph_url=f"http://127.0.0.1:{_free_port()}", clock=clock, rng=NoJitter()) as bot:
        with pytest.raises(TemporarySendError) as caught:
            await bot.send_text_message("77", "hi")

    assert ([0.5, 2.0], None) == (clock.sleeps, caught.value.status)


async def test_lost_connection_is_of_unknown_delivery(graph: LocalGraph) -> None:
    """The request was read and no answer came: raised, and not sent again."""
    graph.answers.append(Answer(hang_up=True))

    with pytest.raises(DeliveryUnknownError):
        await graph.bot(clock=StillClock()).send_text_message("77", "hi")
    assert 1 == len(graph.seen)


async def test_lost_connection_of_a_look_up_is_tried_again(graph: LocalGraph) -> None:
    """A GET delivers nothing. The second hang-up gets past the one try more that aiohttp makes by itself."""
    clock = StillClock()
    graph.answers.extend([Answer(hang_up=True), Answer(hang_up=True), Answer({"first_name": "Ann"})])

    assert {"first_name": "Ann"} == await graph.bot(clock=clock).get_user_profile("77")
    assert [0.5] == clock.sleeps


async def test_time_out_is_of_unknown_delivery() -> None:
    """A server that takes the request and stays silent ends the call in time."""
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
async def test_answer_that_is_not_json_is_of_unknown_delivery(graph: LocalGraph, content: bytes) -> None:
    """A 200 without JSON says nothing."""
    graph.answers.append(Answer(content))

    with pytest.raises(DeliveryUnknownError):
        await graph.bot().send_text_message("77", "hi")


async def test_redirect_is_not_followed(graph: LocalGraph) -> None:
    """The token goes to nobody but the address that was set."""
    graph.answers.append(Answer(b"", 307, {"Location": graph.url + "/elsewhere"}))

    with pytest.raises(BadRequestError):
        await graph.bot().send_text_message("77", "hi")
    assert 1 == len(graph.seen)


async def test_stream_that_cannot_be_wound_back_is_sent_once(graph: LocalGraph) -> None:
    """A refusal that is otherwise tried again ends an upload from a pipe."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    graph.will_refuse(613)

    with pytest.raises(RateLimitedError):
        await graph.bot(clock=StillClock(), raise_errors=True).send_file("77", Pipe(b"data"))
    assert 1 == len(graph.seen)


async def test_upload_is_sent_again_whole(graph: LocalGraph) -> None:
    """An open file is wound back to where it stood."""
    file = io.BytesIO(b"skip-data")
    file.seek(5)
    graph.will_refuse(613)

    await graph.bot(clock=StillClock()).send_file("77", file)

    assert [b"data", b"data"] == [request.fields["filedata"].content for request in graph.seen]


async def test_no_error_shows_token_or_text(graph: LocalGraph) -> None:
    """Neither message, repr, traceback nor body of an error holds the token, even where Facebook quotes it."""
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
    """The log line of a retry has the numbers and nothing private."""
    caplog.set_level("DEBUG")
    graph.will_refuse(613)

    await graph.bot(clock=StillClock()).send_text_message("77", "private words")

    assert "code 613" in caplog.text
    assert TOKEN not in caplog.text
    assert "private words" not in caplog.text
