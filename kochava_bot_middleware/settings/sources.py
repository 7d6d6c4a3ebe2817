"""Where settings come from: TOML files, and environment variables, whose text is read as what is wanted there."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..exceptions import SettingsError, Violation

ENVIRONMENT_PREFIX = "KOCHAVA_BOT"
"""``KOCHAVA_BOT__KOCHAVA__STORE`` sets ``kochava.store``: two underscores stand for a dot."""

_TABLE_AND_KEY = 2

_SUCH_AS = f"{ENVIRONMENT_PREFIX}__<table>__<key>, such as {ENVIRONMENT_PREFIX}__KOCHAVA__STORE"


class EnvironmentName(str):
    """
    Part of a variable's name. In place of a settings key it has no case; as the key of a mapping it stays as written.
    """

    __slots__ = ()


class EnvironmentText(str):
    """
    The value of a variable. Where a text is wanted it is one, whatever it looks like: a token may consist of digits.
    """

    __slots__ = ()


def text_of(value: Any) -> Any:
    """The text of a variable, without the TOML quotes around it if there are any; any other value as it is."""
    if not isinstance(value, EnvironmentText):
        return value
    found = _toml_value(value)
    return found if isinstance(found, str) else str(value)


def value_of(value: Any) -> Any:
    """The TOML number, boolean, array or inline table that a variable reads as, else its text; others as they are."""
    if not isinstance(value, EnvironmentText):
        return value
    found = _toml_value(value)
    return found if isinstance(found, (bool, int, float, list, dict)) else text_of(value)


def _toml_value(text: str) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return None
    # A line break in the text would begin another key.
    return document["value"] if len(document) == 1 else None


def merged(under: Any, over: Any) -> Any:
    """*over*, together with what only *under* has if both are mappings."""
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    both = dict(under)
    for name, value in over.items():
        both[name] = merged(both.get(name), value)
    return both


def from_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """
    Read a TOML settings file.

    Raises:
        SettingsError: It cannot be read or is not TOML.
    """
    try:
        # Some editors begin a file with a byte order mark.
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise SettingsError([Violation(key=str(path), wanted="a readable TOML file", got=str(exc.strerror))]) from exc
    except (ValueError, RecursionError) as exc:
        raise SettingsError([Violation(key=str(path), wanted="a TOML file", got=str(exc))]) from exc


def from_environment(environment: Mapping[str, str], *, over: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Settings from environment variables, which replace those of the mapping *over*, for `from_mapping`.

    ``KOCHAVA_BOT__BOT__APP_SECRET`` sets ``bot.app_secret``. Names of settings have no case; the keys of a mapping
    whose names are yours have, as in ``KOCHAVA_BOT__KOCHAVA__DELIVERY__ON_AMBIGUOUS__Purchase``.

    Where a number, boolean, list or mapping is wanted, the value is read as TOML (``30``, ``true``, ``["a"]``). Where
    a text or secret is wanted it is taken as it is, without the TOML quotes if it has any.

    Raises:
        SettingsError: A variable sets a member of what is a single value, or is meant for this but named otherwise.
    """
    settings, violations = read_environment(environment, over=over)
    if violations:
        raise SettingsError(violations)
    return settings


def read_environment(
    environment: Mapping[str, str], *, over: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], list[Violation]]:
    """As `from_environment`, with what is wrong in place of an error."""
    settings = _copy(over or {})
    violations: list[Violation] = []
    for name, text in sorted(environment.items()):
        prefix, *path = name.split("__")
        if prefix != ENVIRONMENT_PREFIX or not path:
            if path and _is_near(prefix):
                violations.append(Violation(key=name, wanted=_SUCH_AS, got="another name"))
        elif not all(path):
            violations.append(Violation(key=name, wanted=_SUCH_AS, got="an empty part"))
        elif len(path) < _TABLE_AND_KEY and not isinstance(value_of(EnvironmentText(text)), dict):
            violations.append(Violation(key=name, wanted=f"{_SUCH_AS}, or a whole table in braces", got="no table"))
        elif not _set(settings, path, text):
            violations.append(Violation(key=name, wanted="a table to set a member of", got="a single value"))
    return settings, violations


def _is_near(prefix: str) -> bool:
    """Whether a name with two underscores that begins so was meant for these settings."""
    return prefix.upper().startswith("KOCHAVA") or bool(
        difflib.get_close_matches(prefix.upper(), [ENVIRONMENT_PREFIX], cutoff=0.8)
    )


def _set(settings: dict[str, Any], path: Sequence[str], text: str) -> bool:
    """Set what a variable names; false if that is a member of a single value."""
    parts = [part.lower() if depth < _TABLE_AND_KEY else EnvironmentName(part) for depth, part in enumerate(path)]
    target = settings
    for part in parts[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            return False
    # A key that is there already would keep its own type of name.
    target.pop(parts[-1], None)
    target[parts[-1]] = EnvironmentText(text)
    return True


def _copy(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in mapping.items()}


def toml_lines(table: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Lines of TOML; a JSON string, number or array is one of TOML too."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from toml_lines(value, f"{path}{name}.")
        else:
            yield f"{path}{name} = {json.dumps(value, ensure_ascii=False)}"
