"""
The stores that are measured, each as a bot would have it: real servers, and nothing that makes a commit less durable.

Valkey has ``appendonly yes`` and ``appendfsync everysec``; PostgreSQL has ``fsync`` and ``synchronous_commit`` on, as
it comes; SQLite has ``synchronous=FULL``. The servers are those of the wheels that the tests use, over TCP on this
machine.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import attrs

from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.postgres.store import PostgresStore
from tests.store.postgres_server import PostgresServer
from tests.store.valkey import LocalValkey

ENGINES = ("sqlite", "valkey", "postgres")

_POSTGRES_OPTIONS = ("-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB")


@attrs.frozen(kw_only=True)
class Engine:
    """
    A place for any number of stores.

    Attributes:
        name: One of `ENGINES`.
        fresh_url: The address of a store that nobody has used.
        process_id: Of the server; ``None`` when there is none.
    """

    name: str
    fresh_url: Callable[[], str]
    process_id: int | None = None


@contextmanager
def engine(name: str) -> Iterator[Engine]:
    """Start what *name* needs, and remove it with all data at the end."""
    numbers = itertools.count(1)
    with ExitStack() as stack:
        if name == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            yield Engine(name=name, fresh_url=lambda: f"sqlite:///{Path(folder) / f'{next(numbers)}.db'}")
        elif name == "valkey":
            valkey = stack.enter_context(LocalValkey(port=None, appendfsync="everysec"))
            yield Engine(
                name=name,
                fresh_url=lambda: f"redis://127.0.0.1:{valkey.server.port}/0?prefix=b{next(numbers)}",
                process_id=int(valkey.run("INFO", "server")["process_id"]),
            )
        else:
            postgres = PostgresServer(_POSTGRES_OPTIONS)
            stack.callback(postgres.remove)
            postgres.start()
            process_id = int((postgres.folder / "postmaster.pid").read_text().split()[0])
            yield Engine(name=name, fresh_url=postgres.url, process_id=process_id)


async def opened(url: str) -> Store:
    """The store at *url*, with its tables."""
    store = open_store(url)
    if isinstance(store, PostgresStore):
        await store.init()
    await store.open()
    return store


def processor_seconds(process_ids: Sequence[int]) -> float | None:
    """The processor time of these processes and of all their children up to now; ``None`` where it cannot be told."""
    if not Path("/proc/self/stat").exists():
        return None
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        number = int(path.parent.name)
        parents[number] = int(fields[1])
        # Its own, and that of its children that have ended.
        ticks[number] = sum(map(int, fields[11:15]))
    wanted = {number for number in ticks if number in process_ids or parents[number] in process_ids}
    return sum(ticks[number] for number in wanted) / os.sysconf("SC_CLK_TCK")
