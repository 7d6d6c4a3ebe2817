"""What only the PostgreSQL store promises, beside the contract: several processes at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import attrs

from kochava_bot_middleware.exceptions import NotStorable
from kochava_bot_middleware.store.postgres.queries import retry_dead
from kochava_bot_middleware.store.postgres.session import PostgresConnection, PostgresSession
from kochava_bot_middleware.store.postgres.store import PostgresStore
from kochava_bot_middleware.store.records import CommitVerdict, Condition, Entry, Lease, Outcome, Unit
from tests.store.harness import TOMBSTONE, append, claim_one, claimed_ids, entry, mark, put, settle
from tests.store.postgres_server import NewStore, postgres_pool


async def test_two_processes_keep_one_order_in_a_lane(new_store: NewStore) -> None:
    """Appended by two at once: one head, none lost, and the entries of each in the order it appended them."""
    stores = [await new_store(), await new_store()]

    async def fill(store: PostgresStore, name: str) -> None:
        for number in range(40):
            await append(store, entry(f"{name}{number}", lane="shared"), entry(f"{name}{number}-own", lane=name))

    await asyncio.gather(fill(stores[0], "a"), fill(stores[1], "b"))
    seen: list[str] = []
    while claims := await stores[0].claim("track", 100, 60.0):
        assert len(claims) == len({claim.entry.lane for claim in claims})
        for claim in claims:
            if claim.entry.lane == "shared":
                seen.append(claim.entry.id)
            await settle(stores[1], claim)
    assert [f"a{n}" for n in range(40)] == [name for name in seen if name[0] == "a"]
    assert [f"b{n}" for n in range(40)] == [name for name in seen if name[0] == "b"]
    stats = (await stores[0].stats())["track"]
    assert (160, 160) == (stats.accepted, stats.done)


async def test_emptied_lane_is_filled_by_another(new_store: NewStore) -> None:
    """Whether an append meets a lane before or after its last settlement, its entry is claimed."""
    first, second = await new_store(), await new_store()
    for number in range(30):
        await append(first, entry(f"a{number}"))
        claim = await claim_one(first)
        await asyncio.gather(settle(first, claim), append(second, entry(f"b{number}")))
        assert f"b{number}" == (await claim_one(first)).entry.id
        await first.forget(["ann"], reason="next round", tombstone=TOMBSTONE)


async def test_two_processes_never_share_a_head(new_store: NewStore) -> None:
    """Claims of several stores at once hand out each head once."""
    stores = [await new_store() for _ in range(3)]
    await append(stores[0], *(entry(f"{number}", lane=f"{number}") for number in range(200)))
    answers = await asyncio.gather(*(store.claim("track", 10, 60.0) for store in stores * 10))
    ids = [claim.entry.id for claims in answers for claim in claims]
    assert sorted(ids) == sorted(set(ids))
    rest = [claim.entry.id for claim in await stores[0].claim("track", 200, 60.0)]
    assert 200 == len({*ids, *rest}) == len(ids) + len(rest)


async def test_head_appended_by_two_at_once_is_leased_once(new_store: NewStore) -> None:
    """A lane that is empty has nothing to lock, and still only one of its first two entries is its head."""
    stores = [await new_store(), await new_store()]
    lease = Lease(queue="track", seconds=60.0)
    for number in range(20):
        answers = await asyncio.gather(
            *(
                append(store, entry(f"{name}{number}", lane=f"{number}"), lease=lease)
                for name, store in enumerate(stores)
            )
        )
        assert [0, 1] == sorted(len(answer.leased) for answer in answers)


async def test_unit_does_not_overtake_another_of_its_lane(postgres_url: str, new_store: NewStore) -> None:
    """While a unit waits for another process, a later one of the same lane waits with it."""
    store = await new_store()
    await append(store, entry("a", lane="held"))
    locked, goes_on = asyncio.Event(), asyncio.Event()

    async def hold(session: PostgresSession) -> None:
        await session.fetch("SELECT FROM {s}.heads FOR UPDATE")
        locked.set()
        await goes_on.wait()

    async with postgres_pool(postgres_url) as other:
        holding = asyncio.create_task(other.run(hold))
        await locked.wait()
        first = asyncio.create_task(append(store, entry("b", lane="held"), entry("1", lane="lane")))
        await asyncio.sleep(0)
        second = asyncio.create_task(append(store, entry("2", lane="lane")))
        _, waiting = await asyncio.wait([second], timeout=0.3)
        goes_on.set()
        await asyncio.gather(holding, first, second)
    assert {second} == waiting
    assert ["1", "2"] == [row.entry.id for row in await store.browse("track", lane="lane")]


async def test_id_appended_by_two_at_once_is_appended_once(new_store: NewStore) -> None:
    """Also when they mean different lanes, so that no lane's lock is between them."""
    stores = [await new_store(), await new_store()]
    for number in range(20):
        answers = await asyncio.gather(
            *(append(store, entry(f"{number}", lane=lane)) for store, lane in zip(stores, "ab", strict=True))
        )
        assert [0, 1] == sorted(len(answer.appended) for answer in answers)


async def test_condition_is_met_by_one_of_two_at_once(new_store: NewStore) -> None:
    """A key that is absent has nothing to lock, and still only one writer finds it absent."""
    stores = [await new_store(), await new_store()]
    for number in range(20):
        marks = [mark(f"k{number}", value, condition=Condition.IF_ABSENT) for value in (b"1", b"2")]
        answers = await asyncio.gather(*(put(store, mark) for store, mark in zip(stores, marks, strict=True)))
        assert {CommitVerdict.COMMITTED, CommitVerdict.CONDITION_FAILED} == {answer.verdict for answer in answers}


async def test_callers_that_commit_again_at_once_are_served(new_store: NewStore) -> None:
    """A caller that commits as soon as a transaction ended starts the next one."""
    store = await new_store()

    async def caller(name: int) -> None:
        for number in range(30):
            await append(store, entry(f"{name}-{number}", lane=f"{name}"))

    async with asyncio.timeout(60):
        await asyncio.gather(*(caller(name) for name in range(8)))
    assert 240 == (await store.stats())["track"].waiting


async def test_unit_that_cannot_be_kept_is_refused_alone(new_store: NewStore) -> None:
    """The units that share its transaction are written; the error does not show what was in it."""
    store = await new_store()
    bad = Entry(id="bad", queue="track", lane="eve", schema=2**40, created_at=1.0, body=b"secret")
    answers = await asyncio.gather(
        append(store, entry("a")), append(store, bad), append(store, entry("b")), return_exceptions=True
    )
    assert isinstance(answers[1], NotStorable)
    assert "secret" not in str(answers[1])
    assert 2 == (await store.stats())["track"].accepted


async def test_servers_clock_counts(new_store: NewStore) -> None:
    """Without a clock of its own a lease ends by the server's, which is this machine's here."""
    store = await new_store()
    await append(store, entry("a"))
    before = time.time()
    claim = await claim_one(store)
    (row,) = await store.browse("track")
    assert row.due_at is not None
    assert before - 1 <= row.due_at - 60.0 <= time.time() + 1
    (renewed,) = await store.renew([claim], 0.0)
    assert 2 == (await claim_one(store)).attempt
    assert [] == await store.renew([renewed], 60.0)


async def test_cancelled_call_leaves_the_store_usable(new_store: NewStore) -> None:
    """What was begun is finished though its caller was cancelled, and later calls are not affected."""
    store = await new_store()
    await append(store, entry("a", lane="a"))
    commit = asyncio.create_task(append(store, entry("b", lane="b")))
    calls = [asyncio.create_task(store.stats()) for _ in range(20)]
    for _ in range(20):
        await asyncio.sleep(0)
    for task in (commit, *calls):
        task.cancel()
    await asyncio.gather(commit, *calls, return_exceptions=True)
    # Of the same lane, so it comes after what was cancelled.
    await append(store, entry("c", lane="b"))
    assert 3 == (await store.stats())["track"].waiting


async def test_close_finishes_the_commits_that_were_begun(new_store: NewStore) -> None:
    """Units that wait or are in flight are committed before the connections are closed."""
    store = await new_store()
    commits = [asyncio.create_task(append(store, entry(f"{number}", lane=f"{number}"))) for number in range(300)]
    await asyncio.sleep(0)
    await store.close()
    assert 300 == sum(len(answer.appended) for answer in await asyncio.gather(*commits))


async def test_empty_unit_is_committed(new_store: NewStore) -> None:
    """There is nothing to write."""
    assert CommitVerdict.COMMITTED is (await (await new_store()).commit(Unit())).verdict


async def test_what_is_retried_is_not_purged_meanwhile(postgres_url: str, new_store: NewStore) -> None:
    """Its id stays known, so that what is appended once more does not count twice."""
    one, other = await new_store(), await new_store()
    await append(one, entry("a"))
    await settle(one, await claim_one(one), Outcome.DEAD)
    purged: list[int] = []

    class PurgesInBetween:
        def __init__(self, connection: PostgresConnection) -> None:
            self._connection = connection

        async def fetch(self, query: str, *args: Any, timeout: float | None = None) -> Sequence[Sequence[Any]]:
            rows = await self._connection.fetch(query, *args, timeout=timeout)
            if "e.state = 'dead'" in query:
                purged.append(await other.purge(ended_for_seconds=-3600.0))
            return rows

    async def retry(session: PostgresSession) -> int:
        watched = attrs.evolve(session, connection=PurgesInBetween(session.connection))
        return await retry_dead(watched, ["a"])

    async with postgres_pool(postgres_url) as pool:
        assert (1, [0]) == (await pool.run(retry), purged)
    assert ("a",) == (await append(one, entry("a"))).repeated
    assert ["a"] == await claimed_ids(one)
