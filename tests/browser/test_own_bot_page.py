"""The page in a browser, with a bot that somebody else runs and that starts later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from kochava_bot_middleware import Event, KochavaMiddleware, MessengerBot, Reply
from kochava_bot_middleware.sandbox.own_bot import SMARTLINK_HOST, SMARTLINK_PATH, OwnBot
from kochava_bot_middleware.sandbox.own_bot_page import own_bot_page, subscribe

from .conftest import DESKTOP, PHONE, OpenPage, Scheme, violations

TOURED = {"kochava_bot_tour": "seen"}
SHOP = {"type": "web_url", "title": "Shop", "url": "https://shop.example/"}


@attrs.frozen(kw_only=True)
class OwnBotStart:
    """A bot that is not started yet; *url* is that of the page. While *broken*, it answers 500."""

    url: str
    broken: asyncio.Event
    runner: web.AppRunner
    port: int

    async def __call__(self) -> None:
        """Start the bot."""
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port).start()


@pytest.fixture
async def start_bot(unused_tcp_port: int) -> AsyncIterator[OwnBotStart]:
    """A bot that greets with a button, and sends what Facebook refuses when told to."""
    own = OwnBot(
        webhook_url=f"http://127.0.0.1:{unused_tcp_port}/webhook",
        app_secret="secret",
        verify_token="verify",
        graph_port=0,
        kochava_port=0,
    )
    async with own_bot_page(own) as (messenger, kochava, page):
        broken = asyncio.Event()
        runner = web.AppRunner(_bot(messenger.settings(), kochava.settings(), broken))
        page.commands.add_person()
        checking = asyncio.create_task(subscribe(messenger, page, lambda problem: None))
        yield OwnBotStart(url=page.url, broken=broken, runner=runner, port=unused_tcp_port)
        checking.cancel()
        await runner.cleanup()


def _bot(bot_settings: dict[str, Any], kochava_settings: dict[str, Any], broken: asyncio.Event) -> web.Application:
    bot = MessengerBot.from_dict(bot_settings)
    bot.add_middleware(
        KochavaMiddleware.from_dict(
            {
                "kochava_app_id": "kosandbox1234",
                "store": "memory://",
                "smartlinks": {"default": f"https://{SMARTLINK_HOST}{SMARTLINK_PATH}?url={{url}}"},
                **kochava_settings,
            }
        )
    )

    @bot.on_postback("GET_STARTED")
    async def greet(_event: Event, reply: Reply) -> None:
        await reply.buttons("Welcome", [SHOP])

    @bot.on_message()
    async def answer(event: Any, reply: Reply) -> None:
        await reply.text("x" * 3000 if event.text == "too long" else f"You said {event.text}")

    @web.middleware
    async def breaks(request: web.Request, handler: Any) -> web.StreamResponse:
        if broken.is_set():
            return web.Response(status=500)
        answered: web.StreamResponse = await handler(request)
        return answered

    app = bot.app()
    app.middlewares.append(breaks)
    return app


async def write(page: Page, text: str) -> None:
    """Write a message in the chat."""
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


async def test_conversation_with_a_bot_of_ones_own(start_bot: OwnBotStart, open_page: OpenPage) -> None:
    """It starts later; its links, its records, what Facebook refuses and what it does not answer are all shown."""
    page = await open_page(start_bot.url, cookies=TOURED)
    await expect(page.locator("#notice")).to_contain_text("start the bot; Facebook would not save this address")
    await expect(page.locator("#health")).to_contain_text("the bot does not pass the subscription check")
    await start_bot()
    await expect(page.locator("#notice")).to_contain_text("answers the subscription check")
    await expect(page.locator("#health")).to_contain_text(f"webhooks go to http://127.0.0.1:{start_bot.port}/webhook")
    await page.get_by_role("button", name="Get started").click()
    await page.get_by_role("button", name="Shop").click()
    await expect(page.get_by_role("dialog", name="Browser").locator("header")).to_contain_text("https://shop.example/")
    await page.keyboard.press("Escape")
    await expect(page.locator("#sent-list article").first.locator(".link .old")).to_have_text("https://shop.example/")
    await write(page, "hello")
    await expect(page.locator("#messages")).to_contain_text("You said hello")
    await expect(page.locator("#request-list article").first).to_contain_text("accepted")
    await write(page, "too long")
    await expect(page.locator("#messages")).to_contain_text("Facebook refused a message: (#100) Length of param")
    await expect(page.locator("#sent-list article").first).to_contain_text("must be less than or equal to 1999")
    start_bot.broken.set()
    await write(page, "Are you there?")
    await expect(page.locator("#messages")).to_contain_text("The bot answered 500, not 200: Facebook tries again")


async def test_what_only_the_demo_can_do_is_left_out(start_bot: OwnBotStart, open_page: OpenPage) -> None:
    """Neither switches nor a tour of what this process does not reach."""
    page = await open_page(start_bot.url)
    await expect(page.locator("#tour")).to_contain_text("1 of 4")
    await expect(page.get_by_text("Your bot", exact=True)).to_be_visible()
    for name in ("Kill the bot", "Opt out", "Opt Ada out"):
        await expect(page.get_by_role("button", name=name)).to_be_hidden()
    await expect(page.locator("#queue")).to_be_hidden()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious_while_the_bot_fails(
    start_bot: OwnBotStart, open_page: OpenPage, size: tuple[int, int], scheme: Scheme
) -> None:
    """Before it starts, and with a webhook that it does not answer."""
    page = await open_page(start_bot.url, size=size, scheme=scheme, cookies=TOURED)
    await expect(page.locator("#health")).to_contain_text("the bot does not pass")
    await page.get_by_role("button", name="Get started").click()
    await expect(page.locator("#messages")).to_contain_text("The bot gave no answer in time: Facebook tries again")
    assert [] == await violations(page)
