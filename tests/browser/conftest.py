"""Debian's Chromium, driven by Playwright, and pages that fail their test when the console has an error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright

CHROMIUM = Path("/usr/bin/chromium")

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

DESKTOP = (1280, 800)
PHONE = (390, 844)

Scheme = Literal["light", "dark"]
OpenPage = Callable[..., Awaitable[Page]]

AXE = files("axe_playwright_python").joinpath("axe.min.js")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """The browser; the test fails without it."""
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing: run .ci/chromium, or `apt-get install chromium`")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        await chromium.close()


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """
    Opens an address in a new window: `await open_page(url, size=PHONE, scheme="dark")`. With `alone=True` there is no
    network, and nothing but that address can be read.
    """
    errors: list[str] = []

    async def open_it(
        url: str,
        *,
        size: tuple[int, int] = DESKTOP,
        scheme: Scheme = "light",
        cookies: dict[str, str] | None = None,
        alone: bool = False,
    ) -> Page:
        width, height = size
        context = await browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
        )
        if cookies:
            await context.add_cookies([{"name": name, "value": value, "url": url} for name, value in cookies.items()])
        if alone:
            await _leave_alone(context, url)
        page = await context.new_page()
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(url)
        return page

    yield open_it
    for context in browser.contexts:
        await context.close()
    assert [] == errors


async def _leave_alone(context: BrowserContext, url: str) -> None:
    async def only_the_page(route: Route) -> None:
        await (route.continue_() if route.request.url == url else route.abort())

    await context.set_offline(True)
    await context.route("**/*", only_the_page)


async def violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical in *page*, as rule and element."""
    await page.evaluate(AXE.read_text(encoding="utf-8"))
    result: dict[str, Any] = await page.evaluate("() => axe.run()")
    return [
        f"{found['id']}: {node['html']}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]
