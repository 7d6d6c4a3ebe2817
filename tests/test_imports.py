"""What a program loads of the libraries that this package can use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kochava_bot_middleware

OPTIONAL = {"asyncpg", "httpx", "opentelemetry", "prometheus_client", "redis", "rich", "uvloop"}
OF_BOTS = {"aiohttp.web", "pymessenger", "requests"}
ALL = {*OPTIONAL, *OF_BOTS, "aiohttp", "orjson", "sqlite3"}


@pytest.mark.parametrize(
    ("program", "unwanted"),
    [
        ("import kochava_bot_middleware", {*ALL, "asyncio", "attr"}),
        ("from kochava_bot_middleware import parse_webhook", ALL - {"orjson"}),
        ("from kochava_bot_middleware import KochavaMiddleware, SyncKochava", {*OPTIONAL, *OF_BOTS}),
        ("from kochava_bot_middleware import MessengerBot", OPTIONAL),
        ("from kochava_bot_middleware.cli.main import build_parser; build_parser().format_help()", ALL),
        ("from kochava_bot_middleware.cli.main import build_parser; build_parser().parse_args(['parse'])", OF_BOTS),
    ],
)
def test_a_program_loads_no_library_that_it_does_not_use(program: str, unwanted: set[str]) -> None:
    """Each takes tens of milliseconds, or may not be installed."""
    report = f"import sys; print(*({sorted(unwanted)!r} & sys.modules.keys()))".replace("[", "{").replace("]", "}")
    ran = subprocess.run([sys.executable, "-c", f"{program}\n{report}"], capture_output=True, text=True, check=True)
    assert "" == ran.stdout.strip()


def test_each_public_name_is_there() -> None:
    """Each is loaded by its first use."""
    for name in kochava_bot_middleware.__all__:
        assert getattr(kochava_bot_middleware, name).__module__ if name != "events" else kochava_bot_middleware.events
        assert name in dir(kochava_bot_middleware)


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'Kochava'"):
        _ = kochava_bot_middleware.Kochava  # type: ignore[attr-defined]


def test_names_have_the_types_of_what_is_loaded() -> None:
    """What type checkers read names the same modules as what is loaded."""
    tree = ast.parse(Path(kochava_bot_middleware.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
    }
    assert sorted(typed) == sorted(kochava_bot_middleware.__all__)
    for name, (module, original) in typed.items():
        loaded = __import__(f"kochava_bot_middleware.{module}", fromlist=[original])
        assert getattr(loaded, original) is getattr(kochava_bot_middleware, name)
