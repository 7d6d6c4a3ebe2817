"""The report as HTML in a browser, with nothing but the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from kochava_bot_middleware.reporting.html import to_html
from kochava_bot_middleware.reporting.report import ReportBy, report_of
from kochava_bot_middleware.store.records import DayCount
from kochava_bot_middleware.tracking.counting import Facts
from tests.browser.conftest import PHONE, OpenPage, Scheme

HOSTILE = "</script><script>document.title = 'gone'</script>"

TABLES = ["Funnel", "Revenue", "Events", "Records by day", "Links", "Not delivered", "Delivery latency"]


async def visible_tables(page: Page) -> list[str]:
    """The headings of those that have a size."""
    sections = await page.locator("section").all()
    return [await each.locator("h2").inner_text() for each in sections if await each.locator("table").is_visible()]


async def color_of(text: Locator) -> str:
    """Of a text of a chart."""
    color: str = await text.evaluate("each => getComputedStyle(each).fill")
    return color


def counted(what: str, count: int, *, kind: str = "engagement", name: str = "Purchase", amount: int = 0) -> DayCount:
    currency = "USD" if kind == "engagement" else ""
    return DayCount(20_000, Facts("1001", "messenger", kind, name, currency).to_text(), what, count, amount)


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    counts = [
        counted("sent", 8, kind="greeting", name=""),
        counted("recorded", 6, kind="impression", name=""),
        counted("recorded", 3, kind="click", name=""),
        counted("recorded", 3, amount=59_970_000),
        counted("done:1", 2, amount=39_980_000),
        counted("recorded", 1, name=HOSTILE),
        counted("dead:rejected by Kochava", 1),
        counted("rewritten", 12, kind="link", name=""),
    ]
    file = tmp_path / "report.html"
    file.write_text(to_html(report_of(counts, by=ReportBy.DAY)), encoding="utf-8")
    return file


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_charts_are_drawn_without_a_network(page_file: Path, open_page: OpenPage, scheme: Scheme) -> None:
    """Each has bars and a table under it; the console has no error, and nothing else is loaded."""
    page = await open_page(page_file.as_uri(), size=PHONE, scheme=scheme, alone=True)
    charts = page.locator("[id^=chart-]")
    assert await charts.count() >= 5
    for index in range(await charts.count()):
        assert await charts.nth(index).locator(".bars path").count() > 0
        assert 1 == await charts.nth(index).locator("xpath=following-sibling::*//table").count()
    loaded = "performance.getEntriesByType('resource').map(each => each.name).filter(name => !name.startsWith('data:'))"
    assert [] == await page.evaluate(loaded)
    assert "Report of the bot" == await page.title()


async def test_page_fits_a_phone(page_file: Path, open_page: OpenPage) -> None:
    """All tables are visible, and nothing but a wide one in its own box has to be moved sideways."""
    page = await open_page(page_file.as_uri(), size=PHONE, alone=True)
    assert TABLES == await visible_tables(page)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_print_has_all_tables_dark_on_white(page_file: Path, open_page: OpenPage) -> None:
    """Also of a person whose screen is dark, of which paper has no background: the texts of the charts, too."""
    page = await open_page(page_file.as_uri(), scheme="dark", alone=True)
    text = page.locator(".xtick text").first
    assert "rgb(230, 230, 230)" == await color_of(text)
    await page.emulate_media(media="print")
    await expect(text).to_have_css("fill", "rgb(34, 34, 34)")
    assert TABLES == await visible_tables(page)
    assert "rgb(34, 34, 34)" == await page.evaluate("getComputedStyle(document.body).color")


async def test_steps_of_the_funnel_say_what_they_count(page_file: Path, open_page: OpenPage) -> None:
    """In the table and under the bars."""
    page = await open_page(page_file.as_uri(), alone=True)
    steps = ["greetings sent", "greetings shown", "greetings clicked", "events", "purchases"]
    assert steps == await page.locator("section:first-of-type tbody td:first-child").all_inner_texts()
    assert steps == await page.locator("#chart-0 .xtick text").all_text_contents()
