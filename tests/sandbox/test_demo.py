"""The demo: what it prints, and that it fails when the audit finds a fault."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kochava_bot_middleware.cli.local.demo import headless
from kochava_bot_middleware.sandbox.demo import DemoSettings
from kochava_bot_middleware.sandbox.kochava.records import KochavaRecord
from kochava_bot_middleware.sandbox.kochava.server import LocalKochava

SMALL = DemoSettings(people=4, seconds=0.5)
SCENARIO_LINES = 60


class FaultyKochava(LocalKochava):
    """Changes its records when it is up again after the outage."""

    def change(self, events: list[KochavaRecord]) -> None:
        """Change `records`; *events* are those of the user with most events, in order."""

    async def up(self) -> None:
        await super().up()
        if self.records:
            lanes: dict[str | None, list[KochavaRecord]] = {}
            for record in self.events:
                lanes.setdefault(record.user_id(), []).append(record)
            self.change(max(lanes.values(), key=len))


class LosingKochava(FaultyKochava):
    """Loses one event."""

    def change(self, events: list[KochavaRecord]) -> None:
        self.records.remove(events[1])


class DoublingKochava(FaultyKochava):
    """Records one event twice."""

    def change(self, events: list[KochavaRecord]) -> None:
        self.records.append(events[0])


class ShufflingKochava(FaultyKochava):
    """Swaps two events of one user."""

    def change(self, events: list[KochavaRecord]) -> None:
        first, second = (self.records.index(event) for event in events[:2])
        self.records[first], self.records[second] = self.records[second], self.records[first]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The demo as a command, with its own folder for temporary files."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "kochava_bot_middleware", "demo", "--headless", "--people", "6", "--seconds", "1"]
    # The local servers are reached directly, whatever proxy the machine has.
    proxy = dict.fromkeys(["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"], "http://127.0.0.1:9")
    environment = {
        **os.environ,
        **proxy,
        "TMPDIR": str(folder),
        "KOCHAVA_BOT__BOT__VERIFY_TOKEN": "of another bot",
        # Whatever the encoding of the terminal.
        "PYTHONIOENCODING": "ascii",
    }
    return folder, subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_demo_finds_no_fault(output: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """The exit status is 0, and nothing is printed to standard error."""
    _, done = output
    assert (0, "") == (done.returncode, done.stderr)
    assert "0 missing, 0 doubled, 0 out of order" in done.stdout


def test_demo_leaves_nothing_behind(output: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Store, settings and log are removed with the temporary folder."""
    folder, _ = output
    assert [] == list(folder.iterdir())


def test_scenario_is_short(output: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Everything before the traffic fits into sixty lines."""
    _, done = output
    scenario, _, _ = done.stdout.partition("Now 6 users")
    assert 20 < len(scenario.splitlines()) <= SCENARIO_LINES


@pytest.mark.parametrize(
    "text",
    [
        '"url": "https://shop.example/shoes"',
        "https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example%2Fshoes",
        '"event_name": "Purchase"',
        '"currency": "USD", "sum": 100',
        "verdict: delivered",
        "/track/impression?campaign_id=kogreet",
        "/v1/cpi/click?campaign_id=kogreet",
        "landed   https://shop.example/shoes",
    ],
)
def test_scenario_shows_the_main_job(output: tuple[Path, subprocess.CompletedProcess[str]], text: str) -> None:
    """The button before and after, the request, verdict, impression, click and SmartLink."""
    _, done = output
    assert text in done.stdout


def test_outage_makes_records_wait(output: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """While Kochava is down, webhooks are answered and their records are kept."""
    _, done = output
    (line,) = [line for line in done.stdout.splitlines() if line.endswith("records wait.")]
    answered, waiting = int(line.split()[0]), int(line.split()[-3])
    assert answered > 6
    assert waiting > 6


@pytest.mark.parametrize(
    ("kochava", "found"),
    [
        (LosingKochava, "1 missing, 0 doubled, 0 out of order"),
        (DoublingKochava, "0 missing, 1 doubled, 0 out of order"),
        (ShufflingKochava, "0 missing, 0 doubled, 1 out of order"),
    ],
)
async def test_demo_fails_when_the_audit_finds_a_fault(
    capsys: pytest.CaptureFixture[str], kochava: Callable[..., LocalKochava], found: str
) -> None:
    """One record that is missing, doubled or out of order is reported, and the exit status is 1."""
    status = await asyncio.to_thread(headless, SMALL, new_kochava=kochava)

    assert 1 == status
    assert found in capsys.readouterr().out
