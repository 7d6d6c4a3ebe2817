"""
A bot process without its web server: reads webhook lines from standard input, writes what it handles to a file.

Run as ``python inbox_process.py STORE LOG NAME HANDLER_SECONDS LEASE_SECONDS``. A line is ``user text``; each is
answered with ``accepted``. The end of the input stops it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from kochava_bot_middleware.handling import Handling
from kochava_bot_middleware.inbox.inbox import Inbox
from kochava_bot_middleware.inbox.settings import InboxSettings
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.inbox.inbox_fakes import Note, message


async def main(path: str, log_path: str, name: str, handler_seconds: float, lease_seconds: float) -> None:
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def dispatch(handling: Handling) -> None:
        event: Any = handling.event
        handling.contributors[log] = Note(event.text, event.user_id)
        os.write(log, f"+{event.text} {name} {event.attempt}\n".encode())
        await asyncio.sleep(handler_seconds)
        os.write(log, f"-{event.text} {name} {event.attempt}\n".encode())

    store = SqliteStore(path)
    settings = InboxSettings(lease_seconds=lease_seconds, poll_seconds=0.05, commit_timeout_seconds=10)
    inbox = Inbox(store=store, dispatch=dispatch, settings=settings)
    await inbox.start()
    while line := await asyncio.to_thread(sys.stdin.readline):
        user, text = line.split()
        await inbox.accept([message(text, user)])
        print("accepted", flush=True)
    await inbox.stop()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]), float(sys.argv[5])))
