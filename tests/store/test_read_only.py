"""A store that can be read but not written is refused when it is opened, not at the first webhook."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.bot import MessengerBot
from kochava_bot_middleware.clock import SystemClock
from kochava_bot_middleware.exceptions import StoreUnavailable, StoreUnusable
from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import append, entry
from tests.store.postgres_server import postgres_store, shared_server
from tests.store.valkey import LocalValkey

NOBODY = 65_534

CASES = ("sqlite file", "sqlite folder", "sqlite of another user", "postgres role", "postgres default", "valkey user")


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Access files as a user without rights, which root alone would not be refused."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.asynccontextmanager
async def sqlite(case: str) -> AsyncIterator[str]:
    # pytest's own folders are closed to others.
    folder = Path(tempfile.mkdtemp(prefix="read-only-"))
    path = folder / "bot.db"
    store = SqliteStore(path)
    await append(store, entry("a"))
    await store.close()
    folder.chmod(0o755 if case != "sqlite file" else 0o777)
    path.chmod(0o666 if case == "sqlite folder" else 0o444)
    if case == "sqlite folder" and os.geteuid() != 0:
        folder.chmod(0o555)
    try:
        with as_nobody():
            yield f"sqlite:///{path}"
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def postgres(case: str) -> AsyncIterator[str]:
    url = shared_server().url()
    store = await postgres_store(url)
    await append(store, entry("a"))
    await store.close()
    schema = url.partition("schema=")[2]
    role = f"reader_{schema}"
    connection = await asyncpg.connect(url.partition("?")[0])
    rights = "SELECT" if case == "postgres role" else "ALL"
    await connection.execute(f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role}")
    await connection.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA {schema} TO {role}")
    await connection.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {role}")
    if case == "postgres default":
        await connection.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    await connection.close()
    yield url.replace("//postgres", f"//{role}")


@contextlib.asynccontextmanager
async def valkey(_case: str) -> AsyncIterator[str]:
    with LocalValkey() as server:
        store = open_store(server.url())
        await append(store, entry("a"))
        await store.close()
        server.run("ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all", "-@write")
        yield server.url().replace("unix://", "unix://reader:secret@")


@pytest.fixture(params=CASES)
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of a store that has something in it, and can only be read."""
    make = {"sqlite": sqlite, "postgres": postgres, "valkey": valkey}[request.param.partition(" ")[0]]
    async with make(request.param) as address:
        yield address


async def test_opening_says_what_writing_would(url: str) -> None:
    """The log would have the same text later."""
    store = open_store(url)
    with pytest.raises(StoreUnavailable) as opening:
        await store.open()
    with pytest.raises(StoreUnavailable) as writing:
        await append(store, entry("b"))
    await store.close()
    # What the server says names the table or the line, too.
    assert str(writing.value).partition(" (")[0] == str(opening.value).partition(" (")[0]
    assert isinstance(opening.value, StoreUnusable) or "folder" in str(opening.value)


async def test_bot_and_worker_do_not_start(url: str) -> None:
    """`kochava-bot worker` opens the store as the middleware does."""
    kochava = KochavaMiddleware.from_dict({"kochava_app_id": "koapp", "store": url, "worker": "separate"})
    bot = MessengerBot.from_dict({"page_access_token": "t", "app_secret": "s", "verify_token": "v"})
    bot.add_middleware(kochava)
    with pytest.raises(StoreUnavailable):
        await bot.start()
    with pytest.raises(StoreUnavailable):
        await kochava.start()
    await bot.stop()
    await kochava.stop()


async def test_opening_a_store_that_can_be_written_changes_nothing(store_url: str) -> None:
    """Neither is an entry there nor a count, and it may be opened any number of times."""
    store = open_store(store_url, clock=SystemClock())
    await append(store, entry("a"))
    before = await store.stats()
    for _ in range(3):
        await store.open()
    assert before == await store.stats()
    assert 1 == len(await store.browse("track"))
    await store.close()


@pytest.fixture(params=["sqlite", "postgres", "valkey"])
async def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'bot.db'}"
    elif request.param == "postgres":
        address = shared_server().url()
        await (await postgres_store(address)).close()
        yield address
    else:
        with LocalValkey() as server:
            yield server.url()
