"""A Flask application in gunicorn's forked workers, some of which are killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp

from kochava_bot_middleware.sandbox.kochava.records import KochavaRecord
from kochava_bot_middleware.testing import LocalKochava
from tests.integrations.webhooks import body_of, signature_of

ROOT = Path(__file__).parent.parent.parent
WORKERS, THREADS = 4, 8
PEOPLE, STEPS = 40, 10
WANTED = PEOPLE * STEPS
KILLED_AFTER = 80
"""Answers between two workers that are killed."""


@asynccontextmanager
async def gunicorn(folder: Path, kochava: LocalKochava) -> AsyncIterator[tuple[str, int]]:
    """The address of the application, and the process above its workers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings: dict[str, Any] = {"kochava_app_id": "koapp", "app_secret": "s", "store": f"sqlite:///{folder}/bot.db"}
    settings |= {"commit_timeout_seconds": 20, "wire": kochava.settings()["wire"]}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gunicorn", "--preload", "-w", str(WORKERS), "--threads", str(THREADS),
        "--bind", f"127.0.0.1:{port}", "tests.integrations.prefork_app:app",
        cwd=ROOT, env={**os.environ, "PREFORK_SETTINGS": json.dumps(settings)}, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}/webhook", process.pid
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 60)


async def deliver(session: aiohttp.ClientSession, url: str, user_id: str, step: int) -> None:
    """As Facebook does: again and again until it is answered 200."""
    body = body_of(user_id, text=str(step), mid=f"m_{user_id}_{step}")
    headers = {"X-Hub-Signature-256": signature_of(body), "Content-Type": "application/json"}
    while True:
        try:
            async with session.post(url, data=body, headers=headers) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)


def step_of(event: KochavaRecord) -> tuple[str | None, int]:
    return event.user_id(), event.event_data["quantity"]


async def test_every_webhook_that_was_answered_reaches_kochava_in_order(tmp_path: Path) -> None:
    """Half of them come twice, and a worker is killed now and then."""
    print(f"gunicorn {version('gunicorn')}, Flask {version('flask')}")
    answered = killed = 0
    async with LocalKochava(app_ids=["koapp"]) as kochava:
        async with gunicorn(tmp_path, kochava) as (url, pid), aiohttp.ClientSession() as session:

            async def talk(user_id: str) -> None:
                nonlocal answered, killed
                for step in range(STEPS):
                    for _ in range(1 + step % 2):
                        await deliver(session, url, user_id, step)
                        answered += 1
                        if answered % KILLED_AFTER == 0:
                            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
                            os.kill(int(children[0]), signal.SIGKILL)
                            killed += 1

            async with asyncio.timeout(200):
                await asyncio.gather(*(talk(f"u{number}") for number in range(PEOPLE)))
            # What a killed worker had claimed is taken over by another one.
            await kochava.wait_until(
                lambda: len(set(map(step_of, kochava.events))) == PEOPLE * STEPS, within_seconds=60
            )
        steps: dict[str | None, list[int]] = {}
        for event in kochava.events:
            user_id, step = step_of(event)
            if step not in steps.setdefault(user_id, []):
                steps[user_id].append(step)
        assert {f"u{number}": list(range(STEPS)) for number in range(PEOPLE)} == steps
        assert {"Step"} == {event.name for event in kochava.events}
    assert killed >= 5
