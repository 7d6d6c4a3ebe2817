"""The disk of SQLite is full, or writes fail, and recovers."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.children import Child
from tests.faults.fault_run import FaultRun, fault_run

DISK_MEGABYTES = 48


@pytest.fixture
async def small_disk(tmp_path: Path) -> AsyncIterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)]
    if os.geteuid() and "CI" not in os.environ:
        pytest.skip("only root can mount a disk for the test")
    subprocess.run(mount, check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Write until the disk is full."""
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while ballast.write(bytes(size)):
                    pass
            except OSError:
                continue


async def delivered(run: FaultRun) -> None:
    """Wait until no record waits."""
    store = run.open_store()
    try:
        async with asyncio.timeout(15):
            while any(
                stats.waiting + stats.in_flight for name, stats in (await store.stats()).items() if name != "timer"
            ):
                await run.clock.sleep(0.05)
    finally:
        await store.close()


async def test_a_full_disk_refuses_what_is_new_and_serves_what_is_there(
    small_disk: Path, tmp_path: Path, seed: int
) -> None:
    """Webhooks get 503, so Facebook keeps them; what was stored is delivered; then everything continues."""
    async with fault_run(tmp_path, f"sqlite:///{small_disk / 'bot.db'}", seed=seed) as run:
        bot = await run.start(is_bot=True)
        people = await run.people(8)
        await run.write_times(people, 4)
        fill(small_disk)
        over = asyncio.Event()
        writing = asyncio.create_task(run.write(people, until=over, pause=(0.02, 0.1)))
        await run.clock.sleep(1.0)
        answered = len(run.messenger.acknowledged)
        worker = await run.start(is_worker=True)
        await delivered(run)
        assert answered == len(run.messenger.acknowledged)
        (small_disk / "ballast").unlink()
        over.set()
        await writing
        await run.drained()
        await run.check()
        for child in (bot, worker):
            await run.stop(child)


def limit_files(child: Child, size: int) -> None:
    assert child.process_id is not None
    resource.prlimit(child.process_id, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_failing_writes_lose_nothing(tmp_path: Path, seed: int) -> None:
    """Every write fails for a while, in the bot and in the worker, several times."""
    async with fault_run(tmp_path, f"sqlite:///{tmp_path / 'bot.db'}", seed=seed) as run:
        children = [await run.start(is_bot=True), await run.start(is_worker=True)]
        people = await run.people(12)
        over = asyncio.Event()
        writing = asyncio.create_task(run.write(people, until=over, pause=(0.02, 0.2)))
        for _ in range(3):
            await run.clock.sleep(0.5)
            with run.interruption("writes fail"):
                for child in children:
                    limit_files(child, 4096)
                await run.clock.sleep(0.7)
                for child in children:
                    limit_files(child, resource.RLIM_INFINITY)
        over.set()
        await writing
        await run.drained()
        await run.check()
        for child in children:
            await run.stop(child)
