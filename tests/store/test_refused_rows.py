"""A store whose tables refuse, hide or drop rows is refused when it is opened, though this user has all rights."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable, StoreUnusable
from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import append, claimed_ids, entry
from tests.store.postgres_server import postgres_store, shared_server


@pytest.mark.parametrize("does", ["RAISE(ABORT, 'no')", "RAISE(ROLLBACK, 'no')", "RAISE(FAIL, 'no')", "RAISE(IGNORE)"])
@pytest.mark.parametrize(
    "event",
    [
        "INSERT ON entries",
        "UPDATE ON entries",
        "INSERT ON heads",
        "INSERT ON marks",
        "UPDATE ON counts",
        "DELETE ON marks",
        "DELETE ON heads",
    ],
)
async def test_sqlite_trigger_that_stops_commits_is_found_at_the_start(tmp_path: Path, event: str, does: str) -> None:
    """Without the trigger the file can be used, and nothing is left of the attempts."""
    path = tmp_path / "bot.db"
    first = SqliteStore(path)
    await append(first, entry("a"))
    await first.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TRIGGER stop BEFORE {event} BEGIN SELECT {does}; END")
    store = SqliteStore(path)
    with pytest.raises(StoreUnusable, match="see the policies, triggers and constraints"):
        await store.open()
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER stop")
    store = SqliteStore(path)
    await store.open()
    assert 1 == (await store.stats())["track"].accepted
    assert ["a"] == await claimed_ids(store)
    await store.close()


READS = "CREATE POLICY p ON {s}.entries FOR SELECT USING (true);"
INSERTS = "CREATE POLICY q ON {s}.entries FOR INSERT WITH CHECK (true);"


@pytest.mark.parametrize("policies", ["", READS, READS + INSERTS])
async def test_row_level_security_is_found_at_the_start(policies: str) -> None:
    """Where a policy lets all pass, the store can be used."""
    url = shared_server().url()
    store = await postgres_store(url)
    await append(store, entry("a"))
    await store.close()
    schema = url.partition("schema=")[2]
    role = f"limited_{schema}"
    connection = await asyncpg.connect(url.partition("?")[0])
    await connection.execute(
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {role};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO {role};"
        f"ALTER TABLE {schema}.entries ENABLE ROW LEVEL SECURITY;" + policies.format(s=schema)
    )
    limited = open_store(url.replace("//postgres", f"//{role}"))
    with pytest.raises(StoreUnusable):
        await limited.open()
    await connection.execute(f"CREATE POLICY all_rows ON {schema}.entries USING (true) WITH CHECK (true)")
    await limited.open()
    assert ["a"] == await claimed_ids(limited)
    await limited.close()
    await connection.close()


@pytest.mark.parametrize("does", ["RAISE EXCEPTION 'no'", "RETURN NULL", "RAISE check_violation"])
@pytest.mark.parametrize("table", ["entries", "heads", "marks"])
async def test_postgres_trigger_that_stops_commits_is_found_at_the_start(table: str, does: str) -> None:
    """One that drops rows in silence, too."""
    url = shared_server().url()
    store = await postgres_store(url)
    schema = url.partition("schema=")[2]
    connection = await asyncpg.connect(url.partition("?")[0])
    await connection.execute(
        f"CREATE FUNCTION {schema}.stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does}; END $$;"
        f"CREATE TRIGGER stop BEFORE INSERT ON {schema}.{table} FOR EACH ROW EXECUTE FUNCTION {schema}.stop()"
    )
    await connection.close()
    with pytest.raises(StoreUnavailable):
        await store.open()
    await store.close()
