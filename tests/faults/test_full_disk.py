"""
A whole bot whose SQLite file cannot grow any more, on any machine and as any user; `test_disk` fills a disk of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp.test_utils import TestServer

from kochava_bot_middleware import KochavaMiddleware, MessengerBot
from kochava_bot_middleware.sandbox.audit import AuditEntry
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from kochava_bot_middleware.sandbox.messenger.webhooks import MessengerOptions
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.faults import labels
from tests.faults.fault_server import FaultServer
from tests.faults.short_settings import settings_of
from tests.store.small_disk import LimitedReserve, fill, limited, make_room

LONG = "x" * 1900
"""Each message needs a page of its own."""


@attrs.frozen(kw_only=True, eq=False)
class Place:
    """
    A bot with its own worker between the two platforms.

    Attributes:
        statuses: How its webhooks were answered.
    """

    messenger: LocalMessenger
    kochava: FaultServer
    store: SqliteStore
    reserve: LimitedReserve
    statuses: Counter[int]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it does."""
        async with asyncio.timeout(60):
            while not holds():
                await self.messenger.clock.sleep(0.02)

    def taken(self) -> list[AuditEntry]:
        """What Kochava has, in order."""
        return [labels.of_request(each.path, each.body) for each in self.kochava.received]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    messenger = LocalMessenger(
        app_secret="app-secret",
        verify_token="verify",
        page_tokens={"page-token": "1001"},
        options=MessengerOptions(retry_waits=(0.05,) * 1500),
    )
    kochava = FaultServer()
    async with messenger, kochava.running():
        settings = settings_of(messenger, kochava)
        settings["bot"]["inbox"]["commit_timeout_seconds"] = 0.5
        store = SqliteStore(tmp_path / "bot.db")
        await store.open()
        reserve = await limited(store)
        middleware = KochavaMiddleware.from_dict(settings["kochava"], store=store)
        bot = MessengerBot.from_dict(settings["bot"])
        bot.add_middleware(middleware)

        @bot.on_message()
        @middleware.event(labels.SAID, data=lambda event, _result: {"id": event.mid})
        async def hear(_event: Any, _reply: Any) -> None:
            pass

        statuses: Counter[int] = Counter()
        app = bot.app()

        async def count(_request: Any, response: Any) -> None:
            statuses[response.status] += 1

        app.on_response_prepare.append(count)
        server = TestServer(app)
        await server.start_server()
        messenger.webhook_url = str(server.make_url("/webhook"))
        yield Place(messenger=messenger, kochava=kochava, store=store, reserve=reserve, statuses=statuses)
        await messenger.settled()
        await server.close()


async def test_a_full_disk_refuses_what_is_new_and_serves_what_is_there(place: Place) -> None:
    """Some webhooks get 503, so Facebook keeps them; what was stored is delivered; in the end each arrived once."""
    await place.kochava.down()
    people = [place.messenger.person() for _ in range(8)]
    for _ in range(2):
        await asyncio.gather(*(person.says(LONG) for person in people))
    before = labels.promised(place.messenger.acknowledged)
    await fill(place.store, place.reserve)
    writing = [asyncio.create_task(person.says(LONG)) for person in people]
    await place.until(lambda: place.statuses[503] > 0)

    await place.kochava.up()
    await place.until(lambda: set(before) <= set(place.taken()))

    await make_room(place.store, place.reserve)
    await asyncio.gather(*writing)
    promised = labels.promised(place.messenger.acknowledged)
    await place.until(lambda: set(promised) <= set(place.taken()))
    assert (24, Counter(promised)) == (len(promised), Counter(place.taken()))
