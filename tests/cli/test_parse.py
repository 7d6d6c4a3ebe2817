"""`kochava-bot parse`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .conftest import MESSAGE, Run, write_json


def on_standard_input(arguments: Sequence[str], text: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "kochava_bot_middleware", *arguments]
    return subprocess.run(command, input=text, capture_output=True, timeout=60)


async def test_parse_prints_one_json_line_per_event(run: Run, tmp_path: Path) -> None:
    """What all events have in common comes first, then the event's own fields."""
    ran = await run("parse", write_json(tmp_path / "webhook.json", MESSAGE))

    message, unknown = map(json.loads, ran.out.splitlines())
    common = ["kind", "channel", "page_id", "user_id", "timestamp", "standby", "key"]
    assert 0 == ran.status
    assert common == list(message)[: len(common)]
    assert ("message", "messenger", "1001", "5", False) == tuple(
        message[name] for name in common if name not in ("timestamp", "key")
    )
    assert ("2023-11-14T22:13:20+00:00", "m_1", "grün") == (message["timestamp"], message["mid"], message["text"])
    assert {"tomorrow": 1} == unknown["raw"]["invented"]


async def test_parse_continues_after_a_file_that_is_not_a_webhook(run: Run, tmp_path: Path) -> None:
    """Each bad file is reported, the events of the others are printed, and the status is 1."""
    bad = write_json(tmp_path / "bad.json", {"object": "page"})
    good = write_json(tmp_path / "good.json", MESSAGE)

    ran = await run("parse", bad, tmp_path / "missing.json", good)

    assert (1, 2) == (ran.status, len(ran.out.splitlines()))
    first, second = ran.err.splitlines()
    assert f"{bad}: not a webhook" in first
    assert "missing.json: No such file" in second


def test_parse_reads_standard_input() -> None:
    """Without files the webhook comes from standard input."""
    done = on_standard_input(["parse"], json.dumps(MESSAGE).encode())
    assert (0, 2, b"") == (done.returncode, len(done.stdout.splitlines()), done.stderr)


def test_parse_of_invalid_json_on_standard_input() -> None:
    """A message without a traceback."""
    done = on_standard_input(["parse"], b"\xff{")
    assert (1, b"") == (done.returncode, done.stdout)
    assert done.stderr.startswith(b"kochava-bot parse: standard input: not a webhook")
    assert 1 == len(done.stderr.splitlines())
