"""The demo's page in a browser: a customer is played, Kochava goes down, the bot is killed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from kochava_bot_middleware.sandbox.demo_page import demo_page
from kochava_bot_middleware.sandbox.environment import DemoEnvironment
from kochava_bot_middleware.sandbox.web.page_events import BODY_LIMIT, EventKind
from kochava_bot_middleware.sandbox.web.page_server import PageServer

from .conftest import DESKTOP, PHONE, OpenPage, Scheme, violations

TOURED = {"kochava_bot_tour": "seen"}

Demo = tuple[DemoEnvironment, PageServer]


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    """The demo, with its bot running."""
    async with demo_page(tmp_path) as running:
        await running[0].start_bot()
        yield running


@pytest.fixture
async def page(demo: Demo, open_page: OpenPage) -> Page:
    """The page of a person who took the tour before."""
    return await open_page(demo[1].url, cookies=TOURED)


async def figure(page: Page, name: str, value: int) -> None:
    """Wait until the page shows this figure."""
    await expect(page.locator(f"[data-figure={name}]")).to_have_text(str(value), timeout=20_000)


async def write(page: Page, text: str) -> None:
    """Write a message in the chat."""
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


async def get_started(page: Page) -> None:
    """Open the conversation, and wait for the greeting."""
    await page.get_by_role("button", name="Get started").click()
    await expect(page.get_by_role("button", name="Start Chatting")).to_be_visible()


async def test_story_shows_the_link_before_and_after_and_every_request(page: Page) -> None:
    """Greeting, SmartLink, first step, question, purchase: each as it was sent, with Kochava's verdict."""
    await get_started(page)
    sent, requests = page.locator("#sent-list article").first, page.locator("#request-list article")
    await expect(sent.locator(".link .old")).to_have_text("https://shop.example/shoes")
    await expect(page.locator("body")).not_to_contain_text("undefined")
    await expect(sent.locator(".link .new")).to_contain_text("https://acme.smart.link/ab12cd34e?url=https%3A%2F%2F")
    await page.get_by_role("button", name="Start Chatting").click()
    await write(page, "Shoes, please")
    await page.get_by_role("button", name="Buy").click()
    await expect(requests.first).to_contain_text("Event · Purchase")
    await expect(requests.first.locator(".pill")).to_have_text("accepted")
    await expect(page.locator("#timeline-list")).to_contain_text("tapped “Buy”")


async def test_smartlink_opens_in_a_panel_that_says_where_it_led(page: Page) -> None:
    """Through Kochava's redirect, and Kochava has the click."""
    await get_started(page)
    await page.get_by_role("button", name="Show Website").click()
    panel = page.get_by_role("dialog", name="Browser")
    await expect(panel.locator("li").first).to_contain_text("https://acme.smart.link/ab12cd34e")
    await expect(panel.locator("header")).to_contain_text("https://shop.example/shoes")
    await figure(page, "smartlinks", 1)
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()


async def test_outage_makes_records_wait_and_its_end_delivers_them(page: Page) -> None:
    """The chat goes on meanwhile."""
    await get_started(page)
    await figure(page, "delivered", 2)
    await page.get_by_role("radio", name="down").check()
    await write(page, "Are they warm?")
    await expect(page.get_by_role("button", name="Buy")).to_be_visible()
    await expect(page.locator("#entries")).to_contain_text("Question")
    await figure(page, "delivered", 2)
    await page.get_by_role("radio", name="up").check()
    await figure(page, "delivered", 3 + 1)
    await expect(page.locator("#notice")).to_contain_text("After the outage: all", timeout=20_000)


async def test_killed_bot_is_started_again_and_nothing_is_missing(page: Page, demo: Demo) -> None:
    """What was written while it was dead is delivered by Messenger, and handled."""
    environment, _ = demo
    await get_started(page)
    before = environment.bot.process_id
    await page.get_by_role("button", name="Kill the bot").click()
    await expect(page.locator("#health")).to_contain_text("the bot is not running")
    await write(page, "Still there?")
    await expect(page.get_by_role("button", name="Buy")).to_be_visible(timeout=30_000)
    await expect(page.locator("#notice")).to_contain_text("After the kill: all", timeout=30_000)
    assert environment.bot.process_id not in (None, before)
    assert environment.audit(killed=True).is_good


async def test_redelivery_records_nothing_twice(page: Page, demo: Demo) -> None:
    """The bot gets the same webhooks again."""
    await get_started(page)
    await figure(page, "delivered", 2)
    await page.get_by_role("button", name="Facebook delivers again").click()
    await expect(page.locator("#notice")).to_contain_text("After the redelivery: all 2", timeout=20_000)
    assert 2 == len(demo[0].kochava.records)


async def test_nothing_is_sent_about_a_person_who_opted_out(page: Page, demo: Demo) -> None:
    """The chat goes on."""
    await get_started(page)
    await figure(page, "delivered", 2)
    await page.get_by_role("button", name="Opt Ada out").click()
    await expect(page.locator("#messages")).to_contain_text("You are not counted any more")
    await write(page, "Do you have shoes?")
    await expect(page.get_by_role("button", name="Buy")).to_be_visible()
    assert await demo[0].drained(within_seconds=20)
    assert 2 == len(demo[0].kochava.records)
    assert demo[0].audit().is_good


async def test_second_person_has_a_chat_of_their_own(page: Page) -> None:
    """The first one's is still there."""
    await get_started(page)
    await page.get_by_role("button", name="Add a person").click()
    await expect(page.get_by_text("You are Grace, a customer")).to_be_visible()
    await page.get_by_role("button", name="Ada", exact=True).click()
    await expect(page.get_by_role("button", name="Start Chatting")).to_be_visible()


async def test_media_template_comes_from_the_persistent_menu(page: Page) -> None:
    """Its button is rewritten, its video is not."""
    await get_started(page)
    await page.get_by_role("button", name="Persistent menu").click()
    await page.get_by_role("button", name="Watch the video").click()
    await expect(page.get_by_role("button", name="All colours")).to_be_visible()
    await expect(page.locator("#sent-list article").first.locator(".link .old")).to_have_count(1)


async def test_page_can_be_used_with_the_keyboard_alone(page: Page) -> None:
    """Focus and Enter reach the greeting's button."""
    await page.get_by_role("button", name="Get started").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Start Chatting")).to_be_visible()
    await page.get_by_role("button", name="Show Website").focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#messages")).to_contain_text("What are you looking for?")


async def test_figures_equal_the_record_of_the_sandbox(page: Page, demo: Demo) -> None:
    """Each figure is the length of a list of the local servers."""
    environment, _ = demo
    await get_started(page)
    await page.get_by_role("button", name="Start Chatting").click()
    await write(page, "Shoes, please")
    await page.get_by_role("button", name="Details").click()
    await page.get_by_role("button", name="Close").click()
    await page.get_by_role("button", name="Buy").click()
    await expect(page.locator("#messages")).to_contain_text("Thank you!")
    assert await environment.drained(within_seconds=20)
    messenger, kochava = environment.messenger, environment.kochava
    track = await environment.store.stats()
    wanted = {
        "webhooks": len(messenger.acknowledged),
        "messages": len(messenger.sent),
        "events": len(kochava.events),
        "impressions": len(kochava.impressions),
        "clicks": len(kochava.clicks),
        "smartlinks": len(kochava.smartlink_clicks),
        "rejections": 0,
        "refused": 0,
        "delivered": sum(stats.done for queue, stats in track.items() if queue not in ("inbox", "timer")),
        "waiting": 0,
        "dead": 0,
    }
    for name, value in wanted.items():
        await figure(page, name, value)
    await expect(page.locator("#request-list article")).to_have_count(len(kochava.records))


async def test_tour_has_five_steps_and_is_shown_once(demo: Demo, open_page: OpenPage) -> None:
    """On the first visit only."""
    page = await open_page(demo[1].url)
    tour = page.locator("#tour")
    for step in range(1, 6):
        await expect(tour).to_contain_text(f"{step} of 5")
        await tour.locator(".primary").click()
    await expect(tour).to_be_hidden()
    await page.reload()
    await expect(page.locator("#health")).to_contain_text("Live")
    await expect(tour).to_be_hidden()


async def test_huge_body_is_cut_with_its_size(page: Page, demo: Demo) -> None:
    """Ten megabytes, which Facebook refuses."""
    environment, _ = demo
    await get_started(page)
    (token,) = (environment.messenger.settings()["page_access_token"],)
    body = {"recipient": {"id": "5000000000000001"}, "message": {"text": "x" * 10_000_000}}
    await page.context.request.post(
        f"{environment.messenger.url}/v23.0/me/messages?access_token={token}", data=body, timeout=60_000
    )
    item = page.locator("#sent-list article").first
    await expect(item).to_contain_text("Body, 10.0 MB", timeout=20_000)
    assert len(await item.inner_text()) < BODY_LIMIT
    await write(page, "Are you there?")
    await expect(page.get_by_role("button", name="Buy")).to_be_visible()


async def test_page_stays_small_and_usable_under_thousands_of_events(page: Page, demo: Demo) -> None:
    """Lists keep the newest, and the chat of the person who is played keeps all of theirs."""
    _, server = demo
    await get_started(page)
    for number in range(3000):
        server.log.add(
            EventKind.KOCHAVA,
            "accepted",
            user=f"person {number}",
            record="event",
            name=f"Number {number}",
            method="POST",
            path="/track/json",
            text="{}",
            answer="",
            seconds=0.0,
        )
        if number % 100 == 0:
            await page.evaluate("() => new Promise(requestAnimationFrame)")
    requests = page.locator("#request-list article")
    await expect(requests.first).to_contain_text("Event · Number 2999")
    assert await requests.count() <= 40
    await page.get_by_role("button", name="Start Chatting").click()
    await expect(page.locator("#messages")).to_contain_text("What are you looking for?")
    await page.reload()
    await expect(page.get_by_role("button", name="Start Chatting")).to_be_visible()


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(
    demo: Demo, open_page: OpenPage, size: tuple[int, int], scheme: Scheme
) -> None:
    """Neither on the first visit, nor in a chat with an outage."""
    page = await open_page(demo[1].url, size=size, scheme=scheme)
    await expect(page.locator("#tour")).to_be_visible()
    assert [] == await violations(page)
    await page.keyboard.press("Escape")
    await get_started(page)
    await page.get_by_role("radio", name="down").check()
    await write(page, "Shoes, please")
    await expect(page.locator("#entries")).to_contain_text("Question")
    await page.get_by_role("button", name="Details").click()
    await expect(page.get_by_role("dialog", name="Browser")).to_contain_text("Kochava does not answer")
    assert [] == await violations(page)
