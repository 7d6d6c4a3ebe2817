"""The log lines of the package, found in its source."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from tests.docs_pages import ROOT

PACKAGE = ROOT / "kochava_bot_middleware"

LEVELS = ("debug", "info", "warning", "error", "critical")
_NAME = re.compile(r"(?:%s_[a-z]+|[a-z]+_[a-z]+)(?:_[a-z]+)*(?=[: ]|$)")


@attrs.frozen
class LogLine:
    """A name that log lines begin with, and a level that one has; what differs within a name is ``<queue>``."""

    name: str
    level: str


@functools.cache
def log_lines() -> frozenset[LogLine]:
    """
    All of them.

    Raises:
        AssertionError: One has no name, or none that can be read here.
    """
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
    constants = {name: value for tree in trees.values() for name, value in _constants(tree)}
    found: set[LogLine] = set()
    for path, tree in trees.items():
        # It writes what it is given.
        if path.name != "incidents.py":
            for function in ast.walk(tree):
                if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    found |= set(_lines_of(function, path, {**constants, **dict(_constants(function))}))
    return frozenset(found)


def _constants(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Names of texts, with all that each may hold."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and (texts := _texts(node.value, {})):
            yield node.targets[0].id, texts


def _texts(node: ast.expr, names: Mapping[str, list[str]]) -> list[str]:
    """The texts that an expression may be; none if it cannot be told."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp():
            return [*_texts(node.body, names), *_texts(node.orelse, names)]
        case ast.Name():
            return names.get(node.id, [])
        case _:
            return []


def _lines_of(function: ast.AST, path: Path, names: Mapping[str, list[str]]) -> Iterator[LogLine]:
    for call in ast.walk(function):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        owner = ast.unparse(call.func.value)
        method = call.func.attr
        if method == "report" and owner.lower().endswith("incidents"):
            level = next((ast.unparse(one.value) for one in call.keywords if one.arg == "level"), "logging.WARNING")
            yield from _named(call, path, names, level.removeprefix("logging.").lower())
        elif owner in ("log", "logger") and method in LEVELS:
            yield from _named(call, path, names, method)
        else:
            assert owner not in ("log", "logger"), f"{path}:{call.lineno}: log.{method} is not read here"


def _named(call: ast.Call, path: Path, names: Mapping[str, list[str]], level: str) -> Iterator[LogLine]:
    texts = _texts(call.args[0], names)
    assert texts, f"{path}:{call.lineno}: what a log line begins with must be a text, or the name of one"
    for text in texts:
        name = _NAME.match(text)
        assert name is not None, f"{path}:{call.lineno}: a log line begins with a name_of_its_own:, got {text!r}"
        yield LogLine(name[0].replace("%s_", "<queue>_"), level)
