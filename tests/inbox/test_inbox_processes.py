"""Several real processes on one SQLite file, one of them killed."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from kochava_bot_middleware.store.records import Queue
from kochava_bot_middleware.store.sqlite.store import SqliteStore

ROOT = Path(__file__).parents[2]
Begin = Callable[..., Awaitable[Process]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").touch()
    return tmp_path / "log"


@pytest.fixture
async def begin(tmp_path: Path, log: Path) -> AsyncIterator[Begin]:
    begun: list[Process] = []

    async def begin_process(name: str, *, handler_seconds: float = 0.01, lease_seconds: float = 30) -> Process:
        arguments = [str(tmp_path / "bot.db"), str(log), name, str(handler_seconds), str(lease_seconds)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.inbox.inbox_process", *arguments, stdin=PIPE, stdout=PIPE, cwd=ROOT
        )
        begun.append(process)
        return process

    yield begin_process
    for process in begun:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def deliver(process: Process, user: str, text: str) -> None:
    """Returns once the process has answered."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{user} {text}\n".encode())
    assert b"accepted\n" == await process.stdout.readline()


async def end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


async def handled(log: Path, count: int) -> list[str]:
    """The log's lines once *count* handlers have ended."""
    async with asyncio.timeout(30):
        while True:
            lines = log.read_text().splitlines()
            if sum(line.startswith("-") for line in lines) >= count:
                return lines
            await asyncio.sleep(0.02)


async def test_processes_keep_a_persons_order_and_run_each_event_once(begin: Begin, log: Path, tmp_path: Path) -> None:
    """Webhooks of the same people reach both, redeliveries too."""
    processes = [await begin("a"), await begin("b")]
    texts = [(user, f"{user}{number}") for number in range(10) for user in "uvw"]
    for number, (user, text) in enumerate(texts):
        await deliver(processes[number % 2], user, text)
        if number % 5 == 0:
            await deliver(processes[(number + 1) % 2], user, text)
    lines = await handled(log, len(texts))
    await asyncio.gather(*map(end, processes))

    for user in "uvw":
        expected = [f"{sign}{user}{number}" for number in range(10) for sign in "+-"]
        assert expected == [line.split()[0] for line in lines if line[1] == user]
    assert {"1"} == {line.split()[2] for line in lines}
    store = SqliteStore(tmp_path / "bot.db")
    assert sorted(text for _, text in texts) == sorted(
        listed.entry.body.decode() for listed in await store.browse(Queue.TRACK, limit=1000)
    )
    assert [] == await store.browse(Queue.INBOX)
    await store.close()


async def test_events_of_a_killed_process_are_handled_by_another(begin: Begin, log: Path) -> None:
    """The one it was handling a second time, those behind it the first time, in order."""
    doomed = await begin("doomed", handler_seconds=600, lease_seconds=1)
    for number in range(3):
        await deliver(doomed, "u", f"u{number}")
    async with asyncio.timeout(10):
        while "+u0" not in log.read_text():
            await asyncio.sleep(0.01)
    doomed.kill()
    await doomed.wait()
    heir = await begin("heir", lease_seconds=1)
    lines = await handled(log, 3)
    await end(heir)

    expected = ["+u0 doomed 1", "+u0 heir 2", "-u0 heir 2"]
    assert expected == lines[:3]
    assert ["+u1 heir 1", "-u1 heir 1", "+u2 heir 1", "-u2 heir 1"] == lines[3:]


async def test_slow_process_keeps_its_event_from_others(begin: Begin, log: Path) -> None:
    """Its handler takes twice as long as a lease, but it is alive."""
    slow = await begin("slow", handler_seconds=2.2, lease_seconds=1)
    idle = await begin("idle", lease_seconds=1)
    await deliver(slow, "u", "u0")
    lines = await handled(log, 1)
    await asyncio.gather(end(slow), end(idle))

    assert ["+u0 slow 1", "-u0 slow 1"] == lines
