"""The documentation says what there is: commands, settings, methods, metrics, links, packages and promises."""

from __future__ import annotations

import ast
import importlib.util
import re
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

from kochava_bot_middleware import BotSettings, Counts, KochavaMiddleware, KochavaSettings, MessengerBot, Reply, events
from kochava_bot_middleware.cli.main import CommandParser, build_parser
from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.telemetry.prometheus import Metrics
from kochava_bot_middleware.testing import MemoryStore
from tests.docs_pages import DOCS, PAGES, ROOT, WITH_README, inline_code, prose_of


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
            parser = build_parser()
            for word in code.split()[1:]:
                known = subparsers_of(parser)
                if word.startswith("--"):
                    assert word in parser._option_string_actions, code
                elif known:
                    assert word in known, code
                    parser = known[word]
                    if isinstance(parser, CommandParser):
                        parser.load()


def fields_of(cls: Any) -> set[str]:
    return {field.name for field in attrs.fields(cls)}


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The script that writes settings.md."""
    spec = importlib.util.spec_from_file_location("generate_settings", DOCS / "generate_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def settings_keys(generator: ModuleType) -> set[str]:
    """Every path of a setting."""
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


class Counted:
    """A middleware that has counted nothing."""

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
        if code.startswith("kochava_bot_") and "." not in code and code != "kochava_bot_middleware"
    }

    assert named
    assert named <= known, named - known
    described = set(re.findall(r"``(kochava_bot_\w+)``", Metrics.__doc__ or ""))
    assert described == {name for name in known if not name.endswith("_created")}


ADDRESS = re.compile(r"(?!https?:)[a-z]+://[^\s…]*")


@pytest.mark.parametrize(
    "address", sorted({code for path in WITH_README for code in inline_code(path) if ADDRESS.fullmatch(code)})
)
def test_store_address_is_known(address: str) -> None:
    """Nothing is opened."""
    open_store(address)


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


def promises() -> list[str]:
    """The numbers of the promises, by their headings."""
    return re.findall(r"^## (\d)\. ", (DOCS / "promises.md").read_text(encoding="utf-8"), re.MULTILINE)


def appendix() -> Mapping[str, list[tuple[str, str]]]:
    """The tests that the appendix names, file and function, by number of the promise."""
    _, *sections = re.split(
        r"^### Tests of promise ", (DOCS / "promises.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    return {section[0]: PROOF.findall(section) for section in sections}


def test_there_are_eight_promises() -> None:
    """Each with a number, and with tests in the appendix."""
    assert list("12345678") == promises() == list(appendix())


@pytest.mark.parametrize("number", "12345678")
def test_promise_names_tests_that_exist(number: str) -> None:
    """A file, and a function or method in it."""
    proofs = appendix()[number]

    assert proofs
    for file, name in proofs:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        functions = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        assert name in functions, f"{file}::{name}"


def test_packages_in_the_architecture_page_exist() -> None:
    """And none is left out."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE))
    package = ROOT / "kochava_bot_middleware"

    assert {path.parent.name for path in package.glob("*/__init__.py")} == named
