"""The site has every page, and an entry for every public name; ``make docs`` builds it with warnings as errors."""

from __future__ import annotations

import re

import kochava_bot_middleware
from tests.docs_pages import DOCS, PAGES, ROOT, prose_of

API = sorted((DOCS / "api").glob("*.md"))
ENTRIES = [entry for page in API for entry in re.findall(r"^::: ([\w.]+)$", page.read_text("utf-8"), re.MULTILINE)]


def test_every_page_is_in_the_navigation() -> None:
    """Once."""
    named = re.findall(r"^ +- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(str(page.relative_to(DOCS)) for page in (*PAGES, *API)) == sorted(named)


def test_every_public_name_has_an_entry_in_the_reference() -> None:
    """Itself, or with its module; settings have a page of their own."""
    public = {name: getattr(kochava_bot_middleware, name) for name in kochava_bot_middleware.__all__}
    has_entry = {entry.rpartition(".")[2] for entry in ENTRIES}
    missing = {
        name
        for name, value in public.items()
        if name not in has_entry and getattr(value, "__module__", "") not in ENTRIES
    }

    assert {"BotSettings", "KochavaSettings", "Mode", "events"} == missing


def test_the_pages_are_short() -> None:
    """All together, without code blocks and without the page of settings, which is generated."""
    words = sum(len(re.findall(r"\S*\w\S*", prose_of(page))) for page in PAGES if page.name != "settings.md")

    assert words <= 15_000
