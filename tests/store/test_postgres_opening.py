"""The PostgreSQL store's address and tables: what is refused, and what the error says."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from urllib.parse import quote

import asyncpg  # type: ignore[import-untyped]
import pytest

from kochava_bot_middleware.exceptions import SchemaTooNew, SettingsError, StoreUnavailable, StoreUnusable
from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.store.postgres.address import parse_postgres
from kochava_bot_middleware.store.postgres.store import PostgresStore
from tests.store.harness import append, claim_one, entry
from tests.store.postgres_server import NewStore, postgres_store, shared_server


async def execute(*statements: str) -> None:
    connection = await asyncpg.connect(shared_server().url().partition("?")[0])
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def versions(schema: str) -> list[int]:
    connection = await asyncpg.connect(shared_server().url().partition("?")[0])
    rows = await connection.fetch(f"SELECT version FROM {schema}.store_version")
    await connection.close()
    return [row["version"] for row in rows]


def schema_of(url: str) -> str:
    return url.partition("schema=")[2]


async def test_database_without_tables_says_what_to_run(postgres_url: str) -> None:
    """Opening makes nothing; the error names the command that does."""
    store = PostgresStore(postgres_url)
    with pytest.raises(StoreUnavailable, match=r"no tables of this package in test_\d+; run `kochava-bot store init`"):
        await store.open()
    await store.init()
    await store.open()
    await store.close()


async def store_of_database(encoding: str) -> PostgresStore:
    name = f"kept_in_{encoding.lower()}"
    await execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
    return PostgresStore(shared_server().url().replace("/postgres?", f"/{name}?"))


@pytest.mark.parametrize("encoding", ["LATIN1", "EUC_JP"])
async def test_database_that_cannot_keep_all_characters_is_refused(encoding: str) -> None:
    """What people write would be dead letters. The error says what to do."""
    store = await store_of_database(encoding)
    for start in (store.init, store.open):
        with pytest.raises(StoreUnusable, match=f"has the encoding {encoding}; create one with ENCODING 'UTF8'"):
            await start()
    await store.close()


async def test_database_that_keeps_characters_as_bytes_is_used() -> None:
    """It has this encoding where its server was made without a locale."""
    store = await store_of_database("SQL_ASCII")
    await store.init()
    await append(store, entry("\U0001f600 \u4e2d"))
    assert "\U0001f600 \u4e2d" == (await claim_one(store)).entry.id
    await store.close()


async def test_init_keeps_what_is_there(postgres_url: str, new_store: NewStore) -> None:
    """Run again, and by two at once, it changes nothing."""
    first = await new_store()
    await append(first, entry("a"))
    second = PostgresStore(postgres_url)
    await asyncio.gather(first.init(), second.init())
    assert "a" == (await claim_one(second)).entry.id
    await second.close()


async def test_newer_schema_is_refused_and_untouched(postgres_url: str, new_store: NewStore) -> None:
    """Neither opening nor `init` changes what a newer release made."""
    await new_store()
    await execute(f"UPDATE {schema_of(postgres_url)}.store_version SET version = 999")
    store = PostgresStore(postgres_url)
    with pytest.raises(SchemaTooNew, match=r"schema version 999 .* upgrade the package"):
        await store.open()
    with pytest.raises(SchemaTooNew):
        await store.init()
    await store.close()
    assert [999] == await versions(schema_of(postgres_url))


async def test_tables_of_another_program_are_left_alone(postgres_url: str) -> None:
    """A schema with other tables is not taken over."""
    schema = schema_of(postgres_url)
    await execute(f"CREATE SCHEMA {schema}", f"CREATE TABLE {schema}.entries (theirs text)")
    store = PostgresStore(postgres_url)
    with pytest.raises(StoreUnavailable, match="holds other tables"):
        await store.init()
    await store.close()


async def test_commits_that_may_be_lost_are_refused() -> None:
    """A server that answers before it wrote is refused, unless the address accepts it."""
    await execute("CREATE DATABASE careless", "ALTER DATABASE careless SET synchronous_commit = off")
    url = shared_server().url().replace("/postgres?", "/careless?")
    store = await postgres_store(url)
    with pytest.raises(StoreUnavailable, match="synchronous_commit is off"):
        await store.open()
    await store.close()
    trusting = PostgresStore(f"{url}&durability=server")
    await trusting.open()
    await trusting.close()


async def test_unreachable_server_is_named_without_password() -> None:
    """One error that says what was tried and what to do; the password shows nowhere."""
    url = "postgresql://bot:hunter2@127.0.0.1:1/bots?sslmode=disable"
    store = PostgresStore(url)
    with pytest.raises(StoreUnavailable, match=r"postgresql://bot@127.0.0.1:1/bots cannot be reached") as caught:
        await store.open()
    assert "hunter2" not in f"{caught.value} {store!r} {parse_postgres(url)!r}"
    await store.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://bot:hun/ter2@db/bots", "percent-encoded as .*%2F"),
        ("postgresql://bot:hunter2@db:99999/bots", "a port between 1 and 65535"),
        ("postgresql://bot:hunter2@db:0/bots", "a port between 1 and 65535"),
        ("postgresql://bot:12/hunter2@db/bots", "percent-encoded as .*%2F"),
        ("postgresql://bot:12?hunter2@db/bots", "percent-encoded as .*%3F"),
        ("postgresql://bot:12?hunter2=@db/bots", "percent-encoded as .*%3F"),
        ("postgresql://bot:12#hunter2@db/bots", "percent-encoded as %23"),
        ("postgresql://bot:a@hunter2@db/bots", "percent-encoded as %40"),
        ("postgresql://bot:hunter2%@db/bots", "percent-encoded as %25"),
        ("postgresql://bot:hunter2[1@db/bots", "percent-encoded .*%5B"),
        ("postgresql://bot:hunter2@db/bots#1", "percent-encoded as %23"),
        ("postgresql://bot:hunter2@db/bots?1", r"in a name \? is %3F"),
        ("postgresql://bot:hunter2@db/bots?", "belongs to a name, %3F"),
        ("postgresql://bot:hunter2@[db/bots", "cannot be taken apart"),
        ("postgresql://bot:hunter2@db:port/bots", "cannot be told apart"),
        ("postgresql://bot:hunter2@db/bots?schema=Bots", "schema to be lower-case letters"),
        ("postgresql://bot:hunter2@db/bots?connections=1", "connections to be a number, at least 2, got 1"),
        ("postgresql://bot:hunter2@db/bots?listen=yes", "listen to be on, off or host:port, got yes"),
        ("postgresql://bot:hunter2@db/bots?pool=9", "only the options .* got the option pool"),
    ],
)
def test_wrong_address_is_explained(url: str, message: str) -> None:
    """The error names the option or the place, and never a part of the password."""
    with pytest.raises(SettingsError, match=message) as caught:
        open_store(url)
    assert "ter2" not in str(caught.value)


async def test_percent_encoded_database_is_any_database() -> None:
    """What an error asks for is understood by the client, too."""
    name = "a#b/c?d@e%f:[g"
    await execute(f'CREATE DATABASE "{name}"')
    url = shared_server().url().replace("/postgres?", f"/{quote(name, safe='')}?")
    store = await postgres_store(url)
    await append(store, entry("a"))
    await store.close()
    connection = await asyncpg.connect(shared_server().url().partition("?")[0], database=name)
    assert "a" == await connection.fetchval(f"SELECT id FROM {schema_of(url)}.entries")
    await connection.close()
    await execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_address_opens_the_store(scheme: str) -> None:
    """Both names of the scheme are known."""
    store = open_store(f"{scheme}://bot@db/bots")
    assert (True, "PostgresStore('postgresql://bot@db/bots')") == (store.durable, repr(store))


def test_missing_library_is_one_line() -> None:
    """Without asyncpg the error says what to install."""
    program = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "from kochava_bot_middleware.exceptions import SettingsError\n"
        "from kochava_bot_middleware.store.address import open_store\n"
        "try: open_store('postgresql://db/bots')\n"
        "except SettingsError as exc: print(exc)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'kochava-bot-middleware[postgres]'" in done.stdout
