"""Looking marks up together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.postgres.address import PostgresAddress, parse_postgres
from kochava_bot_middleware.store.postgres.pool import Pool
from kochava_bot_middleware.store.postgres.recaller import Recaller
from kochava_bot_middleware.store.postgres.session import Session
from kochava_bot_middleware.store.records import Mark, Unit
from tests.store.postgres_server import NewStore

T = TypeVar("T")


class SlowPool(Pool):
    """Counts its transactions, and holds them until it is told to go on."""

    def __init__(self, address: PostgresAddress) -> None:
        super().__init__(address, None)
        self.transactions = 0
        self.going_on = asyncio.Event()
        self.broken = False

    async def run(self, work: Callable[[Session], Awaitable[T]]) -> T:
        self.transactions += 1
        await self.going_on.wait()
        if self.broken:
            message = "away"
            raise StoreUnavailable(message)
        return await super().run(work)


@pytest.fixture
async def pool(postgres_url: str, new_store: NewStore) -> AsyncIterator[SlowPool]:
    store = await new_store()
    await store.commit(Unit(marks=[Mark(key=f"k{number}", value=b"%d" % number) for number in range(20)]))
    pool = SlowPool(parse_postgres(postgres_url))
    yield pool
    await pool.close()


async def test_all_that_is_asked_meanwhile_is_one_look(pool: SlowPool) -> None:
    """The first look is under way when nineteen others ask; each is told of its own key alone."""
    recaller = Recaller(pool)
    asking = [asyncio.create_task(recaller.recall(["k0", "missing"]))]
    while not pool.transactions:
        await asyncio.sleep(0)
    asking += [asyncio.create_task(recaller.recall([f"k{number}"])) for number in range(1, 20)]
    pool.going_on.set()
    assert [{f"k{number}": b"%d" % number} for number in range(20)] == await asyncio.gather(*asking)
    assert 2 == pool.transactions


async def test_a_failed_look_is_told_to_all_and_forgotten(pool: SlowPool) -> None:
    """Each gets an error of its own; who asks afterwards is answered."""
    recaller = Recaller(pool)
    pool.broken = True
    pool.going_on.set()
    first, second = await asyncio.gather(recaller.recall(["k1"]), recaller.recall(["k2"]), return_exceptions=True)
    assert isinstance(first, StoreUnavailable)
    assert isinstance(second, StoreUnavailable)
    assert first is not second
    pool.broken = False
    assert {"k1": b"1"} == await recaller.recall(["k1"])


async def test_who_gives_up_does_not_disturb_the_others(pool: SlowPool) -> None:
    """A caller is cancelled while the look is under way."""
    recaller = Recaller(pool)
    impatient = asyncio.create_task(recaller.recall(["k1"]))
    patient = asyncio.create_task(recaller.recall(["k2"]))
    while not pool.transactions:
        await asyncio.sleep(0)
    impatient.cancel()
    pool.going_on.set()
    assert {"k2": b"2"} == await patient


async def test_draining_waits_for_the_answers(pool: SlowPool) -> None:
    """Whoever asked before the end is answered."""
    recaller = Recaller(pool)
    asking = asyncio.create_task(recaller.recall(["k1"]))
    await asyncio.sleep(0)
    pool.going_on.set()
    await recaller.drain()
    assert {"k1": b"1"} == await asking
