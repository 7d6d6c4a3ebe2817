"""What is special about bringing PostgreSQL's tables up to date; what they then hold: `previous_release`."""

from __future__ import annotations

import asyncio

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.postgres.session import PostgresSession
from kochava_bot_middleware.store.postgres.store import PostgresStore
from kochava_bot_middleware.store.records import EntryState
from kochava_bot_middleware.store.settings import StoreSettings
from tests.store.harness import ManualClock, append, entry
from tests.store.postgres_server import postgres_pool, postgres_store
from tests.store.previous_release.load import expected, load_postgres


async def test_tables_of_the_previous_release_say_what_to_run(postgres_url: str) -> None:
    """Opening changes nothing; the error names the command that does."""
    await load_postgres(postgres_url)
    store = PostgresStore(postgres_url)
    with pytest.raises(StoreUnavailable, match=r"has schema version 1 .*`kochava-bot store init` .* to version 3"):
        await store.open()
    await store.init()
    await store.open()
    await store.close()


async def test_two_processes_bring_the_tables_up_to_date_once(postgres_url: str) -> None:
    """The second one finds that nothing is left to do."""
    await load_postgres(postgres_url)
    stores = [PostgresStore(postgres_url), PostgresStore(postgres_url)]
    await asyncio.gather(*(store.init() for store in stores))
    wanted = {queue: about["stats"]["accepted"] for queue, about in expected()["queues"].items()}
    for store in stores:
        assert wanted == {queue: counts.accepted for queue, counts in (await store.stats()).items()}
        await store.close()


async def test_migration_may_take_longer_than_an_answer(postgres_url: str) -> None:
    """It waits for a transaction that is still open, however short the timeout of the address is."""
    await load_postgres(postgres_url)
    store = PostgresStore(f"{postgres_url}&timeout_seconds=0.2")
    locked, goes_on = asyncio.Event(), asyncio.Event()

    async def hold(session: PostgresSession) -> None:
        await session.fetch("SELECT FROM {s}.entries LIMIT 1")
        locked.set()
        await goes_on.wait()

    async with postgres_pool(postgres_url) as other:
        holding = asyncio.create_task(other.run_unchecked(hold))
        await locked.wait()
        migration = asyncio.create_task(store.init())
        _, waiting = await asyncio.wait([migration], timeout=0.6)
        goes_on.set()
        await asyncio.gather(holding, migration)
    assert {migration} == waiting
    await store.close()


async def test_remembered_ids_keep_their_time(postgres_url: str) -> None:
    """Whatever the settings say at present, an id is remembered until the time that the previous release set."""
    await load_postgres(postgres_url)
    clock = ManualClock()
    store = await postgres_store(postgres_url, clock=clock, settings=StoreSettings(dedupe_seconds=5.0))
    remembered = expected()["remembered"][0]
    clock.advance(remembered["until"] - clock.now() - 1.0)
    assert (remembered["id"],) == (await append(store, entry(remembered["id"]))).repeated
    clock.advance(2.0)
    assert (remembered["id"],) == (await append(store, entry(remembered["id"]))).appended
    await store.close()


async def test_remembered_ids_are_not_listed(postgres_url: str) -> None:
    """The previous release knew nothing else of them."""
    await load_postgres(postgres_url)
    store = await postgres_store(postgres_url)
    assert [] == [row for queue in ("", "track") for row in await store.browse(queue, state=EntryState.DONE)]
    await store.close()
