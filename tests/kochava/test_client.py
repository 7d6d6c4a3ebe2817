"""The client: one request, one answer or failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kochava_bot_middleware.kochava.client import READ_BYTES, Answer, Failure, KochavaClient
from kochava_bot_middleware.kochava.wire import WireRequest
from tests.faults.fault_server import FaultServer, Mode


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    server = FaultServer()
    async with server.running():
        yield server


@pytest.fixture
async def client() -> AsyncIterator[KochavaClient]:
    client = KochavaClient(timeout_seconds=0.3)
    yield client
    await client.close()


def post(server: FaultServer, path: str = "/track/json", body: bytes = b'{"a":1}') -> WireRequest:
    headers = {"User-Agent": "Unknown", "Content-Type": "application/json"}
    return WireRequest(method="POST", url=server.url + path, headers=headers, body=body)


async def test_bytes_and_headers_are_sent_as_they_are(server: FaultServer, client: KochavaClient) -> None:
    """The bytes sent are the bytes signed, and no client library is named."""
    answer = await client.send(post(server, body=b'{"u":"https:\\/\\/a"}'))
    assert Answer(status=200, start=b'{"success":"1"}') == answer
    (received,) = server.received
    assert b'{"u":"https:\\/\\/a"}' == received.body
    assert ("Unknown", "application/json") == (received.headers["user-agent"], received.headers["content-type"])


async def test_url_is_sent_byte_for_byte(server: FaultServer, client: KochavaClient) -> None:
    """Quoting is neither added nor removed."""
    path = "/click?a=%7Bx%7D&b=a+b&c=%E2%82%AC&&d=1%2F2"
    await client.send(WireRequest(method="GET", url=server.url + path, headers={}))
    assert [path] == [received.path for received in server.received]


async def test_number_of_connections_is_not_limited() -> None:
    """Also while Kochava is slow."""
    many = 150
    came = asyncio.Barrier(many)

    async def answer(_request: web.Request) -> web.Response:
        await came.wait()
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_post("/track/json", answer)
    patient = KochavaClient(timeout_seconds=30)
    async with TestServer(app) as server:
        request = WireRequest(method="POST", url=str(server.make_url("/track/json")), headers={}, body=b"{}")
        answers = await asyncio.gather(*(patient.send(request) for _ in range(many)))
        await patient.close()
    assert [Answer(status=200, start=b"ok")] * many == answers


async def test_redirect_is_not_followed(server: FaultServer, client: KochavaClient) -> None:
    """Credentials would be sent along."""
    server.mode = Mode.REDIRECT
    answer = await client.send(post(server))
    assert isinstance(answer, Answer)
    assert (302, 1) == (answer.status, len(server.received))


async def test_only_the_start_of_a_large_answer_is_read(server: FaultServer, client: KochavaClient) -> None:
    """Nobody needs a megabyte."""
    server.mode = Mode.HUGE
    answer = await client.send(post(server))
    assert Answer(status=200, start=b"x" * READ_BYTES) == answer


async def test_half_a_body_is_an_incomplete_answer(server: FaultServer, client: KochavaClient) -> None:
    """The status is known."""
    server.mode = Mode.HALF_BODY
    assert Answer(status=200, start=b'{"succ', complete=False) == await client.send(post(server))


async def test_retry_after_is_kept(server: FaultServer, client: KochavaClient) -> None:
    """It is a field of the answer."""
    server.mode = Mode.TOO_MANY_SECONDS
    answer = await client.send(post(server))
    assert Answer(status=429, start=b'{"success":"1"}', retry_after="30") == answer


@pytest.mark.parametrize(
    ("mode", "failure"),
    [
        (Mode.HANG, Failure(reason="no answer in time", ambiguous=True)),
        (Mode.RESET, Failure(reason="connection broke", ambiguous=True)),
        (Mode.HALF_HEADER, Failure(reason="connection broke", ambiguous=True)),
    ],
)
async def test_failure_after_sending_is_ambiguous(
    server: FaultServer, client: KochavaClient, mode: Mode, failure: Failure
) -> None:
    """The request may have been counted."""
    server.mode = mode
    assert failure == await client.send(post(server))


async def test_refused_connection_is_not_ambiguous(client: KochavaClient) -> None:
    """Nothing was sent."""
    closed = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    request = WireRequest(method="POST", url=f"http://127.0.0.1:{port}/", headers={}, body=b"{}")
    assert Failure(reason="connection refused", ambiguous=False) == await client.send(request)


async def test_unknown_host_is_not_ambiguous(client: KochavaClient) -> None:
    """Nothing was sent."""
    request = WireRequest(method="POST", url="http://no-such-host.invalid/", headers={}, body=b"{}")
    failure = await client.send(request)
    assert isinstance(failure, Failure)
    assert not failure.ambiguous


async def test_connection_is_reused(server: FaultServer, client: KochavaClient) -> None:
    """There is one session."""
    for _ in range(5):
        await client.send(post(server))
    assert 1 == server.connections


async def test_close_is_idempotent_and_a_later_request_opens_again(server: FaultServer, client: KochavaClient) -> None:
    """The order at shutdown does not matter."""
    await client.close()
    await client.close()
    assert isinstance(await client.send(post(server)), Answer)


def test_repr_of_a_request_shows_neither_address_nor_body() -> None:
    """Both have ids of people."""
    request = WireRequest(
        method="GET",
        url="https://u:p@imp.test/track?fb_user_id=psid-1",
        headers={"Kochava-Api-Key": "k3y"},
        body=b"b0dy",
    )
    assert "imp.test" == request.host
    for private in ("psid-1", "k3y", "b0dy", "u:p"):
        assert private not in repr(request)


async def test_cookies_are_not_kept() -> None:
    """They would make all people one visitor. An address without a host name never gets cookies."""
    cookies: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "visitor=1; Path=/"})

    app = web.Application()
    app.router.add_get("/click", answer)
    client = KochavaClient(timeout_seconds=5)
    async with TestServer(app) as served:
        for _ in range(2):
            await client.send(WireRequest(method="GET", url=f"http://localhost:{served.port}/click", headers={}))
        await client.close()
    assert [None, None] == cookies
