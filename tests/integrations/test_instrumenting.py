"""Instrumenting a client: what is refused, what is kept, and two layers that see one send."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import httpx
import pytest
import requests
from pymessenger.bot import Bot
from requests.adapters import HTTPAdapter

from kochava_bot_middleware import AsyncBot, KochavaMiddleware, RegistrationError, SyncKochava
from kochava_bot_middleware.integrations import pymessenger
from kochava_bot_middleware.integrations.aiohttp_client import client_middleware
from kochava_bot_middleware.integrations.httpx import AsyncKochavaTransport, KochavaTransport
from kochava_bot_middleware.integrations.requests import instrument
from tests.integrations.wire import Wire, wire_server

SETTINGS = {
    "kochava_app_id": "koapp",
    "store": "memory://",
    "mode": "dry_run",
    "smartlinks": {"default": "https://acme.smart.link/ab12cd34e?url={url}"},
}
BODY = {
    "recipient": {"id": "5551"},
    "message": {
        "attachment": {
            "type": "template",
            "payload": {
                "template_type": "button",
                "text": "Hello!",
                "buttons": [{"type": "web_url", "title": "Shop", "url": "https://shop.example/"}],
            },
        }
    },
}


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Facebook."""
    with wire_server() as server:
        yield server


@pytest.fixture
def kochava() -> Iterator[SyncKochava]:
    """The middleware of a synchronous program."""
    with SyncKochava.from_dict(SETTINGS) as middleware:
        yield middleware


def sent_url(wire: Wire) -> str:
    """The address of the one button."""
    url: str = json.loads(wire.taken().body)["message"]["attachment"]["payload"]["buttons"][0]["url"]
    return url


@pytest.mark.parametrize(("library", "module"), [("httpx", "httpx"), ("requests", "requests")])
def test_a_missing_library_is_named(library: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    name = f"kochava_bot_middleware.integrations.{module}"
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, name)

    with pytest.raises(ModuleNotFoundError, match=f"pip install {library}"):
        importlib.import_module(name)


def test_an_old_aiohttp_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no middlewares of clients."""
    name = "kochava_bot_middleware.integrations.aiohttp_client"
    monkeypatch.delattr(aiohttp, "ClientMiddlewareType")
    monkeypatch.delitem(sys.modules, name)

    with pytest.raises(ImportError, match=r"aiohttp 3\.12 or newer"):
        importlib.import_module(name)


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no session": (lambda kochava: instrument(requests, kochava), "pass the session"),  # type: ignore[type-var]
    "no middleware": (lambda _: instrument(requests.Session(), SETTINGS), "pass a SyncKochava"),  # type: ignore[arg-type]
    "hosts are an address": (
        lambda kochava: instrument(requests.Session(), kochava, hosts=["https://graph.facebook.com"]),
        "list of host names",
    ),
    "a synchronous one": (AsyncKochavaTransport, "SyncKochava is for clients that block"),
    "a synchronous one for aiohttp": (client_middleware, "SyncKochava is for clients that block"),
    "settings": (lambda _: KochavaTransport(SETTINGS), "pass a SyncKochava"),  # type: ignore[arg-type]
    "no bot": (lambda kochava: pymessenger.instrument("token", kochava), "send_raw"),
    "the class": (lambda kochava: pymessenger.instrument(Bot, kochava), "send_raw"),
    "an asynchronous bot": (
        lambda kochava: pymessenger.instrument(AsyncBot("t"), kochava),
        r"bot\.add_middleware\(kochava\)",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_instrumented_is_refused(case: str, kochava: SyncKochava) -> None:
    """With what to do instead."""
    make, message = WRONG[case]

    with pytest.raises(RegistrationError, match=message):
        make(kochava)


def test_a_session_keeps_its_adapters(wire: Wire, kochava: SyncKochava) -> None:
    """One that is mounted later sends, too; for other hosts it is as it was."""
    session = instrument(requests.Session(), kochava, hosts=wire.hosts)
    adapter = HTTPAdapter(max_retries=2)
    session.mount("http://", adapter)

    answer = session.post(f"{wire.url}/me/messages", json=BODY, timeout=20)

    assert adapter is session.get_adapter("http://shop.example/")
    assert adapter is answer.connection
    assert sent_url(wire).startswith("https://acme.smart.link")


def test_an_answer_that_is_streamed_is_left_to_the_caller(wire: Wire, kochava: SyncKochava) -> None:
    """Of requests, since the caller asked for it; also for a greeting."""
    session = instrument(requests.Session(), kochava, hosts=wire.hosts)
    with session.post(f"{wire.url}/me/messages", json=BODY, timeout=20, stream=True) as answer:
        assert wire.answer == answer.raw.read(decode_content=True)


def test_instrumenting_again_changes_nothing(kochava: SyncKochava) -> None:
    """However often, so that no chain of layers grows."""
    session, bot = requests.Session(), Bot("token")
    instrument(session, kochava)
    pymessenger.instrument(bot, kochava)
    first = session.get_adapter, bot.send_raw
    instrument(session, kochava)
    pymessenger.instrument(bot, kochava)
    assert first == (session.get_adapter, bot.send_raw)


class Reading(httpx.BaseTransport):
    """A transport that looks at what it sends, such as to log it."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()
        self.seen: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request.content)
        return self._inner.handle_request(request)


def test_a_transport_of_httpx_may_read_what_it_sends(wire: Wire, kochava: SyncKochava) -> None:
    """Also beneath two layers, and where the request was made of a stream."""
    reading = Reading()
    transport = KochavaTransport(kochava, KochavaTransport(kochava, reading, hosts=wire.hosts), hosts=wire.hosts)
    content = json.dumps(BODY).encode()
    host = httpx.URL(wire.url).netloc.decode()
    headers = {"Host": host, "Content-Type": "application/json", "Content-Length": str(len(content))}
    request = httpx.Request("POST", f"{wire.url}/me/messages", headers=headers, stream=httpx.ByteStream(content))
    with httpx.Client(transport=transport) as client:
        assert 200 == client.send(request).status_code
    assert wire.taken().body == reading.seen[0]
    assert b"https://acme.smart.link" in reading.seen[0]
    assert 1 == kochava.counts.links_rewritten


async def test_a_request_of_aiohttp_is_left_as_it_was(wire: Wire) -> None:
    """For a middleware around it that sends it again."""
    bodies: list[bytes] = []

    async def again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        answer = await handler(request)
        assert not isinstance(request.body, bytes)
        bodies.append(await request.body.as_bytes())
        return answer

    async with (
        KochavaMiddleware.from_dict(SETTINGS) as kochava,
        aiohttp.ClientSession(middlewares=(again, client_middleware(kochava, hosts=wire.hosts))) as session,
        session.post(f"{wire.url}/me/messages", json=BODY) as answer,
    ):
        assert 200 == answer.status
    assert [BODY] == [json.loads(body) for body in bodies]
    assert sent_url(wire).startswith("https://acme.smart.link")


def test_two_layers_that_see_one_send_act_once(wire: Wire, kochava: SyncKochava) -> None:
    """pymessenger's bot on an instrumented session, both instrumented twice."""
    session = requests.Session()
    bot = Bot("token")
    bot.send_raw = lambda payload: session.post(f"{wire.url}/me/messages", json=payload, timeout=20).json()
    for _ in range(2):
        instrument(session, kochava, hosts=wire.hosts)
        pymessenger.instrument(bot, kochava)

    assert "m_1" == bot.send_message("5551", BODY["message"])["message_id"]

    assert sent_url(wire).startswith("https://acme.smart.link")
    assert 1 == kochava.counts.links_rewritten


def test_pymessengers_arguments_and_errors_pass(kochava: SyncKochava) -> None:
    """Forks of it have a `send_raw` with more arguments."""

    class Fork(Bot):  # type: ignore[misc]
        def send_raw(self, payload: Any, timeout: int = 1) -> Any:
            if timeout == 0:
                raise TimeoutError
            return payload, timeout

    bot = pymessenger.instrument(Fork("token"), kochava)

    payload = {"recipient": {"id": "1"}, "sender_action": "typing_on"}
    assert (payload, 5) == bot.send_raw(payload, timeout=5)
    with pytest.raises(TimeoutError):
        bot.send_raw(payload, 0)


def test_a_transport_closes_what_sends(kochava: SyncKochava) -> None:
    """As the client closes its transport."""
    closed: list[str] = []

    class Inner(httpx.BaseTransport):
        def close(self) -> None:
            closed.append("sync")

    class AsyncInner(httpx.AsyncBaseTransport):
        async def aclose(self) -> None:
            closed.append("async")

    async def use() -> None:
        middleware = KochavaMiddleware.from_dict(SETTINGS)
        async with httpx.AsyncClient(transport=AsyncKochavaTransport(middleware, AsyncInner())):
            pass

    with httpx.Client(transport=KochavaTransport(kochava, Inner())):
        pass
    asyncio.run(use())
    assert ["sync", "async"] == closed


@pytest.mark.parametrize("reading", ["aiter_raw", "aiter_bytes"])
async def test_the_answer_to_a_greeting_can_be_streamed(
    wire: Wire, reading: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was read for the middleware, and is read once more."""
    greeting = {"impression_url": "http://127.0.0.1:1/?campaign_id=kogreet"}
    async with (
        KochavaMiddleware.from_dict({**SETTINGS, "greeting": greeting}) as kochava,
        httpx.AsyncClient(transport=AsyncKochavaTransport(kochava, hosts=wire.hosts)) as client,
        aiohttp.ClientSession(middlewares=(client_middleware(kochava, hosts=wire.hosts),)) as session,
    ):

        @kochava.greeting
        async def greet() -> tuple[bytes, bytes]:
            async with client.stream("POST", f"{wire.url}/me/messages", json=BODY) as answer:
                content = b"".join([chunk async for chunk in getattr(answer, reading)()])
            async with session.post(f"{wire.url}/me/messages", json=BODY) as other:
                return content, b"".join([chunk async for chunk in other.content.iter_any()])

        item = {"sender": {"id": "5551"}, "recipient": {"id": "1"}, "timestamp": 1, "postback": {"payload": "HI"}}
        webhook = {"object": "page", "entry": [{"id": "1", "time": 1, "messaging": [item]}]}
        async with kochava.handling(*kochava.parse(webhook)):
            content, other_content = await greet()
        assert (b"\x1f\x8b" if reading == "aiter_raw" else b'{"') == content[:2]
        assert wire.answer == other_content
    assert "greeting_not" not in caplog.text


async def test_a_client_in_another_loop_works_as_without_it(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """The log says that nothing is tracked."""
    async with KochavaMiddleware.from_dict(SETTINGS) as kochava:

        async def post() -> int:
            async with httpx.AsyncClient(transport=AsyncKochavaTransport(kochava, hosts=wire.hosts)) as client:
                return (await client.post(f"{wire.url}/me/messages", json=BODY)).status_code

        assert 200 == await asyncio.to_thread(asyncio.run, post())
    assert "https://shop.example/" == sent_url(wire)
    assert "tracking_failed send" in caplog.text


def test_a_session_after_the_end_of_its_loop_works_as_without_it(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody forgot to stop the middleware."""
    kochava = KochavaMiddleware.from_dict(SETTINGS)
    asyncio.run(kochava.start())
    session = instrument(requests.Session(), kochava, hosts=wire.hosts)

    assert 200 == session.post(f"{wire.url}/me/messages", json=BODY, timeout=20).status_code
    assert "https://shop.example/" == sent_url(wire)
    assert "tracking_failed send" in caplog.text


async def test_a_session_that_is_used_before_the_start_is_bound_to_its_loop(wire: Wire) -> None:
    """So that the middleware can be started there."""
    kochava = KochavaMiddleware.from_dict(SETTINGS)
    session = instrument(requests.Session(), kochava, hosts=wire.hosts)

    assert 200 == session.post(f"{wire.url}/me/messages", json=BODY, timeout=20).status_code
    async with kochava:
        assert 0 == await kochava.flush()


def test_with_mode_off_everything_is_as_without_it(wire: Wire) -> None:
    """In every client."""
    kochava = SyncKochava.from_dict({**SETTINGS, "mode": "off"})
    with httpx.Client(transport=KochavaTransport(kochava, hosts=wire.hosts)) as client:
        assert 200 == client.post(f"{wire.url}/me/messages", json=BODY).status_code
    assert "https://shop.example/" == sent_url(wire)
