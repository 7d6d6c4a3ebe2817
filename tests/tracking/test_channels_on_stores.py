"""A process to which no event of an Instagram Page came knows where it is, on each durable store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware.kochava.records import Engagement
from kochava_bot_middleware.messenger.events import Channel
from kochava_bot_middleware.store.address import StorePlace
from tests.fakes import VirtualClock
from tests.faults.engines import ENGINES, fresh_address
from tests.tracking.tracked_bot import PAGE_ID, SMARTLINKS, USER_ID, TrackedBot, body_to, tracked_bot


@pytest.fixture(params=ENGINES)
async def bots(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[TrackedBot, TrackedBot]]:
    """Two processes, each with a connection of its own."""
    clock, address = VirtualClock(), await fresh_address(request.param, tmp_path)
    first, other = [
        tracked_bot(clock, store=StorePlace(address=address).make(clock), smartlinks=SMARTLINKS) for _ in range(2)
    ]
    for bot in (first, other):
        await bot.store.open()
    yield first, other
    for bot in (first, other):
        await bot.store.close()


async def test_a_new_person_of_a_page_is_on_its_channel(bots: tuple[TrackedBot, TrackedBot]) -> None:
    """Where the call names the Page."""
    first, other = bots
    await first.handle(first.message(channel=Channel.INSTAGRAM))
    await other.kochava.track("Purchase", user_id="u9", page_id=PAGE_ID)
    (record,) = [record for record in await other.records() if record.user_id == "u9"]
    assert isinstance(record, Engagement)
    assert {"ig_user_id": "u9"} == record.device_ids


async def test_a_message_of_a_page_is_on_its_channel(bots: tuple[TrackedBot, TrackedBot]) -> None:
    """Its SmartLinks name the person accordingly."""
    first, other = bots
    await first.handle(first.message(channel=Channel.INSTAGRAM))
    sent: list[Any] = []

    async def post(body: Any) -> Any:
        sent.append(body)
        return {}

    await other.kochava.send(body_to(), post, page_id=PAGE_ID)
    assert f"ig_user_id={USER_ID}" in str(sent)
