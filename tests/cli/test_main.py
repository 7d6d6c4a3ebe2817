"""The command line itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from kochava_bot_middleware import __version__
from kochava_bot_middleware.cli.main import main
from kochava_bot_middleware.store.records import Unit
from tests.cli.conftest import write_settings
from tests.cli.stored import entry_of, purchase, store_in

EVENT = "Käufe 🛒"


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is that of the package."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (0, f"kochava-bot {__version__}\n") == (ended.value.code, capsys.readouterr().out)


@pytest.mark.parametrize("argv", [[], ["fly"], ["store"], ["store", "fly"], ["trace"], ["parse", "--fast"]])
def test_unknown_arguments_show_the_usage(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    """With status 2."""
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert 2 == ended.value.code
    assert capsys.readouterr().err.startswith("usage: kochava-bot")


def test_closed_output_is_not_a_traceback() -> None:
    """`kochava-bot parse … | head` ends without a traceback."""
    webhook = b'{"object": "page", "entry": [{"messaging": [' + b", ".join([b'{"x": 1}'] * 2000) + b"]}]}"
    command = [sys.executable, "-m", "kochava_bot_middleware", "parse"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(webhook)
        process.stdin.close()
        assert (b"", 1) == (process.stderr.read(), process.wait(timeout=60))


@pytest.mark.parametrize(
    "argv",
    [["check"], ["send-test"], ["trace", "5"], ["worker"], ["store", "stats"], ["store", "list"], ["store", "init"]],
)
def test_missing_settings_file_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, argv: list[str]) -> None:
    """The error names the file."""
    path = tmp_path / "nowhere.toml"
    status = main([*argv, "--settings", str(path)])
    shown = capsys.readouterr()
    assert (2, "", 1) == (status, shown.out, len(shown.err.splitlines()))
    assert str(path) in shown.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize(
    "argv", [["store", "list"], ["store", "show", "wait1"], ["store", "export"], ["trace", "5"], ["check"]]
)
def test_characters_that_the_output_cannot_hold_are_escaped(folder: Path, encoding: str, argv: list[str]) -> None:
    """Whatever the encoding of the terminal or pipe."""
    command = [sys.executable, "-m", "kochava_bot_middleware", *argv, "--settings", str(folder / "bot.toml")]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60)
    assert (0, b"") == (done.returncode, done.stderr)
    assert argv == ["check"] or EVENT in done.stdout.decode(encoding) or "\\u" in done.stdout.decode(encoding).lower()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with settings and a store, whose one event and user have names beyond Latin letters."""
    folder = tmp_path_factory.mktemp("names")
    write_settings(folder)

    async def store() -> None:
        async with store_in(folder) as store:
            event = attrs.evolve(purchase("wait1"), event_name=EVENT)
            await store.commit(Unit(appends=[entry_of(event)]))

    asyncio.run(store())
    return folder
