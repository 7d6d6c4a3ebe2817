"""A Flask application in gunicorn's forked workers, and FastAPI in processes of uvicorn, some of which are killed."""

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
import attrs
import pytest

from kochava_bot_middleware.sandbox.kochava.records import KochavaRecord
from kochava_bot_middleware.testing import LocalKochava
from tests.faults.engines import ENGINES, fresh_address
from tests.integrations.webhooks import body_of, signature_of

ROOT = Path(__file__).parent.parent.parent
WORKERS, THREADS = 4, 8
STEPS = 10
"""Webhooks of each person."""


@attrs.frozen
class Load:
    """How many people write, and after how many answers a worker is killed."""

    people: int
    killed_after: int


GUNICORN = ("gunicorn", "--preload", "-w", str(WORKERS), "--threads", str(THREADS))
UVICORN = ("uvicorn", "--workers", "2", "--log-level", "error")


@asynccontextmanager
async def serving(
    server: tuple[str, ...], store: str, kochava: LocalKochava, runs: Path | None
) -> AsyncIterator[tuple[str, int]]:
    """The address of the application, and the process above its workers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings: dict[str, Any] = {"kochava_app_id": "koapp", "app_secret": "s", "store": store}
    settings |= {"commit_timeout_seconds": 20, "wire": kochava.settings()["wire"]}
    environment = {**os.environ, "PREFORK_SETTINGS": json.dumps(settings)}
    if runs is not None:
        environment["PREFORK_RUNS"] = str(runs)
    where = ("--bind", f"127.0.0.1:{port}") if server is GUNICORN else ("--port", str(port))
    app = "tests.integrations.prefork_app:" + ("app" if server is GUNICORN else "asgi_app")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *server, *where, app,
        cwd=ROOT, env=environment, stderr=asyncio.subprocess.DEVNULL,
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


def workers_of(pid: int) -> list[int]:
    """The processes below it that serve; Python's own for shared resources does not."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in children if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]


async def talk_while_workers_die(url: str, pid: int, load: Load) -> int:
    """Half of the webhooks come twice. Returns how many workers were killed."""
    answered = killed = 0

    async def talk(session: aiohttp.ClientSession, user_id: str) -> None:
        nonlocal answered, killed
        for step in range(STEPS):
            for _ in range(1 + step % 2):
                await deliver(session, url, user_id, step)
                answered += 1
                if answered % load.killed_after == 0 and (workers := workers_of(pid)):
                    os.kill(workers[0], signal.SIGKILL)
                    killed += 1

    async with asyncio.timeout(200), aiohttp.ClientSession() as session:
        await asyncio.gather(*(talk(session, f"u{number}") for number in range(load.people)))
    return killed


async def check_events(kochava: LocalKochava, people: int) -> None:
    """Each step is at Kochava, and each person's in order."""
    # What a killed worker had claimed is taken over by another one.
    await kochava.wait_until(lambda: len(set(map(step_of, kochava.events))) == people * STEPS, within_seconds=60)
    steps: dict[str | None, list[int]] = {}
    for event in kochava.events:
        user_id, step = step_of(event)
        if step not in steps.setdefault(user_id, []):
            steps[user_id].append(step)
    assert {f"u{number}": list(range(STEPS)) for number in range(people)} == steps
    assert {"Step"} == {event.name for event in kochava.events}


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_webhook_that_was_answered_reaches_kochava_in_order(engine: str, tmp_path: Path) -> None:
    """2,000 webhooks of 200 people, half of them twice, while about every second a worker is killed."""
    print(f"gunicorn {version('gunicorn')}, Flask {version('flask')}")
    load = Load(people=200, killed_after=300)
    async with LocalKochava(app_ids=["koapp"]) as kochava:
        store = await fresh_address(engine, tmp_path)
        async with serving(GUNICORN, store, kochava, None) as (url, pid):
            assert await talk_while_workers_die(url, pid, load) >= 8
            await check_events(kochava, load.people)


@pytest.mark.parametrize("server", [GUNICORN, UVICORN], ids=lambda server: str(server[0]))
async def test_a_webhook_that_is_stored_first_runs_the_endpoint_once(server: tuple[str, ...], tmp_path: Path) -> None:
    """But for those that a killed worker was about to finish; none is lost, and each person's order is kept."""
    print(f"gunicorn {version('gunicorn')}, uvicorn {version('uvicorn')}")
    load, runs = Load(people=40, killed_after=100), tmp_path / "runs"
    store = f"sqlite:///{tmp_path}/bot.db"
    async with LocalKochava(app_ids=["koapp"]) as kochava, serving(server, store, kochava, runs) as (url, pid):
        killed = await talk_while_workers_die(url, pid, load)
        await check_events(kochava, load.people)
    assert killed >= 4
    # Of each person, one webhook at most is with the endpoint at a time.
    assert load.people * STEPS <= len(runs.read_bytes()) <= load.people * (STEPS + killed)
