"""However the demo ends, its folder and the bot's process are gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kochava_bot_middleware.cli.local.demo import headless, in_browser
from kochava_bot_middleware.sandbox.demo import DemoSettings
from kochava_bot_middleware.sandbox.kochava.server import LocalKochava

BOT_RUNS = "   the bot "
"""The beginning of the line that the demo prints once the bot runs."""


@contextmanager
def demo_in(folder: Path, *, ignored: signal.Signals | None = None) -> Iterator[subprocess.Popen[str]]:
    """The demo, with its bot running."""

    def set_signals() -> None:
        # Not as the tests were started, perhaps by `nohup`.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        if ignored is not None:
            signal.signal(ignored, signal.SIG_IGN)

    command = [sys.executable, "-m", "kochava_bot_middleware", "demo", "--headless", "--people=2", "--seconds=1"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
        preexec_fn=set_signals,
    ) as process:
        assert process.stdout is not None
        try:
            while not process.stdout.readline().startswith(BOT_RUNS):
                assert process.poll() is None
            assert processes_in(folder)
            yield process
        finally:
            process.kill()


def processes_in(folder: Path) -> list[str]:
    """The processes whose arguments name *folder*."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(folder) in arguments:
            found.append(path.parent.name)
    return found


def ended(process: subprocess.Popen[str], folder: Path) -> tuple[int, str, list[Path], list[str]]:
    """Exit status, what it printed as an error, files and processes that are left."""
    assert process.stderr is not None
    errors = process.stderr.read()
    return process.wait(timeout=60), errors, list(folder.iterdir()), processes_in(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
@pytest.mark.parametrize("to_all", [False, True], ids=["demo", "group"])
def test_demo_that_is_ended_by_a_signal_leaves_nothing(tmp_path: Path, number: signal.Signals, to_all: bool) -> None:
    """Whether it alone gets the signal, or the bot as well, as from a terminal."""
    with demo_in(tmp_path) as process:
        (os.killpg if to_all else os.kill)(process.pid, number)
        # A second one does not disturb it.
        os.kill(process.pid, number)
        assert (128 + number, "", [], []) == ended(process, tmp_path)


def test_demo_heeds_no_signal_that_it_was_started_to_ignore(tmp_path: Path) -> None:
    """Such as by `nohup`."""
    with demo_in(tmp_path, ignored=signal.SIGHUP) as process:
        os.kill(process.pid, signal.SIGHUP)
        output, errors = process.communicate(timeout=60)
    assert (0, "", []) == (process.returncode, errors, list(tmp_path.iterdir()))
    assert "0 missing" in output


def test_demo_whose_reader_is_gone_leaves_nothing(tmp_path: Path) -> None:
    """`kochava-bot demo --headless | head`."""
    with demo_in(tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert (1, "", [], []) == ended(process, tmp_path)


def test_demo_with_a_page_opens_its_address_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page answers when the browser is opened."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pages: list[str] = []

    def open_page(url: str) -> None:
        with urllib.request.urlopen(url) as answer:
            pages.append(answer.read().decode())
        assert url in capsys.readouterr().out
        os.kill(os.getpid(), signal.SIGTERM)

    assert 128 + signal.SIGTERM == in_browser(0, open_page=open_page)
    assert "/assets/main.js" in pages[0]
    assert ([], []) == (list(tmp_path.iterdir()), processes_in(tmp_path))


class FailingKochava(LocalKochava):
    """Does not come back after the outage."""

    async def down(self) -> None:
        msg = "as written"
        raise ArithmeticError(msg)


def test_demo_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the error is."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ArithmeticError, match="as written"):
        headless(DemoSettings(people=2, seconds=0.1), new_kochava=FailingKochava)
    assert ([], []) == (list(tmp_path.iterdir()), processes_in(tmp_path))


@pytest.mark.parametrize("wrong", [{"people": 0}, {"people": -1}, {"seconds": 0.0}, {"kills": -1}])
def test_demo_of_nobody_is_refused(wrong: dict[str, float]) -> None:
    """Users who do nothing would let the demo wait for ever."""
    with pytest.raises(ValueError, match="wanted a number"):
        DemoSettings(**wrong)  # type: ignore[arg-type]
