"""
Writes settings.md from the settings classes, so that the page always agrees with the code.

Run it after a settings class changed: python docs/generate_settings.py
"""

from __future__ import annotations

import collections.abc
import enum
import inspect
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

from kochava_bot_middleware import BotSettings, KochavaSettings
from kochava_bot_middleware.settings import Secret

PAGE = Path(__file__).parent / "settings.md"

HEAD = """# Settings

<!-- Written by docs/generate_settings.py from the settings classes. Change those, then run it. -->

Settings are a dict (`from_dict`), or a TOML file for the command line, with the settings of `KochavaMiddleware` in the
table `[kochava]` and those of `MessengerBot` in the table `[bot]`. An environment variable overrides the file:
`KOCHAVA_BOT__KOCHAVA__STORE` is `store` in `[kochava]`; two underscores stand for a dot. A variable such as
`KOCHAVA__STORE`, which was meant to be read, is an error; for one such as `KOCHAVA_APPID`, which may be another
program's, the commands print a warning.
[Getting started](getting-started.md#4-write-the-bot) shows how your own program reads both.

Values are not converted: `"5"` is refused where a number is wanted. One error lists everything that is wrong, with the
key, what was wanted and what was given. A *required* setting has no default; *none* means that it is not set. A setting
that is turned off with `None` can be turned off in code only, since TOML has no such value. A *callable* is given in
code, or as text by its module and name (`"shop.hooks:consent_of"`), unless a text is a value of the setting, too.
"""

CONTAINERS = (list, tuple, collections.abc.Sequence)
PLACEHOLDERS = {"pages": "<page id>", "trackers": "<name>"}
SCALARS = {str: "text", bool: "true or false", int: "whole number", float: "number", Secret: "secret text"}
UNITS = (("_per_second", "a second"), ("_seconds", "seconds"), ("_bytes", "bytes"))


def meanings(cls: type) -> Mapping[str, str]:
    """The text of the docstring's ``Attributes``, by name; of inherited ones, from the class that defines them."""
    text = inspect.cleandoc(cls.__doc__ or "")
    _, _, listed = text.partition("Attributes:\n")
    found: dict[str, str] = {}
    for base in cls.__bases__:
        found |= meanings(base) if attrs.has(base) else {}
    name = ""
    for line in listed.splitlines():
        begins = re.fullmatch(r" {4}(\w+): (.*)", line)
        if begins is not None:
            name = begins[1]
            found[name] = begins[2]
        elif name and line.startswith(" " * 8):
            found[name] += " " + line.strip()
        elif line.strip():
            break
    return found


def members(kind: Any) -> tuple[Any, ...]:
    """The types in a union, without ``None``; for any other type only itself."""
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(each for each in get_args(kind) if each is not type(None))
    return (kind,)


def bounds(field: Any) -> Mapping[str, Any]:
    """The arguments of `one_of` and `at_least`; empty for other validators."""
    validator = field.validator
    if validator is None or not inspect.isfunction(validator):
        return {}
    return inspect.getclosurevars(validator).nonlocals


def in_words(kind: Any) -> str:
    """A type in words."""
    origin = get_origin(kind)
    if kind in SCALARS:
        return SCALARS[kind]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return "one of " + ", ".join(f"`{member.value}`" for member in kind)
    if attrs.has(kind):
        return "table"
    if origin is collections.abc.Mapping:
        return "table of " + " or ".join(many(each) for each in members(get_args(kind)[1]))
    if origin in CONTAINERS:
        return "list of " + many(get_args(kind)[0])
    return "callable"


def many(kind: Any) -> str:
    """A type in words, in the plural."""
    words = in_words(kind)
    return words + "s" if words in {"text", "number", "secret text", "table"} else words


def type_of(field: Any, kind: Any) -> str:
    """The values that a field accepts."""
    limits = bounds(field)
    words = " or ".join(in_words(each) for each in members(kind))
    if "choices" in limits:
        return "one of " + ", ".join(f"`{choice}`" for choice in limits["choices"])
    if "minimum" in limits:
        return f"{words}, {'above' if limits.get('exclusive') else 'at least'} {limits['minimum']:g}"
    return words


def default_of(field: Any) -> str:
    """A default as it is written in TOML."""
    value = field.default
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        value = value.factory()
    if value is attrs.NOTHING:
        return "*required*"
    if value is None:
        return "*none*"
    return "*empty*" if value in ((), {}, []) else f"`{written(value)}`"


def written(value: Any) -> str:
    """A value in TOML's spelling."""
    match value:
        case bool():
            return str(value).lower()
        case enum.Enum():
            return f'"{value.value}"'
        case str():
            return f'"{value}"'
        case int() | float():
            return str(int(value)) if value == int(value) else f"{value:g}"
        case Mapping():
            return "{ " + ", ".join(f"{name} = {written(each)}" for name, each in value.items()) + " }"
        case _:
            return "[" + ", ".join(written(each) for each in value) + "]"


def unit_of(name: str) -> str:
    """The unit, from the ending of the key."""
    return next((unit for ending, unit in UNITS if name.endswith(ending)), "")


def cell(text: str) -> str:
    """Text of a docstring, for a table."""
    return text.replace("``", "`").replace("|", "\\|")


def sections(cls: type, path: str = "") -> Iterator[tuple[str, type]]:
    """A settings class and the classes within it, each with the path that its keys begin with."""
    yield path, cls
    hints = get_type_hints(cls)
    for field in attrs.fields(cls):
        for kind in members(hints[field.name]):
            own = f"{path}{field.name}"
            if attrs.has(kind) and kind is not Secret and not path.startswith("pages."):
                yield from sections(kind, f"{own}.")
            elif get_origin(kind) in CONTAINERS and attrs.has(get_args(kind)[0]) and get_args(kind)[0] is not Secret:
                yield from sections(get_args(kind)[0], f"{own}[].")
            elif get_origin(kind) is collections.abc.Mapping and attrs.has(get_args(kind)[1]):
                yield from sections(get_args(kind)[1], f"{own}.{PLACEHOLDERS.get(field.name, '<name>')}.")


def rows(cls: type, path: str) -> Iterator[str]:
    """The table of one class."""
    hints, said = get_type_hints(cls), meanings(cls)
    yield "| key | accepts | default | unit | meaning |"
    yield "| --- | --- | --- | --- | --- |"
    # Own fields come before inherited ones.
    for field in sorted(attrs.fields(cls), key=lambda field: field.inherited):
        kind = hints[field.name]
        is_section = all(attrs.has(each) and each is not Secret for each in members(kind))
        takes = "table" if is_section else type_of(field, kind)
        default = "" if is_section else default_of(field)
        meaning = cell(said.get(field.name, "Replaces the one at the top for this Page."))
        yield f"| `{path}{field.name}` | {takes} | {default} | {unit_of(field.name)} | {meaning} |"


def part(heading: str, cls: type) -> Iterator[str]:
    """One class with the classes within it."""
    yield f"\n## {heading}\n"
    for path, below in sections(cls):
        if path:
            yield f"\n### `{path.rstrip('.')}`\n"
            yield cell(" ".join((inspect.getdoc(below) or "").partition("\n\nAttributes:")[0].split())) + "\n"
        yield from rows(below, path)


def page() -> str:
    """The whole page."""
    lines = [
        HEAD,
        *part("Settings of `KochavaMiddleware`", KochavaSettings),
        *part("Settings of `MessengerBot`", BotSettings),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
