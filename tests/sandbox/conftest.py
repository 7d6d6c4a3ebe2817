"""
A bot that remembers its webhooks, and both local servers.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kochava_bot_middleware.sandbox.kochava_server import LocalKochava
from kochava_bot_middleware.sandbox.messenger_server import LocalMessenger
from kochava_bot_middleware.sandbox.servers import LocalServer
from tests.fakes import VirtualClock

APP_SECRET = "app-secret"
TOKEN = "page-token"
PAGE = "1111"


class RecordingBot(LocalServer):
    """
    Remembers every webhook and answers with the statuses it is told, then 200.
    """

    def __init__(self) -> None:
        super().__init__(clock=VirtualClock())
        self.raw: list[bytes] = []
        self.signatures: list[str] = []
        self.statuses: list[int] = []
        self.challenge_answer: str | None = None

    @property
    def items(self) -> list[dict[str, Any]]:
        """
        The items of all webhooks, in the order they came.
        """
        return [item for raw in self.raw for entry in json.loads(raw)["entry"] for item in entry["messaging"]]

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/webhook", self._webhook)
        application.router.add_get("/webhook", self._verify)
        return application

    async def _webhook(self, request: web.Request) -> web.Response:
        self.raw.append(await request.read())
        self.signatures.append(request.headers["X-Hub-Signature-256"])
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def _verify(self, request: web.Request) -> web.Response:
        if request.query["hub.verify_token"] != "verify-token":
            return web.Response(status=403)
        return web.Response(text=self.challenge_answer or request.query["hub.challenge"])


MakeMessenger = Callable[..., LocalMessenger]


@pytest.fixture
def clock() -> VirtualClock:
    """
    Time, which stands still.
    """
    return VirtualClock()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """
    An HTTP client.
    """
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def bot() -> AsyncIterator[RecordingBot]:
    """
    A bot that listens.
    """
    async with RecordingBot() as server:
        yield server


@pytest.fixture
def make_messenger(clock: VirtualClock) -> MakeMessenger:
    """
    Makes a local Messenger with the usual settings.
    """

    def make(**settings: Any) -> LocalMessenger:
        usual: dict[str, Any] = {
            "app_secret": APP_SECRET,
            "verify_token": "verify-token",
            "page_tokens": {TOKEN: PAGE},
            "clock": clock,
            "retry_waits": (0.0, 0.0),
        }
        return LocalMessenger(**(usual | settings))

    return make


@pytest.fixture
async def messenger(make_messenger: MakeMessenger, bot: RecordingBot) -> AsyncIterator[LocalMessenger]:
    """
    A local Messenger with the bot behind it.
    """
    async with make_messenger(webhook_url=f"{bot.url}/webhook") as server:
        yield server


@pytest.fixture
async def kochava(clock: VirtualClock) -> AsyncIterator[LocalKochava]:
    """
    A local Kochava with one app and two SmartLinks.
    """
    links = {"/ab12cd34e": "{url}", "/shop1": "https://shop.example{path}"}
    async with LocalKochava(app_ids={"kodemo1"}, smartlinks=links, clock=clock) as server:
        yield server
