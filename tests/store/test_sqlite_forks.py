"""A fork while the store writes."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

PROGRAM = """
import asyncio, os, sys, threading, time
from kochava_bot_middleware.store.records import Unit
from kochava_bot_middleware.store.settings import StoreSettings
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import entry

def store():
    return SqliteStore(sys.argv[1], settings=StoreSettings(busy_timeout_seconds=2.0))

async def append(entry_id):
    used = store()
    await used.commit(Unit(appends=[entry(entry_id)]))
    await used.close()

begun = threading.Event()

async def write_slowly(used):
    def query(_connection, _now):
        begun.set()
        time.sleep(0.3)
    await used._change(query)
    await used.commit(Unit(appends=[entry("parent")]))
    await used.close()

writing = threading.Thread(target=lambda: asyncio.run(write_slowly(store())))
writing.start()
begun.wait()
if os.fork() == 0:
    asyncio.run(append("child"))
    os._exit(0)
writing.join()
sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


async def test_a_process_forked_while_the_store_writes_can_write(tmp_path: Path) -> None:
    """It does not inherit the parent's locks, and the parent goes on with its connection."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(tmp_path / "bot.db"), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, errors = await process.communicate()
    assert (0, "") == (process.returncode, errors.decode())
