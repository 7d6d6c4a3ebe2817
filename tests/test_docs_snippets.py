"""Every snippet of the documentation is good: Python, settings, and command lines."""

from __future__ import annotations

import ast
import asyncio
import importlib
import re
import shlex
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from kochava_bot_middleware import BotSettings, KochavaMiddleware, KochavaSettings, MessengerBot, Reply
from kochava_bot_middleware.cli.main import build_parser
from kochava_bot_middleware.settings import from_mapping
from tests.docs_pages import CONSOLE, DOCS, PROGRAMS, RUNNABLE, SETTINGS_FRAGMENTS, TOML, Block, blocks_of

BOT_BASE = {"verify_token": "v", "page_access_token": "t", "app_secret": "s"}
KOCHAVA_BASE = {"kochava_app_id": "kobotdemo1234"}


def test_pages_have_snippets_of_each_sort() -> None:
    """If the fences were read wrongly, the tests below would have nothing to look at."""
    assert all((PROGRAMS, SETTINGS_FRAGMENTS, RUNNABLE, TOML, CONSOLE))


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_python_snippet_compiles(block: Block) -> None:
    """Also fragments from the middle of a coroutine."""
    try:
        compile(block.text, str(block), "exec")
    except SyntaxError:
        compile("async def fragment():\n" + textwrap.indent(block.text, "    "), str(block), "exec")


@pytest.mark.parametrize("block", RUNNABLE, ids=str)
async def test_python_program_runs(block: Block, tmp_path: Path) -> None:
    """A block marked with ``<!-- run -->`` ends well, in an empty folder, with warnings as errors."""
    (tmp_path / "program.py").write_text(block.text, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "program.py",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, _ = await process.communicate()

    assert 0 == process.returncode, output.decode()


async def test_getting_started_gives_a_bot(tmp_path: Path) -> None:
    """Its settings file and its program fit together; only the server is left out."""
    page = list(blocks_of(DOCS / "getting-started.md"))
    (settings,) = (block for block in page if block.text.startswith("# bot.toml"))
    (program,) = (block for block in page if "web.run_app" in block.text)
    (tmp_path / "bot.toml").write_text(settings.text, encoding="utf-8")
    text = program.text.replace("web.run_app(bot.app())", "print(type(bot.app()).__name__)")
    (tmp_path / "bot.py").write_text(text, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "bot.py", cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()

    assert (0, b"Application\n") == (process.returncode, output)


@pytest.mark.parametrize("block", SETTINGS_FRAGMENTS, ids=str)
def test_settings_in_python_are_valid(block: Block) -> None:
    """A block that begins with a key is a part of one of the two settings dicts."""
    if re.search(r":\s*[a-z_]+[,}\s]", re.sub(r'"[^"]*"', '""', block.text)):
        # It names a callable, so it is only read.
        compile("{" + block.text + "}", str(block), "eval")
        return
    mapping = ast.literal_eval("{" + block.text + "}")
    if set(mapping) & {field.name for field in attrs.fields(KochavaSettings)} - {"pages"}:
        from_mapping(KochavaSettings, KOCHAVA_BASE | mapping)
    else:
        from_mapping(BotSettings, mapping if "pages" in mapping else BOT_BASE | mapping)


@pytest.mark.parametrize("block", TOML, ids=str)
def test_settings_in_toml_are_valid(block: Block) -> None:
    """Its tables are those of a settings file."""
    tables = tomllib.loads(block.text)

    assert set(tables) <= {"kochava", "bot"}
    if "kochava" in tables:
        from_mapping(KochavaSettings, KOCHAVA_BASE | tables["kochava"])
    if "bot" in tables:
        from_mapping(BotSettings, tables["bot"])


def commands_in(block: Block) -> Iterator[list[str]]:
    for line in block.text.splitlines():
        if line.startswith("$ kochava-bot"):
            words = shlex.split(line.removeprefix("$ kochava-bot"), comments=True)
            for index, word in enumerate(words):
                if word in ("<", ">", "|"):
                    words = words[:index]
                    break
            yield words


@pytest.mark.parametrize("block", CONSOLE, ids=str)
def test_command_is_taken_by_the_command_line(block: Block) -> None:
    """Each line that begins with ``$ kochava-bot`` has a command and options that exist."""
    for words in commands_in(block):
        build_parser().parse_args(words)


def test_methods_used_in_snippets_exist() -> None:
    """The same in Python blocks."""
    for block in PROGRAMS:
        for owner, cls in (("kochava", KochavaMiddleware), ("bot", MessengerBot), ("reply", Reply)):
            for name in re.findall(rf"(?<![\w.]){owner}\.([a-z_]+)\(", block.text):
                assert hasattr(cls, name) or "LocalKochava" in block.text, f"{block}: {owner}.{name}"


def test_names_imported_in_snippets_exist() -> None:
    """Those of this package."""
    for block in PROGRAMS:
        for module, names in re.findall(r"^from (kochava_bot_middleware[\w.]*) import (.*)$", block.text, re.MULTILINE):
            for name in names.split(", "):
                assert hasattr(importlib.import_module(module), name), f"{block}: {module}.{name}"
