"""
The documentation says what the code does: snippets, commands, settings, links and promises.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import re
import shlex
import sys
import textwrap
import tomllib
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

from kochava_bot_middleware import BotSettings, Counts, KochavaMiddleware, KochavaSettings, MessengerBot, Reply, events
from kochava_bot_middleware.cli import _parser
from kochava_bot_middleware.metrics import Metrics
from kochava_bot_middleware.settings import from_mapping
from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.testing import MemoryStore

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WITH_README = [*PAGES, ROOT / "README.md"]

BOT_BASE = {"verify_token": "v", "page_access_token": "t", "app_secret": "s"}
KOCHAVA_BASE = {"kochava_app_id": "kobotdemo1234"}


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
    """
    A page without its fenced blocks.
    """
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


ADDRESS = re.compile(r"(?!https?:)[a-z]+://[^\s…]*")


@pytest.mark.parametrize(
    "address", sorted({code for path in WITH_README for code in inline_code(path) if ADDRESS.fullmatch(code)})
)
def test_store_address_is_known(address: str) -> None:
    """Nothing is opened."""
    open_store(address)


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
        _parser().parse_args(words)


def subparsers_of(parser: ArgumentParser) -> Mapping[str, ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            return action.choices
    return {}


@pytest.mark.parametrize("path", WITH_README, ids=lambda path: path.name)
def test_command_named_in_the_text_exists(path: Path) -> None:
    """Its name, that of its action, and its options."""
    for code in inline_code(path):
        if code.startswith("kochava-bot "):
            parser = _parser()
            for word in code.split()[1:]:
                known = subparsers_of(parser)
                if word.startswith("--"):
                    assert word in parser._option_string_actions, code
                elif known:
                    assert word in known, code
                    parser = known[word]


def fields_of(cls: Any) -> set[str]:
    return {field.name for field in attrs.fields(cls)}


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """
    The script that writes settings.md.
    """
    spec = importlib.util.spec_from_file_location("generate_settings", DOCS / "generate_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def settings_keys(generator: ModuleType) -> set[str]:
    """
    Every path of a setting.
    """
    return {
        f"{path}{field.name}"
        for cls in (KochavaSettings, BotSettings)
        for path, below in generator.sections(cls)
        for field in attrs.fields(below)
    }


@pytest.mark.parametrize("path", WITH_README, ids=lambda path: path.name)
def test_setting_named_in_the_text_exists(path: Path, settings_keys: set[str]) -> None:
    """Code of the form ``section.key``, where the section is one of the settings."""
    sections = {key.partition(".")[0] for key in settings_keys if "." in key}
    for code in inline_code(path):
        if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", code) and code.partition(".")[0] in sections:
            is_builder = code.startswith("events.") and hasattr(events, code.partition(".")[2])
            assert is_builder or code in settings_keys, code


def names_in(path: Path) -> set[str]:
    return set(re.findall(r"`@?((?:kochava|bot|reply)\.[a-z_]+)(?=[`(])", prose_of(path)))


@pytest.mark.parametrize("path", WITH_README, ids=lambda path: path.name)
def test_method_named_in_the_text_exists(path: Path) -> None:
    """``kochava.…`` is one of the middleware, ``bot.…`` of the bot, ``reply.…`` of the reply; or a setting."""
    known = {
        "kochava": {*dir(KochavaMiddleware), *fields_of(KochavaSettings)},
        "bot": {*dir(MessengerBot), *fields_of(BotSettings), "toml"},
        "reply": {*dir(Reply)},
    }
    for name in names_in(path):
        owner, _, attribute = name.partition(".")
        assert attribute in known[owner], name


def test_methods_used_in_snippets_exist() -> None:
    """The same in Python blocks."""
    for block in PROGRAMS:
        for owner, cls in (("kochava", KochavaMiddleware), ("bot", MessengerBot), ("reply", Reply)):
            for name in re.findall(rf"(?<![\w.]){owner}\.([a-z_]+)\(", block.text):
                assert hasattr(cls, name) or "LocalKochava" in block.text, f"{block}: {owner}.{name}"


class Counted:
    """
    A middleware that has counted nothing.
    """

    counts = Counts()


async def test_metrics_named_in_the_text_exist() -> None:
    """By the names that Prometheus shows."""
    metrics = Metrics()
    metrics.watch(Counted())
    text = (await metrics.text(MemoryStore())).decode()
    known = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    named = {
        code
        for path in WITH_README
        for code in inline_code(path)
        if code.startswith("kochava_bot_") and "." not in code
    }

    assert named
    assert named <= known, named - known


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", WITH_README, ids=lambda path: path.name)
def test_link_leads_somewhere(path: Path) -> None:
    """To a file of this repository, and to a heading in it if it names one."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(path)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        aim = (path.parent / name).resolve() if name else path
        assert aim.exists(), target
        assert not anchor or anchor in anchors_of(aim), target


def test_every_page_is_in_the_index() -> None:
    """Once."""
    named = re.findall(
        r"^- \[[^\]]+\]\((\w[\w-]*\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert sorted(path.name for path in PAGES if path.name != "README.md") == sorted(named)


def test_settings_page_is_up_to_date(generator: ModuleType) -> None:
    """If it is not: python docs/generate_settings.py."""
    assert generator.page() == generator.PAGE.read_text(encoding="utf-8")


PROOF = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def promises() -> Mapping[str, str]:
    """
    The promises' sections by heading.
    """
    _, *sections = re.split(r"^## ", (DOCS / "promises.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {section.partition("\n")[0]: section for section in sections if section[0].isdigit()}


def test_there_are_eight_promises() -> None:
    """Each with a number."""
    assert list("12345678") == [heading[0] for heading in promises()]


@pytest.mark.parametrize("heading", promises())
def test_promise_names_tests_that_exist(heading: str) -> None:
    """A file, and a function or method in it."""
    proofs = PROOF.findall(promises()[heading])

    assert proofs
    for file, name in proofs:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        assert name in functions, f"{file}::{name}"


def test_rooms_in_the_architecture_page_exist() -> None:
    """And none is left out."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE))
    package = ROOT / "kochava_bot_middleware"

    assert {path.parent.name for path in package.glob("*/__init__.py")} == named
