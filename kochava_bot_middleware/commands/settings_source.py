"""
Where commands get the settings from: a TOML file, with environment variables laid over it.
"""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Mapping

from ..exceptions import SettingsError, Violation
from ..measuring.apps import KochavaSettings
from ..settings import from_mapping, kind_of
from ..settings_sources import from_environment, from_toml

TABLE = "kochava"


def add_settings_argument(parser: argparse.ArgumentParser) -> None:
    """
    Add ``--settings``.
    """
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="TOML file with a table [kochava]; environment variables such as KOCHAVA_BOT__KOCHAVA__STORE go over it",
    )


def read_settings(path: str | None, environment: Mapping[str, str] = os.environ) -> KochavaSettings:
    """
    The middleware's settings.

    Args:
        path: The file; ``None`` if all is in the environment.

    Raises:
        SettingsError: With everything that is wrong.
    """
    tables = _tables(path, environment)
    if TABLE not in tables:
        near = difflib.get_close_matches(TABLE, tables, n=1)
        place = "the environment; name a file with --settings" if path is None else path
        got = f"[{near[0]}], probably misspelt" if near else f"none in {place}"
        raise SettingsError([Violation(key=TABLE, wanted=f"a table [{TABLE}]", got=got)])
    table = tables[TABLE]
    if not isinstance(table, Mapping):
        raise SettingsError([Violation(key=TABLE, wanted=f"a table [{TABLE}]", got=kind_of(table))])
    return from_mapping(KochavaSettings, table, key=TABLE)


def read_page_ids(path: str | None, environment: Mapping[str, str] = os.environ) -> list[str]:
    """
    The Pages in the bot's own table, as far as there is one that can be read.

    Args:
        path: As of `read_settings`.
    """
    bot = _tables(path, environment).get("bot")
    pages = bot.get("pages") if isinstance(bot, Mapping) else None
    return [str(page_id) for page_id in pages] if isinstance(pages, Mapping) else []


def _tables(path: str | None, environment: Mapping[str, str]) -> Mapping[str, object]:
    return from_environment(environment, over={} if path is None else from_toml(path))
