"""From an address to the right store, or to one error that says what is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from kochava_bot_middleware.exceptions import SettingsError
from kochava_bot_middleware.store.address import open_store
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
        ("sqlite:///a.db?sync=FULL", "only the option synchronous, got the option sync"),
        ("memory://?x=1", "wanted no option"),
    ],
)
def test_wrong_address_says_what_is_known(url: str, message: str) -> None:
    """The error names the key, what would be accepted, and never a password."""
    with pytest.raises(SettingsError, match=message) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)
