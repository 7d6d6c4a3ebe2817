"""Each sending library, in a program without `MessengerBot`: Kochava has the purchase, one impression and one click."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fbmessenger import MessengerClient
from pymessenger.bot import Bot

from kochava_bot_middleware import Event, KochavaMiddleware, SyncKochava
from kochava_bot_middleware.integrations import pymessenger
from kochava_bot_middleware.integrations.requests import instrument
from kochava_bot_middleware.testing import LocalKochava, LocalMessenger
from tests.integrations.http_clients import CLIENTS, Client
from tests.integrations.wire import Wire, wire_server

Send = Callable[[dict[str, Any]], Awaitable[Any]]
SHOP = {"type": "web_url", "title": "Shop", "url": "https://shop.example/"}
START = {"type": "postback", "title": "Start Chatting", "payload": "START"}
BUY = {"type": "postback", "title": "Buy", "payload": "BUY"}


@pytest.fixture
async def messenger() -> AsyncIterator[LocalMessenger]:
    """Facebook."""
    async with LocalMessenger(app_secret="secret", verify_token="verify", page_tokens={"token": "1001"}) as server:
        yield server


@pytest.fixture
async def kochava_server() -> AsyncIterator[LocalKochava]:
    """Kochava."""
    async with LocalKochava(app_ids=["koapp"], smartlinks={"/ab12cd34e": "{url}"}) as server:
        yield server


@pytest.fixture
async def kochava(kochava_server: LocalKochava) -> AsyncIterator[KochavaMiddleware]:
    """The middleware."""
    settings = {
        "app_secret": "secret",
        "kochava_app_id": "koapp",
        "store": "memory://",
        "smartlinks": {"default": "https://acme.smart.link/ab12cd34e?url={url}"},
        "greeting": {
            "impression_url": f"{kochava_server.url}/track/impression?campaign_id=kogreet",
            "click_url": f"{kochava_server.url}/track/click?campaign_id=kogreet",
        },
        **kochava_server.settings(),
    }
    async with KochavaMiddleware.from_dict(settings) as middleware:
        yield middleware


def buttons(user_id: str | None, text: str, *choices: Any) -> dict[str, Any]:
    """A button template."""
    payload = {"template_type": "button", "text": text, "buttons": list(choices)}
    return {
        "recipient": {"id": user_id},
        "message": {"attachment": {"type": "template", "payload": payload}},
    }


class Shop:
    """A program with the core alone: it greets, and sells."""

    def __init__(self, kochava: KochavaMiddleware, send: Send) -> None:
        self.kochava = kochava
        self._send = send

        @kochava.greeting
        async def greet(event: Event) -> None:
            await send(buttons(event.user_id, "Welcome!", SHOP, START))

        self._greet = greet

    async def handle(self, event: Event) -> None:
        """One event."""
        async with self.kochava.handling(event):
            payload = getattr(event, "payload", None)
            if payload == "GET_STARTED":
                await self._greet(event)
            elif payload == "START":
                await self._send(buttons(event.user_id, "Socks", BUY))
            elif payload == "BUY":
                await self.kochava.track("Purchase", {"currency": "USD", "sum": 100})

    async def receive(self, request: web.Request) -> web.Response:
        """The webhook."""
        for event in self.kochava.parse(await request.read(), request.headers):
            await self.handle(event)
        return web.Response(text="EVENT_RECEIVED")


async def check_funnel(
    kochava: KochavaMiddleware, send: Send, messenger: LocalMessenger, kochava_server: LocalKochava
) -> None:
    """From get-started to a purchase."""
    app = web.Application()
    app.router.add_post("/webhook", Shop(kochava, send).receive)
    async with TestServer(app) as server:
        messenger.webhook_url = str(server.make_url("/webhook"))
        person = messenger.person()
        await person.gets_started()
        greeting = await person.next_message()
        assert greeting.buttons[0]["url"].startswith("https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example")
        await person.taps("Start Chatting")
        await person.next_message()
        await person.taps("Buy")
        await messenger.settled()
        assert 0 == await kochava.flush()
    assert [] == kochava_server.rejections
    assert (1, 1) == (len(kochava_server.impressions), len(kochava_server.clicks))
    (purchase,) = [event for event in kochava_server.events if event.name == "Purchase"]
    assert {"currency": "USD", "sum": 100} == {key: purchase.event_data[key] for key in ("currency", "sum")}
    assert 1 == kochava.counts.links_rewritten


@pytest.mark.parametrize("client", CLIENTS, ids=str)
async def test_a_client_is_measured(
    client: Client, kochava: KochavaMiddleware, messenger: LocalMessenger, kochava_server: LocalKochava
) -> None:
    """A hand-written sender."""
    client.report()

    async def send(body: dict[str, Any]) -> None:
        url = f"{messenger.url}/v26.0/me/messages?access_token=token"
        status, _, _ = await client.post(kochava, [urlsplit(messenger.url).netloc], url, {"json": body})
        assert 200 == status

    await check_funnel(kochava, send, messenger, kochava_server)


def pymessenger_bot(url: str) -> Any:
    """A bot of the real library, pointed at this machine."""
    print(f"pymessenger {version('pymessenger')}")
    bot = Bot("token", api_version="26.0")
    bot.graph_url = f"{url}/v26.0"
    return bot


async def test_pymessenger_in_threads_is_measured(
    kochava: KochavaMiddleware, messenger: LocalMessenger, kochava_server: LocalKochava
) -> None:
    """As an asynchronous program should call it."""
    bot = pymessenger.instrument(pymessenger_bot(messenger.url), kochava)

    async def send(body: dict[str, Any]) -> None:
        answer = await asyncio.to_thread(bot.send_message, body["recipient"]["id"], body["message"])
        assert "message_id" in answer

    await check_funnel(kochava, send, messenger, kochava_server)


async def test_fbmessenger_is_measured(
    kochava: KochavaMiddleware, messenger: LocalMessenger, kochava_server: LocalKochava
) -> None:
    """By its session, as Rasa's channel is."""
    print(f"fbmessenger {version('fbmessenger')}")
    client = MessengerClient("token", api_version="26.0")
    client.graph_url = f"{messenger.url}/v26.0"
    instrument(client.session, kochava, hosts=[urlsplit(messenger.url).netloc])

    async def send(body: dict[str, Any]) -> None:
        answer = await asyncio.to_thread(client.send, body["message"], body["recipient"]["id"])
        assert "message_id" in answer

    await check_funnel(kochava, send, messenger, kochava_server)


def webhook(timestamp: int, **content: Any) -> bytes:
    """A webhook of one person."""
    item = {"sender": {"id": "5551"}, "recipient": {"id": "1001"}, "timestamp": timestamp, **content}
    return json.dumps({"object": "page", "entry": [{"id": "1001", "time": 1, "messaging": [item]}]}).encode()


@pytest.mark.parametrize("library", ["pymessenger", "fbmessenger"])
async def test_a_library_that_blocks_the_event_loop_is_measured(
    library: str, kochava: KochavaMiddleware, kochava_server: LocalKochava
) -> None:
    """Nothing can be awaited meanwhile. Links name the person once it is known that they may."""
    with wire_server() as wire:
        send = blocking(library, wire, kochava)

        @kochava.greeting
        async def greet() -> None:
            send(buttons("5551", "Welcome!", SHOP))

        async def receive(timestamp: int, **content: Any) -> None:
            body = webhook(timestamp, **content)
            signature = hmac.digest(b"secret", body, "sha256").hex()
            for event in kochava.parse(body, {"X-Hub-Signature-256": f"sha256={signature}"}):
                async with kochava.handling(event):
                    if "postback" in content:
                        await greet()
            assert 0 == await kochava.flush()

        now = int(time.time() * 1000)
        await receive(now, postback={"payload": "GET_STARTED", "title": "Get Started"})
        await receive(now + 1, postback={"payload": "GET_STARTED", "title": "Get Started"})
        await receive(now + 60_000, read={"watermark": now + 60_000})
        messages = [json.loads(each.body)["message"] for each in wire.received]
    anonymous, named = [message["attachment"]["payload"]["buttons"][0]["url"] for message in messages]
    assert ("fb_user_id=5551" in anonymous, "fb_user_id=5551" in named) == (False, True)
    assert kochava_server.impressions
    assert [] == kochava_server.rejections


@pytest.mark.parametrize("library", ["pymessenger", "fbmessenger"])
async def test_a_library_that_blocks_an_event_loop_is_measured_in_the_background(library: str) -> None:
    """A `SyncKochava` has a loop of its own, so that everything can be awaited there."""
    settings = {
        "kochava_app_id": "koapp",
        "store": "memory://",
        "mode": "dry_run",
        "smartlinks": {"default": "https://acme.smart.link/ab12cd34e?url={url}"},
    }
    kochava = SyncKochava.from_dict(settings)
    with wire_server() as wire:
        blocking(library, wire, kochava)(buttons("5551", "Welcome!", SHOP))
        (button,) = json.loads(wire.taken().body)["message"]["attachment"]["payload"]["buttons"]
    assert "fb_user_id=5551" in button["url"]
    await asyncio.to_thread(kochava.stop)


def blocking(library: str, wire: Wire, kochava: KochavaMiddleware | SyncKochava) -> Callable[[dict[str, Any]], Any]:
    """A call that blocks until it has an answer."""
    if library == "pymessenger":
        bot = pymessenger.instrument(pymessenger_bot(wire.url), kochava)
        return lambda body: bot.send_message(body["recipient"]["id"], body["message"])
    client = MessengerClient("token", api_version="26.0")
    client.graph_url = f"{wire.url}/v26.0"
    instrument(client.session, kochava, hosts=wire.hosts)
    return lambda body: client.send(body["message"], body["recipient"]["id"])
