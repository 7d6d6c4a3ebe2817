"""A bot that records its webhooks, and both local servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Any

import aiohttp
import pytest

from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from kochava_bot_middleware.sandbox.messenger.webhooks import MessengerOptions
from tests.fakes import VirtualClock
from tests.sandbox.recording_bot import APP_SECRET, PAGE, TOKEN, MakeMessenger, RecordingBot


@pytest.fixture
def clock() -> VirtualClock:
    """The clock of both servers."""
    return VirtualClock()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def bot() -> AsyncIterator[RecordingBot]:
    """A bot that listens."""
    async with RecordingBot() as server:
        yield server


@pytest.fixture
def make_messenger(clock: VirtualClock) -> MakeMessenger:
    """Creates a local Messenger with the usual settings."""

    def make(
        *, webhook_url: str | None = None, echoes: bool = False, instagram_ids: Collection[str] = (), **options: Any
    ) -> LocalMessenger:
        messenger = LocalMessenger(
            app_secret=APP_SECRET,
            verify_token="verify-token",
            page_tokens={TOKEN: PAGE},
            instagram_ids=instagram_ids,
            echoes=echoes,
            options=MessengerOptions(**{"clock": clock, "retry_waits": (0.0, 0.0), **options}),
        )
        messenger.webhook_url = webhook_url
        return messenger

    return make


@pytest.fixture
async def messenger(make_messenger: MakeMessenger, bot: RecordingBot) -> AsyncIterator[LocalMessenger]:
    """A local Messenger with the bot behind it."""
    async with make_messenger(webhook_url=f"{bot.url}/webhook") as server:
        yield server


@pytest.fixture
async def kochava(clock: VirtualClock) -> AsyncIterator[LocalKochava]:
    """A local Kochava with one app and two SmartLinks."""
    links = {"/ab12cd34e": "{url}", "/shop1": "https://shop.example{path}"}
    async with LocalKochava(app_ids={"kodemo1"}, smartlinks=links, clock=clock) as server:
        yield server
