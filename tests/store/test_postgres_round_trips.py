"""A commit in PostgreSQL: how many round trips it takes, and what it does when another one comes in between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.postgres.address import parse_postgres
from kochava_bot_middleware.store.postgres.commit import commit_units
from kochava_bot_middleware.store.postgres.pool import PostgresPool
from kochava_bot_middleware.store.postgres.session import PostgresConnection, PostgresSession
from kochava_bot_middleware.store.records import Committed, CommitVerdict, Condition, Lease, Outcome, Settlement, Unit
from kochava_bot_middleware.store.settings import unique_tokens
from tests.store.harness import TOMBSTONE, append, claim_one, claimed_ids, entry, mark, recalled, settle
from tests.store.postgres_server import NewStore, shared_server
from tests.store.round_trips import RoundTripCounter, round_trip_counter

LEASE = Lease(queue="track", seconds=60.0)


@pytest.fixture
async def counter() -> AsyncIterator[RoundTripCounter]:
    async with round_trip_counter(shared_server().port) as counter:
        yield counter


@pytest.fixture
async def counted(counter: RoundTripCounter, postgres_url: str, new_store: NewStore) -> Store:
    """A store that is warm: connected, and its statements prepared."""
    await new_store(postgres_url)
    url = postgres_url.replace(f":{shared_server().port}", f":{counter.port}") + "&sslmode=disable&listen=off"
    store = await new_store(url)
    for prefix in ("warm", "warmer"):
        await _cycle(store, prefix)
    return store


async def _cycle(store: Store, prefix: str, counter: RoundTripCounter | None = None) -> list[int]:
    """
    Commit an entry with a lease and a condition, and settle it with the same and the next of its lane; returns the
    round trips of each. Nothing is left for other processes, so none is notified.
    """
    counter = counter or RoundTripCounter(0)
    key, lane = f"{prefix}:k", f"{prefix}/lane"
    counter.count = 0
    absent = mark(key, b"1", condition=Condition.IF_ABSENT)
    appends = [entry(f"{prefix}1", lane=lane)]
    (claim,) = (await store.commit(Unit(appends=appends, marks=[absent], lease=LEASE))).leased
    counts = [counter.count]
    counter.count = 0
    equal = mark(key, b"2", condition=Condition.IF_EQUAL, expected=b"1")
    settlements = [Settlement(claim=claim, outcome=Outcome.DONE)]
    appends = [entry(f"{prefix}2", lane=lane)]
    await store.commit(Unit(settlements=settlements, appends=appends, marks=[equal], lease=LEASE))
    return [*counts, counter.count]


async def test_commit_and_settlement_take_two_round_trips_each(counter: RoundTripCounter, counted: Store) -> None:
    """Whatever is in them: entries, a lease, conditions, settlements and what follows."""
    assert [2, 2] == await _cycle(counted, "measured", counter)


async def test_many_units_take_two_round_trips_together(counter: RoundTripCounter, counted: Store) -> None:
    """Those that were committed in one turn of the loop."""
    units = [Unit(appends=[entry(str(n), lane=str(n))], lease=LEASE) for n in range(100)]
    await asyncio.gather(*map(counted.commit, units[:3]))
    counter.count = 0
    await asyncio.gather(*map(counted.commit, units[3:]))
    assert 2 == counter.count


async def test_unit_that_changes_nothing_takes_one_round_trip(counter: RoundTripCounter, counted: Store) -> None:
    """Such as a webhook that comes again."""
    unit = Unit(appends=[entry("a")], lease=LEASE)
    await counted.commit(unit)
    counter.count = 0
    assert ("a",) == (await counted.commit(unit)).repeated
    assert 1 == counter.count


@attrs.define
class _Interrupted:
    """A connection on which another commit comes first, after what the first attempt has read."""

    inner: PostgresConnection
    between: Callable[[], Awaitable[object]]
    statements: int = 0

    async def fetch(
        self,
        query: str,
        *args: Any,
        timeout: float | None = None,
    ) -> Sequence[Sequence[Any]]:
        rows = await self.inner.fetch(query, *args, timeout=timeout)
        self.statements += 1
        if self.statements == 1:
            await self.between()
        return rows


class Interrupted:
    """Commits units; *between* happens once, after what they depend on was read."""

    def __init__(self, url: str, between: Callable[[], Awaitable[object]]) -> None:
        self._pool = PostgresPool(parse_postgres(url), None, dedupe_seconds=1_000.0)
        self._between = between
        self.attempts = 0

    async def commit(self, *units: Unit) -> list[Committed]:
        async def work(session: PostgresSession) -> list[Committed]:
            self.attempts += 1
            if self.attempts == 1:
                session = attrs.evolve(session, connection=_Interrupted(session.connection, self._between))
            return await commit_units(session, units, unique_tokens())

        try:
            return await self._pool.run_alone(work)
        finally:
            await self._pool.close()


async def test_what_is_appended_behind_a_head_that_is_being_settled_is_not_lost(
    postgres_url: str, new_store: NewStore
) -> None:
    """The lane was empty behind it when the settlement was read."""
    store = await new_store(postgres_url)
    await append(store, entry("a"))
    claim = await claim_one(store)
    interrupted = Interrupted(postgres_url, lambda: append(store, entry("b")))
    await interrupted.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE)]))
    assert ["b"] == await claimed_ids(store)
    assert 2 == interrupted.attempts


async def test_what_is_appended_behind_a_head_that_was_settled_meanwhile_is_claimed(
    postgres_url: str, new_store: NewStore
) -> None:
    """The lane is empty by then."""
    store = await new_store(postgres_url)
    await append(store, entry("a"))
    claim = await claim_one(store)
    interrupted = Interrupted(postgres_url, lambda: settle(store, claim))
    await interrupted.commit(Unit(appends=[entry("b")]))
    assert ["b"] == await claimed_ids(store)


async def test_claim_meanwhile_is_not_in_the_way_of_an_append(postgres_url: str, new_store: NewStore) -> None:
    """What is appended goes behind the head, whoever has it."""
    store = await new_store(postgres_url)
    await append(store, entry("a"))
    interrupted = Interrupted(postgres_url, lambda: claim_one(store))
    await interrupted.commit(Unit(appends=[entry("b")]))
    assert 1 == interrupted.attempts


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.RETRY])
async def test_settlement_whose_claim_was_taken_over_meanwhile_is_refused(
    postgres_url: str, new_store: NewStore, outcome: Outcome
) -> None:
    """Its lease had lapsed."""
    store = await new_store(postgres_url)
    await append(store, entry("a"))
    claim = await claim_one(store)
    await store.renew([claim], 0.0)
    interrupted = Interrupted(postgres_url, lambda: claim_one(store))
    (answer,) = await interrupted.commit(Unit(settlements=[Settlement(claim=claim, outcome=outcome)]))
    assert CommitVerdict.LEASE_LOST is answer.verdict


@pytest.mark.parametrize("value", [b"2", None])
async def test_condition_that_fails_meanwhile_refuses_the_unit(
    postgres_url: str, new_store: NewStore, value: bytes | None
) -> None:
    """The state entry was changed or deleted after it was read."""
    store = await new_store(postgres_url)
    await store.commit(Unit(marks=[mark("k", b"1")]))
    interrupted = Interrupted(postgres_url, lambda: store.commit(Unit(marks=[mark("k", value)])))
    changed = mark("k", b"3", condition=Condition.IF_EQUAL, expected=b"1")
    (answer,) = await interrupted.commit(Unit(appends=[entry("a")], marks=[changed]))
    assert CommitVerdict.CONDITION_FAILED is answer.verdict
    assert ({} if value is None else {"k": value}) == await recalled(store, "k")
    assert await store.find("a") is None


async def test_state_entry_that_appears_meanwhile_refuses_the_unit(postgres_url: str, new_store: NewStore) -> None:
    """It was absent when it was read."""
    store = await new_store(postgres_url)
    interrupted = Interrupted(postgres_url, lambda: store.commit(Unit(marks=[mark("k", b"2")])))
    absent = mark("k", b"3", condition=Condition.IF_ABSENT)
    (answer,) = await interrupted.commit(Unit(appends=[entry("a")], marks=[absent]))
    assert CommitVerdict.CONDITION_FAILED is answer.verdict
    assert await store.find("a") is None


async def test_id_that_is_appended_meanwhile_is_repeated(postgres_url: str, new_store: NewStore) -> None:
    """In another lane, even."""
    store = await new_store(postgres_url)
    interrupted = Interrupted(postgres_url, lambda: append(store, entry("a", lane="bob")))
    (answer,) = await interrupted.commit(Unit(appends=[entry("a")]))
    assert ("a",) == answer.repeated


async def test_entry_that_is_forgotten_meanwhile_cannot_be_settled(postgres_url: str, new_store: NewStore) -> None:
    """A claim on it is fenced."""
    store = await new_store(postgres_url)
    await append(store, entry("a"))
    claim = await claim_one(store)
    interrupted = Interrupted(postgres_url, lambda: store.forget(["ann"], reason="asked", tombstone=TOMBSTONE))
    (answer,) = await interrupted.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE)]))
    assert CommitVerdict.LEASE_LOST is answer.verdict


@pytest.mark.parametrize("is_alone", [True, False])
async def test_commit_waits_for_the_disk(postgres_url: str, new_store: NewStore, is_alone: bool) -> None:
    """What is read need not; that must not go over to what is written."""
    await new_store(postgres_url)
    pool = PostgresPool(parse_postgres(postgres_url), None, dedupe_seconds=1_000.0)

    async def work(session: PostgresSession) -> tuple[bool, str]:
        await commit_units(session, [Unit(appends=[entry("a")])], unique_tokens())
        return session.is_transaction, await session.value("SELECT current_setting('synchronous_commit')")

    run = pool.run_alone if is_alone else pool.run
    assert (not is_alone, "on") == await run(work)
    await pool.close()
