"""
A whole bot whose SQLite file cannot grow any more, on any machine and as any user; `test_disk` fills a separate disk.
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
from tests.faults import entries
from tests.faults.fault_server import FaultServer
from tests.faults.short_settings import settings_of
from tests.store.small_disk import LimitedReserve, fill, make_room, open_on_small_disk

LONG = "x" * 1900
"""Each message fills a page of the file."""


@attrs.frozen(kw_only=True, eq=False)
class Setup:
    """
    A bot with its own worker, and both platforms.

    Attributes:
        statuses: How its webhooks were answered.
    """

    messenger: LocalMessenger
    kochava: FaultServer
    store: SqliteStore
    reserve: LimitedReserve
    statuses: Counter[int]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(60):
            while not condition():
                await self.messenger.clock.sleep(0.02)

    def taken(self) -> list[AuditEntry]:
        """What Kochava received, in order."""
        return [entries.of_request(each.path, each.body) for each in self.kochava.received]


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
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
        store, reserve = await open_on_small_disk(tmp_path / "bot.db")
        middleware = KochavaMiddleware.from_dict(settings["kochava"], store=store)
        bot = MessengerBot.from_dict(settings["bot"])
        bot.add_middleware(middleware)

        @bot.on_message()
        @middleware.event(entries.SAID, data=lambda event, _result: {"id": event.mid})
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
        yield Setup(messenger=messenger, kochava=kochava, store=store, reserve=reserve, statuses=statuses)
        await messenger.settled()
        await server.close()


async def test_a_full_disk_refuses_what_is_new_and_serves_what_is_there(setup: Setup) -> None:
    """Some webhooks get 503, so Facebook keeps them; what was stored is delivered; each is received once."""
    await setup.kochava.down()
    people = [setup.messenger.person() for _ in range(8)]
    for _ in range(2):
        await asyncio.gather(*(person.says(LONG) for person in people))
    before = entries.promised(setup.messenger.acknowledged)
    await fill(setup.store, setup.reserve)
    writing = [asyncio.create_task(person.says(LONG)) for person in people]
    await setup.until(lambda: setup.statuses[503] > 0)

    await setup.kochava.up()
    await setup.until(lambda: set(before) <= set(setup.taken()))

    await make_room(setup.store, setup.reserve)
    await asyncio.gather(*writing)
    promised = entries.promised(setup.messenger.acknowledged)
    await setup.until(lambda: set(promised) <= set(setup.taken()))
    assert (24, Counter(promised)) == (len(promised), Counter(setup.taken()))
