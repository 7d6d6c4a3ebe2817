"""Forks while the store writes, and processes that open a new file at once."""

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


async def test_processes_that_open_a_new_file_at_once_all_open_it(tmp_path: Path) -> None:
    """SQLite does not wait by itself when several switch to the write-ahead log."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from kochava_bot_middleware.store.settings import StoreSettings\n"
        "from kochava_bot_middleware.store.sqlite.schema import connect\n"
        "sys.stdin.read()\n"
        "for _ in range(20):\n"
        "    connect(Path(sys.argv[1]), StoreSettings()).close()\n"
    )
    command = sys.executable, "-c", program, str(tmp_path / "bot.db")
    pipe = asyncio.subprocess.PIPE
    processes = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stderr=pipe) for _ in range(6)]
    async with asyncio.timeout(60):
        ended = await asyncio.gather(*(process.communicate(b"") for process in processes))
    assert [b""] * 6 == [errors for _, errors in ended]
