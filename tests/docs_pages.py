"""The documentation's pages, taken apart for tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WITH_README = [*PAGES, ROOT / "README.md"]


@attrs.frozen
class Block:
    """
    A fenced block of a page.

    Attributes:
        page: Its page's name.
        line: Where it begins.
        language: As the fence says.
        text: What is in it.
        runs: Whether ``<!-- run -->`` stands before it.
    """

    page: str
    line: int
    language: str
    text: str
    runs: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(path: Path) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8")
    for match in re.finditer(r"^(<!-- run -->\n)?```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        line = text.count("\n", 0, match.start(2)) + 1
        yield Block(path.name, line, match[2], match[3], match[1] is not None)


def prose_of(path: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def inline_code(path: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose_of(path))


BLOCKS = [block for path in WITH_README for block in blocks_of(path)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
SETTINGS_FRAGMENTS = [block for block in PYTHON if block.text.startswith('"')]
PROGRAMS = [block for block in PYTHON if block not in SETTINGS_FRAGMENTS]
RUNNABLE = [block for block in BLOCKS if block.runs]
TOML = [block for block in BLOCKS if block.language == "toml"]
CONSOLE = [block for block in BLOCKS if block.language == "console"]
