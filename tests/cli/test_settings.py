"""Where commands get their settings from."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import BUTTONS, Run, write_json, write_settings


@pytest.mark.parametrize("command", [["rewrite"], ["worker"], ["store", "stats"]])
async def test_all_violations_are_printed(run: Run, tmp_path: Path, command: list[str]) -> None:
    """Every violation with its key, status 2, no traceback."""
    settings = write_settings(tmp_path, mode="lively", kochava_app_idd="x", drain_seconds=-1)

    ran = await run(*command, "--settings", settings)

    head, *violations = ran.err.splitlines()
    assert (2, "", "kochava-bot: 3 settings are wrong:") == (ran.status, ran.out, head)
    keys = {line.split(":")[0].strip() for line in violations}
    assert {"kochava.mode", "kochava.kochava_app_idd", "kochava.drain_seconds"} == keys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[kochavva]\n", "kochavva: wanted probably [kochava], got an unknown table"),
        ("kochava = 5\n", "kochava: wanted a table [kochava], got a value of type int"),
        ("[kochava\n", "wanted a TOML file"),
        ("", "kochava: wanted a table [kochava], got none in"),
        ("a = " + "[" * 5000, "wanted a TOML file"),
        (None, "No such file"),
    ],
)
async def test_unusable_settings_file(run: Run, tmp_path: Path, text: str | None, message: str) -> None:
    """The message says what is wrong with it."""
    path = tmp_path / "bot.toml"
    if text is not None:
        path.write_text(text)

    ran = await run("store", "stats", "--settings", path)

    assert 2 == ran.status
    assert message in ran.err


async def test_no_settings_at_all(run: Run) -> None:
    """Neither file nor environment: the option is named."""
    ran = await run("worker")
    assert 2 == ran.status
    assert "--settings" in ran.err


async def test_environment_overrides_the_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value of the file is replaced by that of the environment."""
    monkeypatch.setenv("KOCHAVA_BOT__KOCHAVA__SMARTLINKS__DEFAULT", "https://other.smart.link/x?url={url}")
    path = write_json(tmp_path / "send.json", BUTTONS)
    ran = await run("rewrite", "--settings", write_settings(tmp_path), path)
    assert "https://other.smart.link/x" in ran.out


@pytest.mark.parametrize("command", [("store", "stats"), ("worker",)])
async def test_a_store_given_as_a_table_is_the_commands_store(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """They read the address in the table, and refuse one that only a single process can open."""
    monkeypatch.setenv("KOCHAVA_BOT__KOCHAVA__KOCHAVA_APP_ID", "kobotdemo1234")
    monkeypatch.setenv("KOCHAVA_BOT__KOCHAVA__STORE__ADDRESS", "memory://")
    ran = await run(*command)
    assert (2, True) == (ran.status, "kochava.store: wanted a store that processes can share" in ran.err)


async def test_store_init_creates_the_store_that_a_table_names(run: Run, tmp_path: Path) -> None:
    """And prints its address."""
    path = tmp_path / "bot.toml"
    table = f"[kochava.store]\naddress = 'sqlite:///{tmp_path}/bot.db'\ndedupe_seconds = 60\n"
    path.write_text(f"[kochava]\nkochava_app_id = 'kobotdemo1234'\n{table}")
    ran = await run("store", "init", "--settings", path)
    assert (0, True) == (ran.status, (tmp_path / "bot.db").exists())
    assert f"sqlite:///{tmp_path}/bot.db is ready" in ran.out
