"""Where commands get the settings from: a TOML file, and environment variables, which override the file."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Mapping

from ..exceptions import SettingsError, Violation
from ..inbox.settings import BotSettings
from ..settings import from_environment, from_mapping, from_toml, kind_of
from ..tracking.settings import KochavaSettings

TABLE = "kochava"
BOT_TABLE = "bot"


def add_settings_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--settings``."""
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="TOML file with a table [kochava]; environment variables such as KOCHAVA_BOT__KOCHAVA__STORE override it",
    )


def read_settings(path: str | None, environment: Mapping[str, str] = os.environ) -> KochavaSettings:
    """
    The middleware's settings.

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
        raise SettingsError([_not_a_table(TABLE, table)])
    return from_mapping(KochavaSettings, table, key=TABLE)


def read_page_ids(path: str | None, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The Pages in the bot's own table, if there is one that can be read."""
    bot = _tables(path, environment).get(BOT_TABLE)
    pages = bot.get("pages") if isinstance(bot, Mapping) else None
    return [str(page_id) for page_id in pages] if isinstance(pages, Mapping) else []


def bot_violations(path: str | None, environment: Mapping[str, str] = os.environ) -> list[Violation]:
    """
    What no command needs, but a bot cannot start with: errors in its own table, and misspelt names of tables.

    Secrets that are missing may be in the bot's own environment, so none of this is an error here.
    """
    tables = _tables(path, environment)
    violations = [
        Violation(key=name, wanted=f"probably [{near[0]}]", got="an unknown table")
        for name in tables
        if name not in (TABLE, BOT_TABLE) and (near := difflib.get_close_matches(name, (TABLE, BOT_TABLE), n=1))
    ]
    bot = tables.get(BOT_TABLE)
    if bot is None:
        return violations
    if not isinstance(bot, Mapping):
        return [*violations, _not_a_table(BOT_TABLE, bot)]
    try:
        from_mapping(BotSettings, bot, key=BOT_TABLE)
    except SettingsError as exc:
        violations += exc.violations
    return violations


def _not_a_table(name: str, got: object) -> Violation:
    return Violation(key=name, wanted=f"a table [{name}]", got=kind_of(got))


def _tables(path: str | None, environment: Mapping[str, str]) -> Mapping[str, object]:
    return from_environment(environment, over={} if path is None else from_toml(path))
