"""
Where settings mappings come from: a TOML file, and environment variables laid over it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .exceptions import SettingsError, Violation
from .settings_text import EnvironmentName, EnvironmentText

ENVIRONMENT_PREFIX = "KOCHAVA_BOT"
"""``KOCHAVA_BOT__KOCHAVA__STORE`` sets ``kochava.store``: two underscores stand for a dot."""

_TABLE_AND_KEY = 2


def from_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """
    Read a TOML settings file.

    Raises:
        SettingsError: It cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as exc:
        raise SettingsError([Violation(key=str(path), wanted="a readable TOML file", got=str(exc.strerror))]) from exc
    except ValueError as exc:
        raise SettingsError([Violation(key=str(path), wanted="a TOML file", got=str(exc))]) from exc


def from_environment(environment: Mapping[str, str], *, over: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    Settings from environment variables, laid over the mapping *over*, for `from_mapping`.

    ``KOCHAVA_BOT__BOT__APP_SECRET`` sets ``bot.app_secret``. Names of settings have no case; the keys of a mapping
    whose names are yours have, as in ``KOCHAVA_BOT__KOCHAVA__DELIVERY__ON_AMBIGUOUS__Purchase``.

    Where a number, boolean, list or mapping is wanted, the value is read as TOML (``30``, ``true``, ``["a"]``). Where
    a text or secret is wanted it is taken as it is, without the TOML quotes if it has any.

    Raises:
        SettingsError: A variable sets a member of what is a single value.
    """
    settings = _copy(over or {})
    for name, text in sorted(environment.items()):
        prefix, *path = name.split("__")
        if prefix != ENVIRONMENT_PREFIX or not path:
            continue
        *above, last = [part.lower() if depth < _TABLE_AND_KEY else _named(part) for depth, part in enumerate(path)]
        target = settings
        for part in above:
            target = target.setdefault(part, {})
            if not isinstance(target, dict):
                raise SettingsError([Violation(key=name, wanted="a table to set a member of", got="a single value")])
        target.pop(last, None)
        target[last] = EnvironmentText(text)
    return settings


def _named(part: str) -> str:
    return EnvironmentName(part)


def _copy(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in mapping.items()}
