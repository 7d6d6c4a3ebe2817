"""A bot, a local Messenger and a local Kochava, each a real HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp.test_utils import TestServer

from kochava_bot_middleware import KochavaMiddleware, MessengerBot
from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from kochava_bot_middleware.store.records import OUTBOX, Queue, QueueStats

APP_ID = "kobotdemo1234"
WORK = (Queue.INBOX, *OUTBOX)
"""The queues that become empty; a timer waits for its time."""

INSTAGRAM_ID = "17840000000000001"
SMARTLINK = "https://acme.smart.link/ab12cd34e"


@attrs.define
class Shop:
    """The three servers, not started."""

    messenger: LocalMessenger
    kochava: LocalKochava
    bot: MessengerBot
    middleware: KochavaMiddleware
    server: TestServer | None = None

    async def open(self) -> None:
        """Serve the bot and set its address in Messenger."""
        self.server = TestServer(self.bot.app())
        await self.server.start_server()
        self.messenger.webhook_url = str(self.server.make_url("/webhook"))

    async def close(self) -> None:
        """Let all webhooks and handlers end, then stop the bot."""
        await self.messenger.settled()
        if self.server is not None:
            await self.server.close()

    async def delivered(self, count: int = 1, *, within_seconds: float = 60.0) -> None:
        """
        Wait until nothing is left to deliver and Kochava has at least *count* records.

        Raises:
            AssertionError: That took longer than *within_seconds*.
        """
        await self.messenger.settled()
        store = self.middleware.provide_store()
        try:
            async with asyncio.timeout(within_seconds):
                while len(self.kochava.records) < count or _is_busy(await store.stats()):
                    await self.messenger.clock.sleep(0.01)
        except TimeoutError:
            kinds, stats = [record.kind for record in self.kochava.records], await store.stats()
            msg = f"wanted {count} records and nothing left, got {kinds}, rejected {self.kochava.rejections}; {stats}"
            raise AssertionError(msg) from None


def _is_busy(stats: Mapping[str, QueueStats]) -> bool:
    return any(queue.waiting + queue.in_flight for name, queue in stats.items() if name in WORK)


MakeShop = Callable[..., Shop]


@pytest.fixture
async def servers() -> AsyncIterator[tuple[LocalMessenger, LocalKochava]]:
    """Both platforms, running."""
    messenger = LocalMessenger(
        app_secret="app-secret",
        verify_token="verify",
        page_tokens={"page-token": "1001", "instagram-token": INSTAGRAM_ID},
        instagram_ids=[INSTAGRAM_ID],
    )
    kochava = LocalKochava(app_ids=[APP_ID], smartlinks={"/ab12cd34e": "{url}"})
    async with messenger, kochava:
        messenger.hosts["acme.smart.link"] = kochava.url
        yield messenger, kochava


@pytest.fixture
async def make_shop(servers: tuple[LocalMessenger, LocalKochava], tmp_path: Path) -> AsyncIterator[MakeShop]:
    """Creates a bot for both platforms; given settings replace the usual ones."""
    messenger, kochava = servers
    shops: list[Shop] = []

    def make(*, bot: Mapping[str, Any] | None = None, kochava_settings: Mapping[str, Any] | None = None) -> Shop:
        made = MessengerBot.from_dict(
            {
                "page_access_token": "page-token",
                "app_secret": "app-secret",
                "verify_token": "verify",
                "graph_url": messenger.url,
                **(bot or {}),
            }
        )
        middleware = KochavaMiddleware.from_dict(
            {
                "kochava_app_id": APP_ID,
                "store": f"sqlite:///{tmp_path / 'bot.db'}",
                "smartlinks": {"default": SMARTLINK + "?url={url}"},
                **kochava.settings(),
                **(kochava_settings or {}),
            }
        )
        made.add_middleware(middleware)
        shop = Shop(messenger, kochava, made, middleware)
        shops.append(shop)
        return shop

    yield make
    for shop in shops:
        await shop.close()
