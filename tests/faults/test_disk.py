"""The disk under SQLite fills up, or stops writing, and recovers."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.nursery import Life
from tests.faults.stage import Stage, stage

DISK_MEGABYTES = 48


@pytest.fixture
async def small_disk(tmp_path: Path) -> AsyncIterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        ).returncode
    ):
        pytest.skip("a disk of its own can be mounted only by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Until not one byte more fits."""
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while ballast.write(bytes(size)):
                    pass
            except OSError:
                continue


async def served(place: Stage) -> None:
    """Wait until no record waits."""
    store = place.open_store()
    try:
        async with asyncio.timeout(15):
            while any(
                stats.waiting + stats.in_flight for name, stats in (await store.stats()).items() if name != "timer"
            ):
                await place.clock.sleep(0.05)
    finally:
        await store.close()


async def test_a_full_disk_refuses_what_is_new_and_serves_what_is_there(
    small_disk: Path, tmp_path: Path, seed: int
) -> None:
    """Webhooks get 503, so Facebook keeps them; what was stored is delivered from the reserve; then all goes on."""
    async with stage(tmp_path, f"sqlite:///{small_disk / 'bot.db'}", seed=seed) as place:
        bot = await place.begin(is_bot=True)
        people = await place.people(8)
        await place.say(people, times=4)
        fill(small_disk)
        over = asyncio.Event()
        writing = asyncio.create_task(place.write(people, until=over, pause=(0.02, 0.1)))
        await place.clock.sleep(1.0)
        answered = len(place.messenger.acknowledged)
        worker = await place.begin(is_worker=True)
        await served(place)
        assert answered == len(place.messenger.acknowledged)
        (small_disk / "ballast").unlink()
        over.set()
        await writing
        await place.drained()
        await place.judge()
        for life in (bot, worker):
            await place.stop(life)


def limit_files(life: Life, size: int) -> None:
    assert life.process_id is not None
    resource.prlimit(life.process_id, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_a_disk_that_does_not_write_loses_nothing(tmp_path: Path, seed: int) -> None:
    """Every write fails for a while, in the bot and in the worker, again and again."""
    async with stage(tmp_path, f"sqlite:///{tmp_path / 'bot.db'}", seed=seed) as place:
        lives = [await place.begin(is_bot=True), await place.begin(is_worker=True)]
        people = await place.people(12)
        over = asyncio.Event()
        writing = asyncio.create_task(place.write(people, until=over, pause=(0.02, 0.2)))
        for _ in range(3):
            await place.clock.sleep(0.5)
            with place.trouble("the disk does not write"):
                for life in lives:
                    limit_files(life, 4096)
                await place.clock.sleep(0.7)
                for life in lives:
                    limit_files(life, resource.RLIM_INFINITY)
        over.set()
        await writing
        await place.drained()
        await place.judge()
        for life in lives:
            await place.stop(life)
