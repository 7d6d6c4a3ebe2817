"""The PostgreSQL store when its server goes away, through a pooler, and how it notifies other processes."""

from __future__ import annotations

import asyncio
import signal

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable, StoreUnusable
from kochava_bot_middleware.store.postgres.session import PostgresSession
from kochava_bot_middleware.store.postgres.store import PostgresStore
from tests.store.harness import ManualClock, append, claim_one, claimed_ids, entry, settle
from tests.store.pooler import pooler
from tests.store.postgres_server import NewStore, PostgresServer, postgres_pool, postgres_store, shared_server


async def test_process_stopped_in_a_transaction_loses_its_locks(postgres_url: str, new_store: NewStore) -> None:
    """A lane it has locked is free again within seconds, and its transaction has changed nothing."""
    other = await new_store()
    await append(other, entry("a"))
    locked, goes_on = asyncio.Event(), asyncio.Event()

    async def stop(session: PostgresSession) -> None:
        await session.fetch("DELETE FROM {s}.heads")
        locked.set()
        await goes_on.wait()

    async with postgres_pool(postgres_url) as stopped:
        stuck = asyncio.create_task(stopped.run(stop))
        await locked.wait()
        await append(other, entry("b"))
        goes_on.set()
        with pytest.raises(StoreUnavailable):
            await stuck
    assert "a" == (await claim_one(other)).entry.id


async def test_restarted_server_is_used_again(own_server: PostgresServer) -> None:
    """While it is down calls say so; afterwards they work, and what was committed is there."""
    store = await postgres_store(own_server.url(timeout_seconds="5"))
    await append(store, entry("a"))
    own_server.stop()
    with pytest.raises(StoreUnavailable, match=r"cannot be reached|closed the connection"):
        await append(store, entry("b"))
    with pytest.raises(StoreUnavailable):
        await store.claim("track", 1, 60.0)
    own_server.start()
    assert ("b",) == (await append(store, entry("b"))).appended
    assert 2 == (await store.stats())["track"].waiting
    await store.close()


async def test_crashed_server_has_lost_nothing(own_server: PostgresServer) -> None:
    """Every unit that was answered is there after the crash; those that were not may be committed again."""
    store = await postgres_store(own_server.url(timeout_seconds="5"))
    answered: list[str] = []
    unknown: list[str] = []

    async def caller(name: int) -> None:
        for number in range(10_000):
            try:
                await append(store, entry(f"{name}-{number}", lane=f"{name}"))
            except StoreUnavailable:
                unknown.append(f"{name}-{number}")
                return
            answered.append(f"{name}-{number}")
            if len(answered) == 500:
                own_server.stop(signal.SIGQUIT)

    await asyncio.gather(*(caller(name) for name in range(20)))
    own_server.start()
    repeated = [await append(store, entry(name, lane=name.partition("-")[0])) for name in (*answered, *unknown)]
    assert [(name,) for name in answered] == [answer.repeated for answer in repeated[: len(answered)]]
    assert len(answered) + len(unknown) == (await store.stats())["track"].waiting
    await store.close()


async def test_append_wakes_other_processes(new_store: NewStore) -> None:
    """A callback is called when another store left something to claim, and when its own did."""
    worker, bot = await new_store(), await new_store()
    woken = asyncio.Event()
    worker.on_append(woken.set)
    assert await worker.listening()
    woken.clear()
    await append(bot, entry("a"))
    await asyncio.wait_for(woken.wait(), 10)
    woken.clear()
    await append(worker, entry("b"))
    assert woken.is_set()


async def test_listening_comes_back_after_a_restart(own_server: PostgresServer) -> None:
    """The loss of the connection wakes, and the next claims connect again."""
    clock = ManualClock()
    worker = await postgres_store(own_server.url(timeout_seconds="5"), clock=clock)
    woken = asyncio.Event()
    worker.on_append(woken.set)
    assert await worker.listening()
    woken.clear()
    own_server.stop()
    await asyncio.wait_for(woken.wait(), 10)
    own_server.start()
    await worker.claim("track", 1, 60.0)
    assert not await worker.listening()
    clock.advance(10)
    await worker.claim("track", 1, 60.0)
    assert await worker.listening()
    await worker.close()


async def test_connections_to_a_standby_are_closed(own_server: PostgresServer) -> None:
    """After a fail-over the address may lead to the old primary for a while; once it leads to the new one all works."""
    url = own_server.url()
    await (await postgres_store(url)).close()
    store = PostgresStore(url)
    async with postgres_pool(url) as primary:

        async def set_read_only(how: str) -> None:
            statement = f"ALTER ROLE postgres {how}"
            await primary.run(lambda session: session.fetch(statement))

        await primary.open()
        await set_read_only("SET default_transaction_read_only = on")
        answers = await asyncio.gather(*(store.claim("track", 1, 60.0) for _ in range(5)), return_exceptions=True)
        assert {StoreUnusable} == set(map(type, answers))
        await set_read_only("RESET default_transaction_read_only")
    assert ("a",) == (await append(store, entry("a"))).appended
    assert ["a"] == await claimed_ids(store)
    await store.close()


async def test_pooler_in_transaction_mode(postgres_url: str, new_store: NewStore) -> None:
    """With two server connections that change at each transaction everything works, and notifications come directly."""
    server = shared_server()
    await new_store()
    async with pooler(server.port) as port:
        pooled = (
            postgres_url.replace(f":{server.port}/", f":{port}/") + f"&statement_cache=0&listen=127.0.0.1:{server.port}"
        )
        bot, worker = await new_store(pooled), await new_store(pooled)
        woken = asyncio.Event()
        worker.on_append(woken.set)
        assert await worker.listening()
        woken.clear()
        await asyncio.gather(*(append(bot, entry(f"{n}", lane=f"{n % 10}")) for n in range(60)))
        await asyncio.wait_for(woken.wait(), 10)
        while claims := await worker.claim("track", 3, 60.0):
            await asyncio.gather(*(settle(worker, claim) for claim in claims))
        assert 60 == (await bot.stats())["track"].done
        await bot.close()
        await worker.close()


async def test_pooler_without_its_option_is_explained(postgres_url: str, new_store: NewStore) -> None:
    """Named statements are missing on the next server connection; the error names the option."""
    server = shared_server()
    await new_store()
    async with pooler(server.port) as port:
        store = PostgresStore(postgres_url.replace(f":{server.port}/", f":{port}/") + "&connections=2")
        await store.stats()
        # Now its statement is known on this connection, and the next transaction goes to the other.
        with pytest.raises(StoreUnavailable, match=r"add \?statement_cache=0"):
            await store.stats()
        await store.close()
