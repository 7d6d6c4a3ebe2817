"""The file of a bot's store is deleted under it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.bot import MessengerBot
from kochava_bot_middleware.cli.health import Health
from kochava_bot_middleware.messenger.events import Event
from kochava_bot_middleware.messenger.reply import Reply
from kochava_bot_middleware.telemetry.prometheus import Metrics
from kochava_bot_middleware.testing import signed_webhook
from tests.cli.test_health import got


def bot_of(path: Path, **inbox: Any) -> tuple[MessengerBot, KochavaMiddleware, list[str]]:
    kochava = KochavaMiddleware.from_dict(
        {"kochava_app_id": "koapp", "store": f"sqlite:///{path}", "worker": "separate"}
    )
    bot = MessengerBot.from_dict(
        {
            "page_access_token": "t",
            "app_secret": "s",
            "verify_token": "v",
            "inbox": {"commit_timeout_seconds": 0.1, "poll_seconds": 0.05, "drain_seconds": 0.1, **inbox},
        }
    )
    bot.add_middleware(kochava)
    handled: list[str] = []

    @bot.on_message()
    async def handle(event: Event, _reply: Reply) -> None:
        handled.append(str(event.user_id))

    return bot, kochava, handled


async def deliver(bot: MessengerBot) -> int:
    return (await bot.receive(*signed_webhook("s", text="hello", user_id="ann"))).status


@pytest.mark.parametrize(("on_store_failure", "status", "at_risk"), [("refuse", 503, 0), ("buffer", 200, 1)])
async def test_webhooks_are_answered_as_with_a_store_that_is_away(
    tmp_path: Path, on_store_failure: str, status: int, at_risk: int
) -> None:
    """The setting decides."""
    bot, _, _ = bot_of(tmp_path / "bot.db", on_store_failure=on_store_failure)
    await bot.start()
    assert 200 == await deliver(bot)
    (tmp_path / "bot.db").unlink()
    assert status == await deliver(bot)
    assert at_risk == bot.counts.at_risk
    await bot.stop()


async def test_an_idle_bot_notices_and_is_loud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It looks for work now and then, and sees at what it looks."""
    caplog.set_level(logging.INFO)
    bot, _, _ = bot_of(tmp_path / "bot.db")
    await bot.start()
    (tmp_path / "bot.db").unlink()
    async with asyncio.timeout(10):
        while not [record for record in caplog.records if record.getMessage().startswith("store_unusable")]:
            await asyncio.sleep(0.01)
    (line,) = [record for record in caplog.records if record.getMessage().startswith("store_unusable")]
    assert logging.ERROR == line.levelno
    assert "is not there any more" in line.getMessage()
    await bot.stop()


async def test_health_and_metrics_say_so(tmp_path: Path) -> None:
    """Not ready, and the store is not up."""
    bot, kochava, _ = bot_of(tmp_path / "bot.db")
    await bot.start()
    metrics = Metrics()
    health = Health(kochava.provide_store(), metrics)
    health.mark_ready()
    assert 200 == (await got("/readyz", health))[0]
    (tmp_path / "bot.db").unlink()
    status, text = await got("/readyz", health)
    assert (503, True) == (status, "StoreUnusable" in text)
    assert "kochava_bot_store_up 0.0" in (await metrics.text(kochava.provide_store())).decode()
    await bot.stop()


async def test_file_that_is_brought_back_takes_what_was_at_risk(tmp_path: Path) -> None:
    """Nothing is lost then."""
    path = tmp_path / "bot.db"
    bot, kochava, handled = bot_of(path)
    await bot.start()
    path.rename(tmp_path / "aside.db")
    assert 200 == await deliver(bot)
    assert 1 == bot.counts.at_risk
    (tmp_path / "aside.db").rename(path)
    async with asyncio.timeout(10):
        while bot.counts.at_risk or (await kochava.provide_store().stats())["inbox"].done < 1:
            await asyncio.sleep(0.01)
    assert ["ann"] == handled
    await bot.stop()
