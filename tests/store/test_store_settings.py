"""The two ways to name a store in the settings: its address, or a table with that and more."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware import KochavaMiddleware, KochavaSettings
from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.settings import from_environment, from_mapping, from_toml
from kochava_bot_middleware.store.address import StorePlace
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import ManualClock, append, claim_one, entry, settle

APP = {"kochava_app_id": "kobotdemo1234"}


def place_of(store: object) -> StorePlace:
    return from_mapping(KochavaSettings, {**APP, "store": store}, key="kochava").kept_in


def place_under(file: str, folder: Path, **variables: str) -> StorePlace:
    """From a settings file and the environment together."""
    path = folder / "bot.toml"
    path.write_text(f'[kochava]\nkochava_app_id = "kobotdemo1234"\n{file}')
    environment = {f"KOCHAVA_BOT__KOCHAVA__{name}": text for name, text in variables.items()}
    return from_mapping(KochavaSettings, from_environment(environment, over=from_toml(path))["kochava"]).kept_in


def wrong(store: object) -> dict[str, tuple[str, str]]:
    with pytest.raises(SettingsError) as caught:
        place_of(store)
    return {violation.key: (violation.wanted, violation.got) for violation in caught.value.violations}


def test_an_address_is_a_table_with_nothing_else() -> None:
    """The settings have one form to read."""
    address = "sqlite:///shop.db"
    assert StorePlace(address=address) == place_of(address) == place_of({"address": address})


def test_a_table_may_leave_out_the_address() -> None:
    """The default store with another memory."""
    place = place_of({"dedupe_seconds": 60})
    assert ("sqlite:///kochava-bot.db", 60) == (place.address, place.dedupe_seconds)
    assert "sqlite:///kochava-bot.db" == KochavaSettings(kochava_app_id="ko").kept_in.address


def test_a_table_may_be_given_in_code() -> None:
    """As an object, like every other section."""
    place = StorePlace(address="memory://", dedupe_seconds=60)
    assert place == KochavaSettings(kochava_app_id="ko", store=place).kept_in


def test_all_that_is_wrong_in_the_table_is_reported_at_once() -> None:
    """With the path of each key, what was wanted and what was got."""
    found = wrong({"address": "mysql://user:hunter2@h/db", "dedupe_seconds": "60", "synchronous": "OFF", "adress": "x"})
    assert {
        "kochava.store.address",
        "kochava.store.dedupe_seconds",
        "kochava.store.synchronous",
        "kochava.store.adress",
    } == set(found)
    assert ("a number", "'60' (str)") == found["kochava.store.dedupe_seconds"]
    assert "probably `address`" == found["kochava.store.adress"][0]
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(("store", "got"), [(5, "5 (int)"), (["memory://"], "a list of 1")])
def test_what_is_neither_is_refused(store: object, got: str) -> None:
    """The error names both ways."""
    assert {"kochava.store": ("a text or a mapping", got)} == wrong(store)


def test_a_password_is_not_printed() -> None:
    """Neither by the settings nor by the table."""
    settings = from_mapping(KochavaSettings, {**APP, "store": {"address": "postgresql://bot:hunter2@db.example/bots"}})
    shown = f"{settings!r} {settings.kept_in!r} {settings.kept_in}"
    assert "hunter2" not in shown
    assert "postgresql://…@db.example/bots" in shown


@pytest.mark.parametrize(
    ("file", "variables"),
    [
        ("[kochava.store]\naddress = 'sqlite:///a.db'\ndedupe_seconds = 60", {}),
        ("[kochava.store]\naddress = 'sqlite:///b.db'\ndedupe_seconds = 60", {"STORE__ADDRESS": "sqlite:///a.db"}),
        ("[kochava.store]\naddress = 'sqlite:///a.db'", {"STORE__DEDUPE_SECONDS": "60"}),
        ("", {"STORE__ADDRESS": "sqlite:///a.db", "STORE__DEDUPE_SECONDS": "60"}),
        ("store = 'sqlite:///b.db'", {"STORE": '{address = "sqlite:///a.db", dedupe_seconds = 60}'}),
    ],
)
def test_file_and_environment_make_one_table(tmp_path: Path, file: str, variables: Mapping[str, str]) -> None:
    """Each key is the environment's if it is there, and the file's if not."""
    assert StorePlace(address="sqlite:///a.db", dedupe_seconds=60) == place_under(file, tmp_path, **variables)


@pytest.mark.parametrize("file", ["store = 'sqlite:///b.db'", "[kochava.store]\ndedupe_seconds = 60", ""])
def test_an_address_in_the_environment_replaces_all_that_the_file_says(tmp_path: Path, file: str) -> None:
    """As any value does; ``STORE__ADDRESS`` leaves the rest of a table as it is."""
    assert StorePlace(address="sqlite:///a.db") == place_under(file, tmp_path, STORE="sqlite:///a.db")


async def test_the_middleware_keeps_ids_as_long_as_the_table_says() -> None:
    """Then a repetition is something new."""
    clock = ManualClock()
    table: dict[str, Any] = {"address": "memory://", "dedupe_seconds": 10}
    store = KochavaMiddleware.from_dict({**APP, "store": table}, clock=clock).provide_store()
    assert isinstance(store, MemoryStore)
    await append(store, entry("a"))
    await settle(store, await claim_one(store))
    clock.advance(9)
    known = await append(store, entry("a"))
    clock.advance(2)
    await store.sweep()
    assert ((), ("a",)) == (known.appended, (await append(store, entry("a"))).appended)


async def test_sqlite_is_opened_as_the_table_says(tmp_path: Path) -> None:
    """The level of the connection is the table's."""
    store = place_of({"address": f"sqlite:///{tmp_path / 'bot.db'}", "synchronous": "NORMAL"}).make()
    assert isinstance(store, SqliteStore)
    level = await store.read(lambda connection, _now: connection.execute("PRAGMA synchronous").fetchone()[0])
    await store.close()
    assert 1 == level
