"""`SyncKochava` in programs of threads, forks and a few lines, on every durable store."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.store.records import Queue
from kochava_bot_middleware.testing import LocalKochava
from tests.faults.engines import ENGINES, fresh_address
from tests.sync_process import CALLS, FORKS, THREADS

ROOT = Path(__file__).parent.parent


@pytest.fixture
async def kochava() -> AsyncIterator[LocalKochava]:
    """Kochava."""
    async with LocalKochava(app_ids=["koapp"]) as server:
        yield server


async def run(scenario: str, store: str, kochava: LocalKochava, **settings: Any) -> tuple[int, str, int]:
    """How many calls of a program returned, what it wrote to its log, and its exit status."""
    given = {"kochava_app_id": "koapp", "store": store, "commit_timeout_seconds": 20, **kochava.settings(), **settings}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error::ResourceWarning", "-m", "tests.sync_process", scenario, json.dumps(given),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(120):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return sum(map(int, output.split())), errors.decode(), process.returncode or 0


async def accepted(store: str) -> int:
    """How many records a store has ever taken."""
    opened = open_store(store)
    try:
        return (await opened.stats())[Queue.TRACK].accepted
    finally:
        await opened.close()


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_call_of_a_thread_that_returned_is_delivered(
    engine: str, tmp_path: Path, kochava: LocalKochava
) -> None:
    """The process delivers what it has recorded before it ends."""
    store = await fresh_address(engine, tmp_path)
    assert (THREADS * CALLS, "", 0) == await run("threads", store, kochava)
    assert THREADS * CALLS == len(kochava.events)


@pytest.mark.parametrize("engine", ENGINES)
async def test_every_call_of_a_forked_process_that_returned_is_delivered(
    engine: str, tmp_path: Path, kochava: LocalKochava
) -> None:
    """A forked process begins afresh: it uses no thread, socket or file of its parent."""
    store = await fresh_address(engine, tmp_path)
    expected = 1 + (FORKS + 2) * THREADS * CALLS
    assert (expected, "", 0) == await run("forks", store, kochava)
    assert expected == await accepted(store)
    await kochava.received(expected, within_seconds=20)
    assert expected == len(kochava.events)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_process_that_is_forked_while_others_write_can_write(
    engine: str, tmp_path: Path, kochava: LocalKochava
) -> None:
    """It inherits neither locks of the parent nor half of what it was sending."""
    store = await fresh_address(engine, tmp_path)
    expected = THREADS * CALLS + 2 * FORKS
    assert (expected, "", 0) == await run("busy_forks", store, kochava, worker="separate")
    assert expected == await accepted(store)


async def test_callables_of_the_settings_are_called_in_a_forked_process(tmp_path: Path, kochava: LocalKochava) -> None:
    """The threads that call them are the parent's; the child has its own."""
    store = f"sqlite:///{tmp_path / 'bot.db'}"
    expected = 2 * THREADS * CALLS
    assert (expected, "", 0) == await run("hooks", store, kochava)
    assert expected == await accepted(store)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_program_that_tracks_once_has_delivered_when_it_ends(
    engine: str, tmp_path: Path, kochava: LocalKochava
) -> None:
    """Without a call to wait or to stop."""
    store = await fresh_address(engine, tmp_path)
    assert (1, "", 0) == await run("once", store, kochava)
    assert ["Renewal"] == [event.name for event in kochava.events]


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("thread_pool", CALLS),
        ("thread", 1 + CALLS),
        pytest.param(
            "thread_alone",
            CALLS,
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="no thread can be started"),
        ),
        ("child_thread", 1 + CALLS),
        ("exit_function", 2),
        ("temporary_store", 1),
        ("exits", 1),
    ],
)
async def test_what_is_recorded_while_a_program_ends_is_delivered(
    scenario: str, expected: int, tmp_path: Path, kochava: LocalKochava
) -> None:
    """Threads that the interpreter waits for may record until they end. Host names can still be looked up."""
    store = f"sqlite:///{tmp_path / 'bot.db'}"
    named = json.loads(json.dumps(kochava.settings()).replace("127.0.0.1", "localhost"))
    assert (expected, "", 0) == await run(scenario, store, kochava, **named)
    assert expected == len(kochava.events)


async def test_a_program_that_ends_with_an_error_has_delivered(tmp_path: Path, kochava: LocalKochava) -> None:
    """Its error is the only thing it says."""
    returned, errors, status = await run("raises", f"sqlite:///{tmp_path / 'bot.db'}", kochava)
    assert (1, 1, True) == (returned, status, errors.endswith("ZeroDivisionError\n"))
    assert 1 == len(kochava.events)


@pytest.mark.parametrize(("scenario", "expected"), [("thread_pool", CALLS), ("thread", 1 + CALLS)])
async def test_what_is_recorded_while_a_program_ends_and_cannot_be_delivered_is_reported(
    scenario: str, expected: int, tmp_path: Path, kochava: LocalKochava
) -> None:
    """After `drain_seconds`."""
    store = f"sqlite:///{tmp_path / 'bot.db'}"
    nowhere = {"wire": {"event_url": "http://127.0.0.1:9/track/json"}}
    returned, errors, status = await run(scenario, store, kochava, drain_seconds=0.5, **nowhere)
    assert (expected, 0, expected) == (returned, status, await accepted(store))
    assert f"{expected} records wait for Kochava in {store}" in errors


async def test_a_program_that_cannot_deliver_says_what_waits_and_the_next_run_delivers_both(
    tmp_path: Path, kochava: LocalKochava
) -> None:
    """It ends after `drain_seconds`, with status 0: its event is durable."""
    store = f"sqlite:///{tmp_path / 'bot.db'}"
    nowhere = {"wire": {"event_url": "http://127.0.0.1:9/track/json"}}
    returned, errors, status = await run("once", store, kochava, drain_seconds=0.5, **nowhere)
    assert (1, 0) == (returned, status)
    assert f"1 record waits for Kochava in {store}; the next process that is started with this store delivers" in errors
    await run("once", store, kochava)
    assert ["Renewal", "Renewal"] == [event.name for event in kochava.events]


async def test_a_program_with_a_separate_worker_does_not_wait_at_its_end(tmp_path: Path, kochava: LocalKochava) -> None:
    """The record is in the store for the worker."""
    store = f"sqlite:///{tmp_path / 'bot.db'}"
    assert (1, "", 0) == await run("once", store, kochava, worker="separate", drain_seconds=60)
    assert (1, []) == (await accepted(store), list(kochava.events))


async def test_track_after_stop_ends_a_program_with_an_error(tmp_path: Path, kochava: LocalKochava) -> None:
    """It says that the event is not recorded, and what to call."""
    store = f"sqlite:///{tmp_path / 'bot.db'}"
    returned, errors, status = await run("after_stop", store, kochava)
    assert (0, 1, 1) == (returned, status, await accepted(store))
    assert "StoreUnavailable: `track` after `stop`, which closed the store: it is not recorded" in errors
