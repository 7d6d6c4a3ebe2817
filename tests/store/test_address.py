"""From an address to the right store, or to one error that says what is known."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.store.address import open_store, without_password
from kochava_bot_middleware.store.memory import MemoryStore
from kochava_bot_middleware.store.settings import StoreSettings
from kochava_bot_middleware.store.sqlite.store import SqliteStore


def sqlite_store(url: str, settings: StoreSettings | None = None) -> SqliteStore:
    store = open_store(url, settings=settings)
    assert isinstance(store, SqliteStore)
    return store


def test_memory_address() -> None:
    """The memory store is not durable."""
    store = open_store("memory://")
    assert (True, False) == (isinstance(store, MemoryStore), store.durable)


def test_three_slashes_are_beneath_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is relative to where the program was started, and stays so when it moves on."""
    monkeypatch.chdir(tmp_path)
    store = sqlite_store("sqlite:///data/kochava-bot.db")
    monkeypatch.chdir("/")
    assert tmp_path / "data" / "kochava-bot.db" == store.path


def test_four_slashes_are_absolute() -> None:
    """A percent-encoded path is decoded."""
    assert Path("/var/lib/my bot/store.db") == sqlite_store("sqlite:////var/lib/my%20bot/store.db").path


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///bot.db?synchronous=FULL&synchronous=NORMAL", "synchronous"),
        ("postgresql://db/bots?schema=a&schema=b", "schema"),
        ("postgresql://db/bots?sslmode=require&sslmode=disable", "sslmode"),
        ("redis://db/0?prefix=a&prefix=a", "prefix"),
        ("unix:///run/valkey.sock?durability=fsync&durability=server", "durability"),
    ],
)
def test_option_given_twice_is_refused(url: str, name: str) -> None:
    """Neither of the values goes before the other."""
    with pytest.raises(SettingsError, match=f"wanted each option once, got {name} twice"):
        open_store(url)


@pytest.mark.parametrize("text", ["NORMAL", "normal"])
async def test_synchronous_option_goes_before_settings(tmp_path: Path, text: str) -> None:
    """What the address says is what the connection uses."""
    store = sqlite_store(f"sqlite:///{tmp_path}/store.db?synchronous={text}", StoreSettings(synchronous="EXTRA"))
    level = await store.read(lambda connection, _now: connection.execute("PRAGMA synchronous").fetchone()[0])
    await store.close()
    assert 1 == level


async def test_commits_are_durable_by_default(tmp_path: Path) -> None:
    """Without any option a commit survives a power cut: synchronous is FULL."""
    store = sqlite_store(f"sqlite:///{tmp_path}/store.db")
    level = await store.read(lambda connection, _now: connection.execute("PRAGMA synchronous").fetchone()[0])
    await store.close()
    assert 2 == level


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root:secret@db/bots", r"wanted memory://.*sqlite:///.* got mysql://…"),
        ("kochava-bot.db", "got 14 characters without ://"),
        ("sqlite://", "got sqlite://"),
        ("sqlite://host/file.db", "got sqlite://host/file.db"),
        ("sqlite:///:memory:", "wanted memory://"),
        ("sqlite:///a.db?synchronous=OFF", "one of FULL, EXTRA, NORMAL, got OFF"),
        ("sqlite:///a.db?sync=FULL", "only the option synchronous .*, got the option sync"),
        ("memory://?x=1", "wanted no option"),
        ("sqlite:///a#1.db", "percent-encoded as %23"),
        ("sqlite:///a.db?synchronous=FULL#1", "percent-encoded as %23"),
        ("sqlite:///a?1.db", r"in a path \? is %3F"),
        ("sqlite:///a.db?", "%3F"),
        ("sqlite:///100%.db", "percent-encoded as %25"),
        ("sqlite:///a%ff.db", "percent-encoded as %25"),
        ("sqlite:///a%00.db", "percent-encoded as %25"),
        ("sqlite:///a\tb.db", "no line break or other control character"),
        ("sqlite:///a.db\n", "no line break or other control character"),
        ("sqlite:///folder/", "got sqlite:///folder/"),
    ],
)
def test_wrong_address_says_what_is_known(url: str, message: str) -> None:
    """The error names the key, what would be accepted, and never a password."""
    with pytest.raises(SettingsError, match=message) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


NAMES = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs", "Cc"]), min_size=1)


@given(first=NAMES, second=NAMES)
def test_two_names_are_two_files_or_refused(first: str, second: str) -> None:
    """No character of a path ends it early, so that two bots would share what stands before it."""
    paths = []
    for name in (first, second):
        try:
            paths.append(sqlite_store(f"sqlite:////folder/file-{name}").path)
        except SettingsError:
            return
    assert (first == second) == (paths[0] == paths[1])


@given(name=NAMES)
def test_a_percent_encoded_name_is_any_name(name: str) -> None:
    """What an error asks for is understood."""
    assert Path(f"/folder/file-{name}") == sqlite_store(f"sqlite:////folder/{quote(f'file-{name}')}").path


def test_further_slashes_name_the_same_file() -> None:
    """Two spellings of a path are one store, so a worker hears of what the bot appended."""
    assert Path("/folder/a.db") == sqlite_store("sqlite://///folder//a.db").path


def test_address_of_a_file_is_shown_whole() -> None:
    """An at sign in a path ends no password."""
    assert "sqlite:////var/lib/bot@1/a.db" == without_password("sqlite:////var/lib/bot@1/a.db?synchronous=FULL")
