"""`kochava-bot check` reports all that keeps a bot from starting, together."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.cli.conftest import APP_ID, Run, write_settings

GOOD_BOT = '[bot]\nverify_token = "v"\napp_secret = "s"\npage_access_token = "t"\n'

ALL_WRONG = """
kochava_app_id = "x"
[kochava]
kochava_app_id = "My Shop"
store = "sqlite:///missing/bot.db"
mode = "lively"
[kochava.greeting]
impression_url = "https://control.kochava.com/v1/cpi/click?campaign_id=ko1"
click_url = "https://imp.control.kochava.com/track/impression?campaign_id=ko1"
[bot]
verify_token = " v "
[smartlinks]
default = "https://acme.smart.link/x?url={url}"
[boot]
page_access_token = "hidden"
"""


def keys_in(text: str) -> list[str]:
    """The keys of the violations, in order."""
    return [
        line.split(": wanted ")[0].removeprefix("kochava-bot: ").strip()
        for line in text.splitlines()
        if ": wanted " in line
    ]


async def test_all_violations_come_together(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both tables, the store, the environment, and names that are not read; no secret is shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KOCHAVA_APPID", "x")
    monkeypatch.setenv("KOCHAVA__STORE", "x")
    (tmp_path / "bot.toml").write_text(ALL_WRONG)

    ran = await run("check", "bot.toml")

    assert (2, "") == (ran.status, ran.out)
    assert [
        "KOCHAVA__STORE",
        "kochava.kochava_app_id",
        "kochava.greeting.impression_url",
        "kochava.greeting.click_url",
        "kochava.mode",
        "bot.verify_token",
        "bot.page_access_token",
        "bot.app_secret",
        "kochava_app_id",
        "boot",
        "kochava.store",
        "smartlinks",
        "KOCHAVA_APPID",
    ] == keys_in(ran.err)
    assert "hidden" not in ran.err


@pytest.mark.parametrize(
    ("tables", "error"),
    [
        (
            '[bot]\nverify_token = "v"\napp_secret = "s"\npage_acces_token = "t"\n',
            "bot.page_acces_token: wanted probably",
        ),
        (
            '[bot]\nverify_token = "v"\npage_access_token = "t"\n',
            "bot.app_secret: wanted an `app_secret`, at the top or in each of `pages`, here or as",
        ),
        ("[bot]\n", "bot.verify_token: wanted a value (it is required), here or as the variable"),
        ('[bot]\nverify_token = "v"\napp_secret = "s"\n', "bot.page_access_token: wanted either"),
        (GOOD_BOT.replace('"s"', '"s\\n"'), "bot.app_secret: wanted a token without white space, got a secret"),
        (GOOD_BOT.replace('"v"', '" "'), "bot.verify_token: wanted a text of yours"),
        (
            '[bot]\nverify_token = "v"\napp_secret = "s"\n[bot.pages.shop]\npage_access_token = "t"\n',
            "bot.pages.shop: wanted the id of a Page",
        ),
        ("[[bot]]\n", "bot: wanted a table [bot], got a list"),
        ('[bto]\nverify_token = "v"\n', "bto: wanted [bot] around these keys, got a table that is not read"),
    ],
)
async def test_bot_that_cannot_start_is_an_error(run: Run, tmp_path: Path, tables: str, error: str) -> None:
    """What can be shown of the middleware's settings is shown as well."""
    settings = write_settings(tmp_path)
    settings.write_text(settings.read_text() + tables)
    ran = await run("check", settings)
    assert 2 == ran.status
    assert error in ran.err
    assert "POST https://control.kochava.com/track/json" in ran.out


async def test_bot_is_checked_with_the_secrets_of_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the bot has them."""
    for name in ("VERIFY_TOKEN", "APP_SECRET", "PAGE_ACCESS_TOKEN"):
        monkeypatch.setenv(f"KOCHAVA_BOT__BOT__{name}", name)
    settings = write_settings(tmp_path)
    settings.write_text(settings.read_text() + "[bot]\n")
    ran = await run("check", settings)
    assert (0, "") == (ran.status, ran.err)


async def test_tables_of_your_own_are_a_warning(run: Run, tmp_path: Path) -> None:
    """The file may be shared with other programs."""
    settings = write_settings(tmp_path)
    settings.write_text(settings.read_text() + GOOD_BOT + "[shop]\nopen = true\n")
    ran = await run("check", settings)
    assert (0, "") == (ran.status, ran.err)
    assert "warning: shop: wanted [kochava] or [bot]; nothing else is read, got another table" in ran.out
    assert "warning: bot" not in ran.out


@pytest.mark.parametrize(
    ("table", "warning"),
    [
        ("[boot]\nopen = true\n", "boot: wanted probably [bot]"),
        ("[smartlinks]\ntext_links = true\n", "smartlinks: wanted probably [kochava] around it, as kochava.smartlinks"),
        ("[inbox]\nconcurrency = 5\n", "inbox: wanted probably [bot] around it, as bot.inbox"),
    ],
)
async def test_tables_that_were_probably_meant_to_be_read_are_a_warning(
    run: Run, tmp_path: Path, table: str, warning: str
) -> None:
    """For other commands on standard error, since their output may be read by programs."""
    settings = write_settings(tmp_path)
    settings.write_text(settings.read_text() + table)
    checked, listed = await run("check", settings), await run("store", "init", "--settings", settings)
    assert (0, 0) == (checked.status, listed.status)
    assert f"warning: {warning}" in checked.out
    assert f"kochava-bot: warning: {warning}" in listed.err


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("KOCHAVA_APPID", "KOCHAVA_BOT__KOCHAVA__KOCHAVA_APP_ID"),
        ("KOCHAVA_APP_ID", "KOCHAVA_BOT__KOCHAVA__KOCHAVA_APP_ID"),
        ("KOCHAVA_APP_GUID", "KOCHAVA_BOT__KOCHAVA__KOCHAVA_APP_ID"),
        ("kochava_store", "KOCHAVA_BOT__KOCHAVA__STORE"),
        ("KOCHAVA_BOT_KOCHAVA_STORE", "KOCHAVA_BOT__KOCHAVA__STORE"),
        ("KOCHAVA_BOT_STORE", "KOCHAVA_BOT__KOCHAVA__STORE"),
        ("KOCHAVA_BOT__KOCHVA__STORE", "KOCHAVA_BOT__KOCHAVA__STORE"),
        ("KOCHAVA_BOT__BOOT__APP_SECRET", "KOCHAVA_BOT__BOT__APP_SECRET"),
        ("KOCHAVA_BOT_VERIFY_TOKEN", "KOCHAVA_BOT__BOT__VERIFY_TOKEN"),
        ("KOCHAVA_SMARTLINKS_DEFAULT", "KOCHAVA_BOT__KOCHAVA__SMARTLINKS__DEFAULT"),
    ],
)
async def test_variable_that_is_nearly_one_of_ours_is_a_warning(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    """With the name that is read. It may be another program's, so it is no error."""
    monkeypatch.setenv(variable, "x")
    ran = await run("check", write_settings(tmp_path))
    assert 0 == ran.status
    assert f"warning: {variable}: wanted probably {meant}, got a variable that is not read" in ran.out


@pytest.mark.parametrize(
    "variable", ["KOCHAVA_CONSOLE_USER", "KOCHAVA_BOT__SHOP__STORE", "KOCHAVA_BOT__BOT__PAGES__7__X"]
)
async def test_other_variables_are_left_alone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Those of other programs, of your own tables, and of Pages."""
    monkeypatch.setenv(variable, '{page_access_token = "t"}')
    settings = write_settings(tmp_path)
    settings.write_text(settings.read_text() + "[shop]\nopen = true\n")
    ran = await run("check", settings)
    assert variable not in ran.out + ran.err


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        ("missing/bot.db", "there is no folder {folder}/missing; make it first"),
        ("bot.toml/bot.db", "{folder}/bot.toml is no folder"),
        ("sub", "{folder}/sub is a folder; name a file in it"),
        ("bot.toml", "{folder}/bot.toml is not an SQLite database; name another file"),
    ],
)
async def test_store_that_cannot_be_opened_is_an_error(run: Run, tmp_path: Path, store: str, reason: str) -> None:
    """Whatever else is wrong; and nothing is made."""
    settings = write_settings(tmp_path, store=f"sqlite:///{tmp_path}/{store}", drain_seconds=-1)
    (tmp_path / "sub").mkdir()
    ran = await run("check", settings)
    assert (2, "", {"bot.toml", "sub"}) == (ran.status, ran.out, {path.name for path in tmp_path.rglob("*")})
    assert ["kochava.drain_seconds", "kochava.store"] == keys_in(ran.err)
    assert reason.format(folder=tmp_path) in ran.err


AS_NOBODY = """
import os, sys
from pathlib import Path
from kochava_bot_middleware.store.sqlite.place import obstacle
if os.geteuid() == 0:
    os.setuid(65534)
print(obstacle(Path(sys.argv[1])))
"""


@pytest.mark.parametrize(
    ("place", "mode", "reason"),
    [
        ("folder", 0o555, "this user may not write to the folder {folder}/folder"),
        ("folder/bot.db", 0o444, "this user may not read and write {folder}/folder/bot.db"),
        ("folder", 0o777, "None"),
    ],
)
def test_store_that_this_user_may_not_write_is_noticed(place: str, mode: int, reason: str) -> None:
    """Not by root, who may do everything, so another user looks."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "folder").mkdir()
        store = Path(folder) / "folder" / "bot.db"
        store.touch()
        store.parent.chmod(0o777)
        store.chmod(0o666)
        (Path(folder) / place).chmod(mode)
        done = subprocess.run([sys.executable, "-c", AS_NOBODY, store], capture_output=True, text=True, timeout=60)
    assert reason.format(folder=folder) == done.stdout.strip(), done.stderr


async def test_page_that_the_bot_does_not_have_is_a_warning(run: Run, tmp_path: Path) -> None:
    """Its settings would never apply."""
    settings = write_settings(tmp_path, **{"pages.1001.kochava_app_id": APP_ID, "pages.shop.kochava_app_id": APP_ID})
    settings.write_text(
        settings.read_text()
        + '[bot]\nverify_token = "v"\napp_secret = "s"\n[bot.pages.1002]\npage_access_token = "t"\n'
    )
    ran = await run("check", settings)
    assert 0 == ran.status
    assert "warning: pages.1001: the bot has no such Page; under bot.pages are 1002" in ran.out
    assert "warning: pages.shop: is not the id of a Page" in ran.out


async def test_placeholders_of_the_documentation_are_a_warning(run: Run, tmp_path: Path) -> None:
    """They have the right form, but a bot gets nowhere with them."""
    settings = write_settings(tmp_path, kochava_app_id="ko...")
    bot = '[bot]\nverify_token = "v"\napp_secret = "..."\n[bot.pages.1002]\npage_access_token = "..."\n'
    settings.write_text(settings.read_text() + bot)
    ran = await run("check", settings)
    found = [line.split(": ")[1] for line in ran.out.splitlines() if "placeholder" in line]
    assert (0, ["kochava.kochava_app_id", "bot.app_secret", "bot.pages.1002.page_access_token"]) == (ran.status, found)
