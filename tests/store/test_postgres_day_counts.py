"""Counters by day in PostgreSQL: each connection has a part of its own, until a sweep joins those that ended."""

from __future__ import annotations

import asyncio

from kochava_bot_middleware.store.day_counts import label_of
from kochava_bot_middleware.store.postgres.session import PostgresSession
from kochava_bot_middleware.store.records import DayCount, Entry, Outcome, Settlement, Unit
from tests.store.postgres_server import NewStore, postgres_pool, postgres_store

COUNTED = Unit(counts=[DayCount(1, "a", "recorded")])

COUNT_IN_TRANSACTION = """
INSERT INTO {s}.day_counts AS c (day, facts, what, part, count, amount)
VALUES (1, 'a', 'recorded', pg_backend_pid(), 1, 0)
"""


async def test_commits_do_not_wait_for_a_transaction_that_has_counted_the_same(
    postgres_url: str, new_store: NewStore
) -> None:
    """It is open for as long as its process is paused, say."""
    store = await new_store()

    async def commit_meanwhile(session: PostgresSession) -> None:
        await session.fetch(COUNT_IN_TRANSACTION)
        for _ in range(3):
            await store.commit(COUNTED)

    async with postgres_pool(postgres_url) as pool:
        await pool.run(commit_meanwhile)
    assert [DayCount(1, "a", "recorded", 4)] == await store.counts()


async def test_sweep_joins_what_ended_connections_have_counted(postgres_url: str) -> None:
    """However many short-lived processes there were, a counter is one row then, and its sum is the same."""

    async def rows(session: PostgresSession) -> int:
        return int(await session.value("SELECT count(*) FROM {s}.day_counts"))

    for _ in range(3):
        store = await postgres_store(postgres_url)
        await store.commit(COUNTED)
        await store.close()
    store = await postgres_store(postgres_url)
    async with postgres_pool(postgres_url) as pool:
        # The server notices a moment later that a connection has ended.
        async with asyncio.timeout(60):
            while await pool.run(rows) > 1:
                await store.sweep()
    assert [DayCount(1, "a", "recorded", 3)] == await store.counts()
    await store.close()


async def test_several_workers_count_exactly(postgres_url: str, new_store: NewStore) -> None:
    """They settle at the same time; some of the dead are retried meanwhile."""
    stores = [await new_store() for _ in range(3)]
    label = label_of(7, "purchase", 1_990_000)
    entries = [
        Entry(id=str(n), queue="track", lane=str(n % 40), created_at=0.0, body=b"{}", label=label) for n in range(200)
    ]
    await asyncio.gather(*(stores[n % 3].commit(Unit(appends=entries[n::20])) for n in range(20)))

    retried: set[str] = set()

    async def work(number: int) -> None:
        outcomes = (Outcome.DONE, Outcome.DEAD, Outcome.DROPPED)
        while claims := await stores[number].claim("track", 7, 60.0):
            for claim in claims:
                outcome = Outcome.DONE if claim.entry.id in retried else outcomes[int(claim.entry.id) % 3]
                await stores[number].commit(
                    Unit(settlements=[Settlement(claim=claim, outcome=outcome, reason="refused")])
                )
            again = {claim.entry.id for claim in claims if int(claim.entry.id) % 2} - retried
            retried.update(again)
            await stores[number].retry_dead(sorted(again))

    await asyncio.gather(*map(work, range(3)))
    stats, counts = (await stores[0].stats())["track"], await stores[0].counts()
    for state, expected in (
        ("recorded", stats.accepted),
        ("done", stats.done),
        ("dead", stats.dead),
        ("dropped", stats.dropped),
    ):
        found = [each for each in counts if each.what.partition(":")[0] == state]
        assert expected == sum(each.count for each in found), state
        assert expected * 1_990_000 == sum(each.amount for each in found), state
