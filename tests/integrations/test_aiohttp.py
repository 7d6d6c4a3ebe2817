"""The webhook of an application of aiohttp.web, with its own handler, on a real server."""

from __future__ import annotations

import asyncio
import io
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from kochava_bot_middleware import KochavaMiddleware, RegistrationError
from kochava_bot_middleware.integrations.aiohttp import setup
from kochava_bot_middleware.store.memory import MemoryStore
from tests.integrations.webhooks import body_of, kochava_on, recorded, signature_of

Client = TestClient[web.Request, web.Application]


async def webhook(request: web.Request) -> web.Response:
    """Answers with what it read."""
    return web.Response(body=await request.read(), status=int(request.headers.get("Wanted", "200")))


async def from_stream(request: web.Request) -> web.Response:
    """Reads in another way."""
    return web.Response(body=await request.content.read())


class View(web.View):
    """A handler that is a class."""

    async def post(self) -> web.Response:
        raise web.HTTPAccepted(text=await self.request.text())


@asynccontextmanager
async def serving(kochava: KochavaMiddleware, handler: Any = webhook, **options: Any) -> AsyncIterator[Client]:
    app = web.Application(client_max_size=1_000_000)
    app.router.add_route("*", "/webhook", handler)
    setup(app, kochava, **options)
    async with TestClient(TestServer(app)) as client:
        yield client


async def post(client: Client, body: bytes, signed: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    headers["X-Hub-Signature-256"] = signature_of(body if signed is None else signed)
    async with client.post("/webhook", data=io.BytesIO(body), headers=headers) as answer:
        return answer.status, await answer.read()


@pytest.mark.parametrize(("handler", "name"), [(webhook, "webhook"), (from_stream, "from_stream"), (View, "View")])
async def test_the_handler_reads_the_webhook_and_its_event_is_recorded(handler: Any, name: str) -> None:
    """However it reads, and whether it returns its answer or raises it."""
    store, body = MemoryStore(), body_of("ann")
    async with serving(kochava_on(store), handler) as client:
        status, answer = await post(client, body)
        ((user_id, _, data),) = await recorded(store)
    assert (200, body) == (200 if status == 202 else status, answer)
    assert ("ann", name, True) == (user_id, data["handler"], data["handled"])


async def test_all_is_stored_before_the_answer_leaves() -> None:
    """What the handler tracks, too."""
    store = MemoryStore()
    kochava = kochava_on(store)

    async def question(_request: web.Request) -> web.Response:
        await kochava.track("Question", user_id="bob")
        return web.Response()

    async with serving(kochava, question) as client:
        await post(client, body_of("ann", "bob"))
        assert {"Message", "Question"} == {name for _, name, _ in await recorded(store)}


@pytest.mark.parametrize(("status", "handled"), [("500", False), ("403", None), ("204", True)])
async def test_the_status_says_whether_the_events_were_handled(status: str, handled: bool | None) -> None:
    """Those that the handler refused are not recorded."""
    store = MemoryStore()
    async with serving(kochava_on(store)) as client:
        await post(client, body_of("ann"), Wanted=status)
        assert [handled] * (handled is not None) == [data["handled"] for _, _, data in await recorded(store)]


async def test_kochava_starts_and_stops_with_the_application() -> None:
    """Before and after what else it has."""
    kochava = kochava_on()
    async with serving(kochava):
        assert kochava.runtime.is_started
    assert kochava.runtime.is_stopped


async def test_a_wrong_signature_never_reaches_the_handler() -> None:
    """Nor is anything recorded."""
    store = MemoryStore()
    async with serving(kochava_on(store)) as client:
        status, text = await post(client, body_of("ann"), signed=b"other")
        assert (403, b"the signature was made with another app secret, or for another body") == (status, text)
        assert [] == await recorded(store)


@pytest.mark.parametrize("body", [b"", b"no JSON \xff\x00", b'{"a": 1}'])
async def test_a_body_that_is_no_webhook_passes_byte_for_byte(body: bytes) -> None:
    """The handler says what to answer."""
    async with serving(kochava_on()) as client:
        assert (200, body) == await post(client, body)


async def test_a_body_over_the_limit_is_refused() -> None:
    """That of the application is met by the handler, as before."""
    async with serving(kochava_on(), max_body_bytes=2_000_000) as client:
        assert [413, 413] == [(await post(client, bytes(size)))[0] for size in (1_000_001, 2_000_001)]
        assert b"larger than 2000000 bytes" in (await post(client, bytes(2_000_001)))[1]


async def test_a_half_sent_webhook_is_dropped_after_a_time_out() -> None:
    """And so is its connection."""
    async with serving(kochava_on(), body_timeout_seconds=0.01) as client:
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"POST /webhook HTTP/1.1\r\nHost: bot\r\nContent-Length: 100\r\n\r\n{")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()


async def test_an_upload_of_20_mb_on_another_route_costs_no_memory() -> None:
    """Its parts pass one by one; the other half of the memory is that of the client."""
    received = 0

    async def upload(request: web.Request) -> web.Response:
        nonlocal received
        async for part in request.content.iter_any():
            received += len(part)
        return web.Response()

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(320):
            yield bytes(65536)

    app = web.Application()
    app.router.add_post("/upload", upload)
    setup(app, kochava_on())
    async with TestClient(TestServer(app)) as client:
        tracemalloc.start()
        try:
            await client.post("/upload", data=parts())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert 320 * 65536 == received
    assert peak < 2_000_000


async def test_verification_passes() -> None:
    """The handler answers it."""
    async with serving(kochava_on()) as client, client.get("/webhook") as answer:
        assert 200 == answer.status


def test_a_bot_is_refused() -> None:
    """The message says what is wanted."""
    with pytest.raises(RegistrationError, match="`setup` takes what"):
        setup(web.Application(), object())  # type: ignore[arg-type]
