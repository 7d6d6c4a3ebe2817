"""The page with a bot that somebody else runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kochava_bot_middleware.messenger.parsing.webhook import verify_signature
from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from kochava_bot_middleware.sandbox.messenger.webhooks import MessengerOptions, SentWebhook, make_webhook
from kochava_bot_middleware.sandbox.own_bot import OwnBot, own_bot_servers
from kochava_bot_middleware.sandbox.own_bot_page import CHECK_SECONDS, own_bot_page, replay, subscribe
from kochava_bot_middleware.sandbox.web.page_server import PageServer
from tests.fakes import VirtualClock
from tests.sandbox.recording_bot import APP_SECRET, PAGE, TOKEN, RecordingBot

Served = tuple[LocalMessenger, LocalKochava, PageServer]


def own_bot(bot: RecordingBot, verify_token: str = "verify-token") -> OwnBot:
    """*bot*, as the arguments of a command would name it."""
    return OwnBot(
        webhook_url=f"{bot.url}/webhook",
        app_secret=APP_SECRET,
        verify_token=verify_token,
        page_id=PAGE,
        page_token=TOKEN,
        graph_port=0,
        kochava_port=0,
    )


@pytest.fixture
async def served(bot: RecordingBot, clock: VirtualClock) -> AsyncIterator[Served]:
    """The page, with this bot."""
    async with own_bot_page(own_bot(bot), options=MessengerOptions(clock=clock)) as running:
        yield running


def recorded(*texts: str, user: str = "77") -> list[SentWebhook]:
    """Webhooks of an earlier run, each with a message."""
    return [
        make_webhook(
            "message",
            {"message": {"mid": f"m_{text}", "text": text}},
            page_id=PAGE,
            user_id=user,
            instagram=False,
            now=1_700_000_000,
        )
        for text in texts
    ]


async def test_bot_that_starts_later_is_checked_until_it_passes(
    served: Served, bot: RecordingBot, clock: VirtualClock
) -> None:
    """Each second; what is wrong is reported once, and is on the page until then."""
    messenger, _, page = served
    await bot.down()
    reported: asyncio.Queue[str | None] = asyncio.Queue()
    checking = asyncio.create_task(subscribe(messenger, page, reported.put_nowait))
    problem = await reported.get()
    assert problem is not None
    assert "start the bot; Facebook would not save this address" in problem
    assert problem == (await page.state.read())["problem"]
    await bot.up()
    await clock.advance(CHECK_SECONDS)
    assert await reported.get() is None
    await checking
    assert (await page.state.read())["problem"] is None
    assert [problem, "answers the subscription check"] == [
        title.removeprefix(f"{bot.url}/webhook ") if "start the bot" not in title else title for title in titles(page)
    ]


def titles(page: PageServer) -> list[str]:
    """Of everything that the page shows."""
    return [event.split('"title":"')[1].split('"')[0] for event in page.log.after(0)[0]]


async def test_wrong_verify_token_is_a_problem_of_the_address(bot: RecordingBot, clock: VirtualClock) -> None:
    """The bot answers 403."""
    async with own_bot_page(own_bot(bot, "other"), options=MessengerOptions(clock=clock)) as (messenger, _, page):
        reported: asyncio.Queue[str | None] = asyncio.Queue()
        checking = asyncio.create_task(subscribe(messenger, page, reported.put_nowait))
        assert "compare the verify token" in str(await reported.get())
        checking.cancel()


async def test_replay_sends_the_same_bytes_in_order_signed_anew(served: Served, bot: RecordingBot) -> None:
    """With the secret of this bot."""
    messenger, _, page = served
    webhooks = recorded("one", "two", "three")
    outcomes = await replay(messenger, page, webhooks)
    assert [webhook.raw for webhook in webhooks] == bot.raw
    for raw, signature in zip(bot.raw, bot.signatures, strict=True):
        verify_signature(raw, signature, [APP_SECRET])
    assert [200, 200, 200] == [outcome.status for outcome in outcomes]


async def test_replay_tries_each_webhook_once(served: Served, bot: RecordingBot) -> None:
    """A failure is an outcome, and the next one follows at once."""
    messenger, _, page = served
    bot.statuses = [500, 200]
    outcomes = await replay(messenger, page, recorded("one", "two"))
    assert [(500, 1, False), (200, 1, True)] == [
        (outcome.status, outcome.attempts, outcome.acknowledged) for outcome in outcomes
    ]


async def test_people_of_a_replay_can_be_written_to_and_are_in_the_chat(served: Served, bot: RecordingBot) -> None:
    """Their 24-hour window is open; more of them than the page takes are replayed nevertheless."""
    messenger, _, page = served
    webhooks = [webhook for number in range(12) for webhook in recorded("hi", user=str(number))]
    await replay(messenger, page, webhooks)
    assert [str(number) for number in range(10)] == [person["user"] for person in (await page.state.read())["people"]]
    assert 12 == len(bot.raw)
    assert messenger.person("11").last_action_at == messenger.clock.now()


async def test_next_run_has_other_people_and_message_ids(bot: RecordingBot, clock: VirtualClock) -> None:
    """The bot may have kept those of the run before."""
    ids = []
    for _ in range(2):
        async with own_bot_servers(own_bot(bot), MessengerOptions(clock=clock)) as (messenger, _):
            ids += [messenger.person().user_id, messenger.next_mid()]
        clock.stall(1)
    assert 4 == len(set(ids))
    assert max(int(user) for user in ids[::2]) < 2**53
