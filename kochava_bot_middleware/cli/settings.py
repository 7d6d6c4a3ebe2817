"""Where commands get the settings from: a TOML file, and environment variables, which override the file."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard, TypeVar

import attrs

from ..exceptions import SettingsError, Violation
from ..inbox.settings import BotSettings
from ..settings import (
    ENVIRONMENT_PREFIX,
    EnvironmentText,
    from_mapping,
    from_toml,
    kind_of,
    read_environment,
    setting_paths,
)
from ..store.sqlite.place import obstacle
from ..store.sqlite.store import SqliteStore
from ..tracking.settings import KochavaSettings

TABLE = "kochava"
BOT_TABLE = "bot"

_CLASSES: Mapping[str, type] = {TABLE: KochavaSettings, BOT_TABLE: BotSettings}

_TELLING = {"kochava_app_id": TABLE, "verify_token": BOT_TABLE, "page_access_token": BOT_TABLE, "app_secret": BOT_TABLE}
"""Keys that no other program's table has, and the table that they belong to."""


def add_settings_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--settings``."""
    parser.add_argument(
        "--settings",
        metavar="FILE",
        help="TOML file with a table [kochava]; environment variables such as KOCHAVA_BOT__KOCHAVA__STORE override it",
    )


def read_settings(path: str | None, environment: Mapping[str, str] = os.environ) -> KochavaSettings:
    """
    The middleware's settings. Names that were probably meant to be read are printed on standard error.

    Raises:
        SettingsError: With everything that is wrong with them, and what may be the cause.
    """
    read = ReadSettings.of(path, environment)
    probable = [*read.misplaced, *read.near_misses]
    if read.kochava is None or read.environment_violations:
        raise SettingsError([*read.environment_violations, *read.kochava_violations, *probable])
    for violation in probable:
        print(f"kochava-bot: warning: {violation}", file=sys.stderr)
    return read.kochava


@attrs.frozen(kw_only=True)
class ReadSettings:
    """
    All tables of a settings file, with the environment's values, and all that is wrong with them.

    Attributes:
        kochava: The middleware's settings; ``None`` when they cannot be used.
        bot: The bot's settings; ``None`` when there are none, or they cannot be used.
        page_ids: The Pages in the bot's own table.
        environment_violations: Variables that cannot be used.
        kochava_violations: What is wrong with the table ``[kochava]``, or that there is none.
        bot_violations: What is wrong with the table ``[bot]``, if there is one.
        store_violations: What keeps the store from being opened, as far as it is seen without opening it.
        misplaced: What certainly belongs into one of both tables, but is elsewhere.
        near_misses: Names of tables and variables that are not read, but were probably meant to be.
        unread: Tables that are not read.
    """

    kochava: KochavaSettings | None
    bot: BotSettings | None
    page_ids: list[str]
    environment_violations: list[Violation]
    kochava_violations: list[Violation]
    bot_violations: list[Violation]
    store_violations: list[Violation]
    misplaced: list[Violation]
    near_misses: list[Violation]
    unread: list[Violation]

    @classmethod
    def of(cls, path: str | None, environment: Mapping[str, str] = os.environ) -> ReadSettings:
        """
        Read file and environment.

        Raises:
            SettingsError: The file cannot be read.
        """
        file = {} if path is None else from_toml(path)
        tables, environment_violations = read_environment(environment, over=file)
        kochava, kochava_violations = _read_table(KochavaSettings, TABLE, tables, place=path)
        bot, bot_violations = None, list[Violation]()
        if BOT_TABLE in tables:
            bot, bot_violations = _read_table(BotSettings, BOT_TABLE, tables, place=path)
        misplaced, near_misses, unread = _other_tables(file, tables)
        wrong_variables = {violation.key for violation in environment_violations}
        near_misses += _near_variables((name for name in environment if name not in wrong_variables), beside=file)
        bot_table = tables.get(BOT_TABLE)
        pages = bot_table.get("pages") if isinstance(bot_table, Mapping) else None
        return cls(
            kochava=kochava,
            bot=bot,
            page_ids=[str(page_id) for page_id in pages] if isinstance(pages, Mapping) else [],
            environment_violations=environment_violations,
            kochava_violations=kochava_violations,
            bot_violations=bot_violations,
            store_violations=_store_violations(tables.get(TABLE)),
            misplaced=misplaced,
            near_misses=near_misses,
            unread=unread,
        )

    @property
    def violations(self) -> list[Violation]:
        """All that keeps bot, middleware or store from starting."""
        of_tables = [*self.kochava_violations, *self.bot_violations, *self.misplaced]
        return [*self.environment_violations, *of_tables, *self.store_violations]


T = TypeVar("T")


def _read_table(
    cls: type[T], name: str, tables: Mapping[str, Any], *, place: str | None
) -> tuple[T | None, list[Violation]]:
    """The settings of one table; ``None`` with what is wrong."""
    wanted = f"a table [{name}]"
    if name not in tables:
        got = f"none in {'the environment; name a file with --settings' if place is None else place}"
        return None, [Violation(key=name, wanted=wanted, got=got)]
    if not isinstance(tables[name], (Mapping, EnvironmentText)):
        return None, [Violation(key=name, wanted=wanted, got=kind_of(tables[name]))]
    try:
        return from_mapping(cls, tables[name], key=name), []
    except SettingsError as exc:
        return None, [_with_variable(violation) for violation in exc.violations]


def _with_variable(violation: Violation) -> Violation:
    """A setting that is missing may be given in the environment, too."""
    if violation.got not in ("nothing", "neither") or "[" in violation.key:
        return violation
    table, *path = violation.key.split(".")
    variable = "__".join([ENVIRONMENT_PREFIX, table.upper(), *(part.upper() for part in path)])
    return attrs.evolve(violation, wanted=f"{violation.wanted}, here or as the variable {variable}")


def _store_violations(table: object) -> list[Violation]:
    given = {name: value for name, value in table.items() if name.lower() == "store"} if _is_mapping(table) else {}
    try:
        # Whatever else is wrong in the table.
        place = from_mapping(KochavaSettings, {"kochava_app_id": "ko", **given}).kept_in
    except SettingsError:
        return []
    store = place.make()
    reason = obstacle(store.path) if isinstance(store, SqliteStore) else None
    if reason is None:
        return []
    return [Violation(key=f"{TABLE}.store", wanted="a store that can be opened", got=f"{place}: {reason}")]


def _is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _other_tables(
    file: Mapping[str, Any], tables: Mapping[str, Any]
) -> tuple[list[Violation], list[Violation], list[Violation]]:
    """What is beside both tables: what certainly belongs into them, what probably is one of them, and the rest."""
    misplaced, near_misses, unread = [], [], []
    missing = [table for table in _CLASSES if table not in tables]
    for name in (name for name in file if name not in _CLASSES):
        held = {str(key).lower() for key in file[name]} if isinstance(file[name], Mapping) else set()
        certain = next((table for key, table in _TELLING.items() if key in held), None)
        if certain is not None:
            misplaced.append(
                Violation(key=name, wanted=f"[{certain}] around these keys", got="a table that is not read")
            )
        elif name in _TELLING:
            misplaced.append(Violation(key=name, wanted=f"this key in [{_TELLING[name]}]", got="it above all tables"))
        elif under := [table for table, cls in _CLASSES.items() if (name,) in setting_paths(cls)]:
            wanted = "probably " + " or ".join(f"[{table}] around it, as {table}.{name}" for table in under)
            near_misses.append(Violation(key=name, wanted=wanted, got="it beside the tables"))
        elif near := difflib.get_close_matches(name.lower(), missing, n=1):
            near_misses.append(Violation(key=name, wanted=f"probably [{near[0]}]", got="an unknown table"))
        else:
            wanted = " or ".join(f"[{table}]" for table in _CLASSES)
            unread.append(Violation(key=name, wanted=f"{wanted}; nothing else is read", got="another table"))
    return misplaced, near_misses, unread


def _near_variables(names: Iterable[str], *, beside: Iterable[str]) -> Iterator[Violation]:
    """Variables that are not read, but whose names are near to one that is; *beside* are tables of your own."""
    known: dict[str, str] = {}
    for table, cls in _CLASSES.items():
        for path in setting_paths(cls):
            variable = "__".join([ENVIRONMENT_PREFIX, table.upper(), *(part.upper() for part in path)])
            # With a part of it left out, too.
            for before in (f"{ENVIRONMENT_PREFIX}{table}", ENVIRONMENT_PREFIX, "kochava", ""):
                known.setdefault(_letters(f"{before}{''.join(path)}"), variable)
    tables = "|".join(map(re.escape, {*_CLASSES, *beside}))
    read = re.compile(f"{ENVIRONMENT_PREFIX}__({tables})(__.*)?", re.IGNORECASE)
    for name in sorted(names):
        letters = _letters(name)
        if letters.startswith("kochava") and not read.fullmatch(name):
            near = difflib.get_close_matches(
                letters, [one for one in known if one.startswith("kochava")], n=1, cutoff=0.85
            )
            if near:
                yield Violation(key=name, wanted=f"probably {known[near[0]]}", got="a variable that is not read")


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
