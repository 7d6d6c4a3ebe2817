"""
Writes images/*.png, the pictures of the README and the docs: the demo's page, and the report of its bot, in Chromium.

Run it after one of them changed: make pictures
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

from playwright.async_api import Page, ViewportSize, async_playwright, expect

from kochava_bot_middleware.reporting.html import to_html
from kochava_bot_middleware.reporting.report import ReportBy, report_of
from kochava_bot_middleware.sandbox.demo_page import demo_page
from kochava_bot_middleware.sandbox.traffic import Traffic

IMAGES = Path(__file__).parent / "images"

CHROMIUM = "/usr/bin/chromium"

SIZE = ViewportSize(width=1280, height=860)
REPORT_SIZE = ViewportSize(width=820, height=1120)

PEOPLE = 12
CHAT_SECONDS = 8.0
"""Enough for a report with something in each part."""


async def main() -> None:
    """Play the story once, and take a picture of each part."""
    with tempfile.TemporaryDirectory() as folder:
        async with demo_page(Path(folder)) as (environment, server), async_playwright() as playwright:
            await environment.start_bot()
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
            context = await browser.new_context(viewport=SIZE, reduced_motion="reduce")
            await context.add_cookies([{"name": "kochava_bot_tour", "value": "seen", "url": server.url}])
            page = await context.new_page()
            await page.goto(server.url)
            await _story(page)
            people = [environment.messenger.person() for _ in range(PEOPLE)]
            chance = random.Random(1)  # noqa: S311 - not for secrets
            await Traffic(people=people, chance=chance, clock=environment.messenger.clock).chat(CHAT_SECONDS)
            await environment.drained(within_seconds=30.0)
            report = report_of(await environment.store.counts(), by=ReportBy.DAY)
            await page.set_viewport_size(REPORT_SIZE)
            file = Path(folder) / "report.html"
            file.write_text(to_html(report), encoding="utf-8")
            await page.goto(file.as_uri())
            await page.screenshot(path=IMAGES / "report.png")
            await browser.close()


async def _story(page: Page) -> None:
    await page.get_by_role("button", name="Get started").click()
    await page.get_by_role("button", name="Show Website").click()
    await expect(page.locator("#request-list")).to_contain_text("SmartLink click")
    await page.wait_for_timeout(1500)
    await _picture(page, "demo-1-smartlink")

    await page.get_by_role("button", name="Close").click()
    await page.get_by_role("button", name="Start Chatting").click()
    await _write(page, "Shoes, please")
    await page.get_by_role("button", name="Buy").click()
    await expect(page.locator("#request-list")).to_contain_text("Purchase")
    await page.get_by_role("radio", name="down").check()
    for text in ("Are they warm?", "In green, please", "How long is shipping?"):
        await page.wait_for_timeout(1500)
        await _write(page, text)
    await page.wait_for_timeout(2000)
    await _picture(page, "demo-2-outage")

    await page.get_by_role("radio", name="up").check()
    await expect(page.locator("#notice")).to_contain_text("After the outage", timeout=30_000)
    await page.wait_for_timeout(1000)
    await page.get_by_role("button", name="Kill the bot").click()
    await _write(page, "Still there?", answered=False)
    await expect(page.locator("#notice")).to_contain_text("After the kill", timeout=30_000)
    await page.wait_for_timeout(1000)
    await page.emulate_media(color_scheme="dark")
    await _picture(page, "demo-3-recovered")
    await page.emulate_media(color_scheme="light")
    await page.locator("#timeline").screenshot(path=IMAGES / "demo-4-timeline.png")


async def _write(page: Page, text: str, *, answered: bool = True) -> None:
    cards = page.locator(".cards")
    before = await cards.count()
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")
    if answered:
        await expect(cards).to_have_count(before + 1)


async def _picture(page: Page, name: str) -> None:
    # No blinking cursor.
    await page.evaluate("() => document.activeElement.blur()")
    await page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
