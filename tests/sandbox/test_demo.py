"""The demo: what it prints, and that it fails when the books do not balance."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kochava_bot_middleware.cli.demo import headless
from kochava_bot_middleware.sandbox.demo import DemoSettings
from kochava_bot_middleware.sandbox.kochava_records import KochavaRecord
from kochava_bot_middleware.sandbox.kochava_server import LocalKochava

SMALL = DemoSettings(people=4, seconds=0.5)
STORY_LINES = 60


class SpoiltKochava(LocalKochava):
    """Spoils its records when it comes back after the outage."""

    def spoil(self, events: list[KochavaRecord]) -> None:
        """Change `records`; *events* are those of the busiest person, in order."""

    async def up(self) -> None:
        await super().up()
        if self.records:
            lanes: dict[str | None, list[KochavaRecord]] = {}
            for record in self.events:
                lanes.setdefault(record.user_id(), []).append(record)
            self.spoil(max(lanes.values(), key=len))


class LosingKochava(SpoiltKochava):
    """Loses one event."""

    def spoil(self, events: list[KochavaRecord]) -> None:
        self.records.remove(events[1])


class DoublingKochava(SpoiltKochava):
    """Has one event twice."""

    def spoil(self, events: list[KochavaRecord]) -> None:
        self.records.append(events[0])


class ShufflingKochava(SpoiltKochava):
    """Has two events of one person the other way round."""

    def spoil(self, events: list[KochavaRecord]) -> None:
        first, second = (self.records.index(event) for event in events[:2])
        self.records[first], self.records[second] = self.records[second], self.records[first]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The demo as a person runs it, with a folder of its own for temporary files."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "kochava_bot_middleware", "demo", "--headless", "--people", "6", "--seconds", "1"]
    environment = {**os.environ, "TMPDIR": str(folder), "KOCHAVA_BOT__BOT__VERIFY_TOKEN": "of another bot"}
    return folder, subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_demo_ends_well(output: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """A good run says so and exits 0, without a word on standard error."""
    _, done = output
    assert (0, "") == (done.returncode, done.stderr)
    assert "0 missing, 0 doubled, 0 out of order" in done.stdout


def test_demo_leaves_nothing_behind(output: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Store, settings and log are gone with the temporary folder."""
    folder, _ = output
    assert [] == list(folder.iterdir())


def test_story_is_short(output: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """Everything before the crowd fits into sixty lines."""
    _, done = output
    story, _, _ = done.stdout.partition("Now 6 people")
    assert 20 < len(story.splitlines()) <= STORY_LINES


@pytest.mark.parametrize(
    "told",
    [
        '"url": "https://shop.example/shoes"',
        "https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example%2Fshoes",
        '"event_name": "Purchase"',
        '"currency": "USD", "sum": 100',
        "verdict: delivered",
        "/track/impression?campaign_id=kogreet",
        "/v1/cpi/click?campaign_id=kogreet",
        "landed  https://shop.example/shoes",
    ],
)
def test_story_shows_the_main_job(output: tuple[Path, subprocess.CompletedProcess[str]], told: str) -> None:
    """Button before and after, wire, verdict, impression, click and SmartLink are all seen."""
    _, done = output
    assert told in done.stdout


def test_outage_makes_records_wait(output: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    """While Kochava is down, webhooks are answered and records pile up."""
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
async def test_demo_fails_when_the_books_do_not_balance(
    capsys: pytest.CaptureFixture[str], kochava: Callable[..., LocalKochava], found: str
) -> None:
    """One record lost, doubled or out of order is found, named, and the exit status says so."""
    status = await asyncio.to_thread(headless, SMALL, new_kochava=kochava)

    assert 1 == status
    assert found in capsys.readouterr().out
