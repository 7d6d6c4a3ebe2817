"""The command line itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from kochava_bot_middleware import __version__
from kochava_bot_middleware.cli.main import main
from kochava_bot_middleware.store.records import Unit
from tests.cli.conftest import BUTTONS, MESSAGE, write_json, write_settings
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


@pytest.mark.parametrize("argv", [["parse"], ["rewrite", "--explain"], ["store", "list"], ["trace", "5"]], ids=" ".join)
def test_a_locale_without_letters_is_no_error(folder: Path, tmp_path: Path, argv: list[str]) -> None:
    """Whatever is in the input."""
    files = {"parse": MESSAGE, "rewrite": json.loads(json.dumps(BUTTONS).replace("shop.example/a", "shop.example/ü"))}
    words = [sys.executable, "-m", "kochava_bot_middleware", *argv]
    if argv[0] in files:
        words.append(str(write_json(tmp_path / "input.json", files[argv[0]])))
    if argv[0] != "parse":
        words += ["--settings", str(folder / "bot.toml")]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(words, capture_output=True, env=environment, timeout=60)
    assert (0, b"") == (done.returncode, done.stderr)
    assert done.stdout.isascii()
    assert b"\\u" in done.stdout.lower() or b"\\x" in done.stdout or b"%C3%BC" in done.stdout


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


COMMANDS = [line.split() for line in ("check", "store list", "store export", "store show wait1", "trace 5", "rewrite")]


def in_shell(line: str, *argv: str) -> subprocess.CompletedProcess[bytes]:
    """A command as a shell runs it; ``"$@"`` in *line* is the command."""
    command = [sys.executable, "-m", "kochava_bot_middleware", *argv]
    return subprocess.run(["bash", "-c", line, "bash", *command], capture_output=True, timeout=60)


@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("streams", ["<&-", "<&- >&- 2>&-", "</dev/null >/dev/full"])
def test_streams_that_are_closed_or_full_are_no_traceback(folder: Path, argv: list[str], streams: str) -> None:
    """Status 0 or 1, and at most one line of error."""
    done = in_shell(f'"$@" {streams}', *argv, "--settings", str(folder / "bot.toml"))
    assert done.returncode in (0, 1)
    assert len(done.stderr.splitlines()) <= 1


@pytest.mark.parametrize("argv", COMMANDS[:-1], ids=" ".join)
def test_output_that_is_not_read_is_no_error(crowded: Path, argv: list[str]) -> None:
    """`kochava-bot store list | head -1`."""
    done = in_shell('"$@" | head -1', *argv, "--settings", str(crowded / "bot.toml"))
    assert (0, b"") == (done.returncode, done.stderr)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with more entries than a pipe holds."""
    folder = tmp_path_factory.mktemp("crowded")
    write_settings(folder)

    async def store() -> None:
        async with store_in(folder) as store:
            await store.commit(Unit(appends=[entry_of(purchase(f"wait{number}")) for number in range(2000)]))

    asyncio.run(store())
    return folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere", None, "No such file"),
        (".", None, "Is a directory"),
        ("empty", b"", "kochava: wanted a table [kochava], got none in"),
        ("latin", "[kochava]\nstore = 'ü'".encode("latin-1"), "wanted a TOML file, got 'utf-8' codec"),
        ("json", b'{"kochava": {}}', "wanted a TOML file"),
        ("deep", b"a = " + b"[" * 100_000, "wanted a TOML file"),
    ],
)
@pytest.mark.parametrize("argv", [["check"], ["store", "list"], ["worker"], ["rewrite"]], ids=" ".join)
def test_settings_file_that_is_none_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, argv: list[str], name: str, content: bytes | None, message: str
) -> None:
    """For each command, with status 2."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    status = main([*argv, "--settings", str(path)])
    shown = capsys.readouterr()
    assert (2, "", 1) == (status, shown.out, len(shown.err.splitlines()))
    assert message in shown.err


@pytest.mark.parametrize("command", ["parse", "rewrite"])
@pytest.mark.parametrize("content", [None, b"", b"[1,", b"5", b"\xff", b"[" * 100_000], ids=str)
def test_input_file_that_is_none_is_one_line(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, command: str, content: bytes | None
) -> None:
    """The others are still read, so the status is 1."""
    path = tmp_path / "input.json"
    if content is not None:
        path.write_bytes(content)
    options = ["--settings", str(folder / "bot.toml")] if command == "rewrite" else []
    status = main([command, *options, str(path)])
    shown = capsys.readouterr()
    assert (1, "", 1) == (status, shown.out, len(shown.err.splitlines()))
    assert shown.err.startswith(f"kochava-bot {command}: {path}: ")


@pytest.mark.parametrize(
    "argv",
    [["trace"], ["store", "show"], ["store", "retry"], ["store", "list", "--after"], ["store", "list", "--lane"]],
    ids=" ".join,
)
def test_id_in_another_encoding_is_refused(folder: Path, argv: list[str]) -> None:
    """No store keeps such an id."""
    words = [sys.executable, "-m", "kochava_bot_middleware", *argv, "\udcff", "--settings", str(folder / "bot.toml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (2, "") == (done.returncode, done.stdout)
    assert "wanted text in the system's encoding, got '\\udcff' (str)" in done.stderr


@pytest.mark.parametrize("number", ["0", "-1", "x", "1e9", "1000001", "9" * 30])
def test_list_refuses_a_wrong_limit(capsys: pytest.CaptureFixture[str], number: str) -> None:
    """Also one that no store could count to."""
    with pytest.raises(SystemExit) as ended:
        main(["store", "list", f"--limit={number}"])
    assert 2 == ended.value.code
    assert "--limit: wanted a whole number from 1 to 1000000, got" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["-1", "nan", "inf", "1e300", "36501", "x"])
def test_purge_refuses_a_wrong_age(capsys: pytest.CaptureFixture[str], number: str) -> None:
    """Before anything is removed."""
    with pytest.raises(SystemExit) as ended:
        main(["store", "purge", f"--dead-older-than={number}"])
    assert 2 == ended.value.code
    assert "--dead-older-than: wanted a number from 0 to 36500, got" in capsys.readouterr().err
