"""Several processes on one SQLite file."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from pathlib import Path

import pytest

from kochava_bot_middleware.store.records import EntryState, Outcome, Settlement, Unit
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import append, entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def _fill(path: Path, name: str, count: int) -> None:
    async def fill() -> None:
        store = SqliteStore(path)
        await asyncio.gather(*(append(store, entry(f"{name}{n}", lane=f"{n % 7}")) for n in range(count)))
        await store.close()

    asyncio.run(fill())


def _drain(path: Path, claimed: multiprocessing.Queue[str]) -> None:
    async def drain() -> None:
        store = SqliteStore(path)
        while claims := await store.claim("track", 5, 60.0):
            for claim in claims:
                claimed.put(claim.entry.id)
            await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE) for claim in claims]))
        await store.close()

    asyncio.run(drain())


def test_two_processes_share_the_file(path: Path) -> None:
    """Two processes make the file, fill it and empty it at the same time: each entry is handled exactly once."""
    context = multiprocessing.get_context("spawn")
    fillers = [context.Process(target=_fill, args=(path, name, 200)) for name in "ab"]
    for process in fillers:
        process.start()
    for process in fillers:
        process.join()
    claimed: multiprocessing.Queue[str] = context.Queue()
    drainers = [context.Process(target=_drain, args=(path, claimed)) for _ in range(2)]
    for process in drainers:
        process.start()
    ids = []
    _drain(path, own := context.Queue())
    while any(process.is_alive() for process in drainers) or not claimed.empty() or not own.empty():
        for source in (claimed, own):
            while not source.empty():
                ids.append(source.get())
    for process in drainers:
        process.join()
    for source in (claimed, own):
        source.close()
    assert [0, 0, 0, 0] == [process.exitcode for process in fillers + drainers]
    assert sorted([f"a{n}" for n in range(200)] + [f"b{n}" for n in range(200)]) == sorted(ids)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_opens_its_own(path: Path) -> None:
    """A child commits through its own connection; the parent's goes on working."""
    store = SqliteStore(path)

    async def add(name: str) -> None:
        await append(store, entry(name))

    asyncio.run(add("before"))
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(asyncio.wait_for(add("child"), 10))
            os._exit(0)
        finally:
            os._exit(1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    async def look() -> list[str]:
        await add("after")
        rows = await store.browse("track", state=EntryState.WAITING)
        await store.close()
        return [row.entry.id for row in rows]

    assert ["before", "child", "after"] == asyncio.run(look())
