"""The bot over real HTTP."""

from __future__ import annotations

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from yarl import URL

from kochava_bot_middleware.bot import MessengerBot
from kochava_bot_middleware.exceptions import RegistrationError
from kochava_bot_middleware.store.memory import MemoryStore
from tests.bot_fakes import StoreOwner, make_bot, signature, webhook_body
from tests.inbox.inbox_fakes import message_item

TEXT = "my number is 4711"
BODY = webhook_body(message_item(TEXT))
LIMIT = 4096


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def bot(store: MemoryStore) -> MessengerBot:
    bot = make_bot(max_body_bytes=LIMIT)
    bot.add_middleware(StoreOwner(store))
    return bot


@pytest.fixture
async def url(bot: MessengerBot) -> AsyncIterator[str]:
    server = TestServer(bot.app())
    await server.start_server()
    yield str(server.make_url("/webhook"))
    await server.close()


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession(auto_decompress=False) as session:
        yield session


async def chunked(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1000):
        yield body[start : start + 1000]


async def test_signed_webhook_is_stored_and_answered_before_its_handler_ends(
    bot: MessengerBot, store: MemoryStore, http: ClientSession, url: str
) -> None:
    """The answer does not wait for it."""
    may_end = asyncio.Event()

    @bot.on_message()
    async def slow(event: Any, reply: Any) -> None:
        await may_end.wait()

    answer = await http.post(url, data=BODY, headers=signature(BODY))
    assert (200, "EVENT_RECEIVED") == (answer.status, await answer.text())
    assert 1 == (await store.stats())["inbox"].in_flight
    may_end.set()


async def test_chunked_webhook_is_accepted(http: ClientSession, url: str) -> None:
    """A body without a length."""
    answer = await http.post(url, data=chunked(BODY), headers=signature(BODY))

    assert 200 == answer.status


LARGE = BODY + b" " * LIMIT


@pytest.mark.parametrize(
    ("status", "data", "headers"),
    [
        (403, BODY, signature(BODY, "guess")),
        (403, BODY, {}),
        (400, BODY[:-5], signature(BODY[:-5])),
        (413, LARGE, signature(LARGE)),
        (413, lambda: chunked(LARGE), signature(LARGE)),
    ],
    ids=["wrong signature", "no signature", "broken JSON", "too large by its length", "too large in chunks"],
)
async def test_bad_input_is_refused(
    status: int,
    data: Any,
    headers: dict[str, str],
    store: MemoryStore,
    http: ClientSession,
    url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is stored, and only the reason is logged."""
    caplog.set_level(logging.DEBUG, logger="kochava_bot_middleware")
    answer = await http.post(url, data=data() if callable(data) else data, headers=headers)
    text = await answer.text()

    assert (status, {}) == (answer.status, dict(await store.stats()))
    assert [f"webhook_refused {status} {text}"] == caplog.messages
    for private in ("4711", "app-secret", "verify-me", "page-token", *headers.values()):
        assert private not in caplog.text + text


async def test_too_large_body_is_not_read_to_its_end(http: ClientSession, url: str) -> None:
    """An endless body cannot fill the memory."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 65536

    async with asyncio.timeout(20):
        answer = await http.post(url, data=endless(), headers=signature(b""))
        assert 413 == answer.status
        answer.close()
    assert sent < 1000


async def test_too_large_body_is_refused_by_its_length(url: str) -> None:
    """Before it arrives."""
    address = URL(url)
    assert address.host is not None
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(f"POST /webhook HTTP/1.1\r\nHost: here\r\nContent-Length: {LIMIT + 1}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        assert b" 413 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_body_with_a_wrong_content_encoding_is_refused(store: MemoryStore, http: ClientSession, url: str) -> None:
    """It is not stored."""
    answer = await http.post(url, data=BODY, headers={**signature(BODY), "Content-Encoding": "gzip"})

    assert 400 <= answer.status < 500
    assert {} == dict(await store.stats())


async def test_a_half_sent_body_is_dropped_after_a_time_out() -> None:
    """And so is its connection."""
    server = TestServer(make_bot(body_timeout_seconds=0.01).app())
    await server.start_server()
    assert server.port is not None
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"POST /webhook HTTP/1.1\r\nHost: bot\r\nContent-Length: 100\r\n\r\n{")
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    writer.close()
    await server.close()

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()


async def test_body_that_decompresses_to_too_much_is_refused(http: ClientSession, url: str) -> None:
    """The limit counts what is held in memory."""
    packed = gzip.compress(b" " * 10_000_000)
    assert len(packed) > LIMIT
    packed = gzip.compress(b" " * 1_000_000)
    assert len(packed) < LIMIT
    answer = await http.post(url, data=packed, headers={**signature(packed), "Content-Encoding": "gzip"})

    assert 413 == answer.status


async def test_limit_is_that_of_the_bot_in_another_application(http: ClientSession) -> None:
    """The limit of the application may be lower."""
    bot = make_bot(max_body_bytes=1 << 20)
    app = web.Application(client_max_size=1000)
    bot.add_to(app, "/messenger")
    server = TestServer(app)
    await server.start_server()
    body = webhook_body(message_item("x" * 5000))
    answer = await http.post(server.make_url("/messenger"), data=body, headers=signature(body))

    assert 200 == answer.status
    await server.close()


async def test_verification_answers_with_the_challenge(http: ClientSession, url: str) -> None:
    """As plain text."""
    asked = {"hub.mode": "subscribe", "hub.verify_token": "verify-me", "hub.challenge": "1158201444"}
    answer = await http.get(url, params=asked)

    assert (200, b"1158201444", "text/plain") == (answer.status, await answer.read(), answer.content_type)


@pytest.mark.parametrize("asked", [{}, {"hub.mode": "subscribe", "hub.verify_token": "guess", "hub.challenge": "1"}])
async def test_wrong_verification_is_refused(
    asked: dict[str, str], http: ClientSession, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With 403, without the token."""
    caplog.set_level(logging.DEBUG, logger="kochava_bot_middleware")
    answer = await http.get(url, params=asked)

    assert 403 == answer.status
    assert "verify-me" not in caplog.text + await answer.text()


async def test_good_input_after_bad_input_is_accepted(http: ClientSession, url: str) -> None:
    """On the same connection, too."""
    for _ in range(3):
        assert 413 == (await http.post(url, data=LARGE, headers=signature(LARGE))).status
        assert 400 == (await http.post(url, data=b"{", headers=signature(b"{"))).status
        assert 200 == (await http.post(url, data=BODY, headers=signature(BODY))).status


async def test_server_that_shuts_down_drains(bot: MessengerBot, store: MemoryStore, http: ClientSession) -> None:
    """Handlers end before the store is closed."""
    handled: list[str] = []
    begun, may_end = asyncio.Event(), asyncio.Event()

    @bot.on_message()
    async def slow(event: Any, reply: Any) -> None:
        begun.set()
        await may_end.wait()
        handled.append(event.text)

    server = TestServer(bot.app())
    await server.start_server()
    await http.post(server.make_url("/webhook"), data=BODY, headers=signature(BODY))
    await begun.wait()
    closing = asyncio.create_task(server.close())
    await asyncio.sleep(0)
    may_end.set()
    await closing

    assert [TEXT] == handled


@pytest.mark.parametrize("body", [{"object": "page"}, BODY.decode()])
async def test_receive_refuses_what_is_not_the_received_bytes(bot: MessengerBot, body: Any) -> None:
    """The error says why the bytes are needed."""
    with pytest.raises(RegistrationError, match=f"wanted bytes, got {type(body).__name__}: pass the body as it was"):
        await bot.receive(body, {})


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_received_bytes_may_be_in_a_buffer(bot: MessengerBot, kind: type[Any]) -> None:
    """As hosts collect them."""
    await bot.start()
    assert 200 == (await bot.receive(kind(BODY), signature(BODY))).status


async def test_receive_refuses_headers_that_are_no_mapping(bot: MessengerBot) -> None:
    """Such as the list of pairs that an ASGI server gives."""
    with pytest.raises(RegistrationError, match="wanted Mapping, got list: pass the headers of the request by name"):
        await bot.receive(BODY, [(b"x-hub-signature-256", b"sha256=0")])  # type: ignore[arg-type]
