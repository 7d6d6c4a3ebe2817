"""A store in several slots, and in a cluster."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.records import (
    CommitVerdict,
    Condition,
    EntryState,
    Lease,
    Mark,
    Outcome,
    Settlement,
    Unit,
)
from kochava_bot_middleware.store.redis.store import RedisStore
from kochava_bot_middleware.store.redis.units import shard_of, split
from tests.store.harness import ManualClock, append, claimed_ids, entry, put, settle
from tests.store.valkey import LocalValkey, fresh_url

NAMES = [f"user{number}" for number in range(40)]


@pytest.fixture
async def store(clock: ManualClock) -> AsyncIterator[RedisStore]:
    store = RedisStore(fresh_url("&shards=4"), clock=clock)
    yield store
    await store.close()


def lanes_apart() -> tuple[str, str]:
    """Two lanes that are in different shards of four."""
    first = NAMES[0]
    return first, next(name for name in NAMES if shard_of(name, 4) != shard_of(first, 4))


@pytest.mark.parametrize(("options", "is_one_part"), [("", True), ("&shards=1", True), ("&shards=4", False)])
def test_only_several_shards_are_several_parts(options: str, is_one_part: bool) -> None:
    """So that units of several people are left apart there."""
    assert is_one_part is RedisStore(fresh_url(options)).is_one_part


def test_all_of_a_person_is_in_one_shard() -> None:
    """Lanes of inbox and records, and marks of these lanes, whatever their key, make one part."""
    unit = Unit(
        appends=[entry("a", lane="app/psid7"), entry("b", lane="page/psid7", queue="inbox")],
        marks=[Mark(lane="app/psid7", key=key, value=b"1") for key in ("funnel:app:psid7", "barred:0123456789abcdef")],
    )
    assert {shard_of("psid7", 16): unit} == split(unit, 16)


def test_people_spread_over_the_shards() -> None:
    """No shard of four has more than half of forty people."""
    shards = [shard_of(f"app/{name}", 4) for name in NAMES]
    assert 20 > max(shards.count(shard) for shard in range(4))


async def test_unit_over_shards_is_written_whole(store: RedisStore) -> None:
    """Its one answer keeps the order of the unit."""
    entries = [entry(name, lane=name) for name in NAMES]
    await append(store, entries[3])
    answer = await append(store, *entries, lease=Lease(queue="track", seconds=60.0))
    assert tuple(name for name in NAMES if name != NAMES[3]) == answer.appended
    assert (NAMES[3],) == answer.repeated
    assert 39 == len(answer.leased)
    marks = [Mark(lane=name, key=f"k:{name}", value=name.encode()) for name in NAMES]
    await put(store, *marks)
    recalled = await store.recall([(mark.lane, mark.key) for mark in marks])
    assert {f"k:{name}": name.encode() for name in NAMES} == dict(recalled)


async def test_refused_unit_over_shards_writes_nothing(store: RedisStore) -> None:
    """What any shard refuses is in none."""
    first, second = lanes_apart()
    await put(store, Mark(lane=second, key=f"k:{second}", value=b"old"))
    absent = Mark(lane=second, key=f"k:{second}", value=b"new", condition=Condition.IF_ABSENT)
    for appends in ([entry("a", lane=first)], [entry("a", lane=second)]):
        unit = Unit(appends=appends, marks=[Mark(lane=first, key=f"k:{first}", value=b"1"), absent])
        answer = await store.commit(unit)
        assert (CommitVerdict.CONDITION_FAILED, absent.key) == (answer.verdict, answer.failed_key)
    recalled = await store.recall([(first, f"k:{first}"), (second, absent.key)])
    assert ({}, {absent.key: b"old"}) == (await store.stats(), dict(recalled))


async def test_lost_lease_in_one_shard_refuses_the_unit(store: RedisStore) -> None:
    """One settlement out of two that is too late keeps the other claim as it was."""
    first, second = lanes_apart()
    await append(store, entry("a", lane=first), entry("b", lane=second))
    claims = await store.claim("track", 2, 60.0)
    await settle(store, claims[1])
    both = Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE) for claim in claims])
    answer = await store.commit(both)
    assert (CommitVerdict.LEASE_LOST, claims[1].entry.id) == (answer.verdict, answer.failed_key)
    assert CommitVerdict.COMMITTED is (await settle(store, claims[0])).verdict


@pytest.mark.parametrize("limit", [1, 3, 7, 39, 100])
async def test_claim_takes_from_all_shards(store: RedisStore, limit: int) -> None:
    """No more than the limit at once, and all of it after enough claims, however the people are spread."""
    await append(store, *(entry(name, lane=name) for name in NAMES))
    ids: list[str] = []
    while claims := await store.claim("track", limit, 60.0):
        assert len(claims) == min(limit, 40 - len(ids))
        ids += [claim.entry.id for claim in claims]
    assert sorted(NAMES) == sorted(ids)


async def test_listing_counts_and_upkeep_reach_all_shards(store: RedisStore, clock: ManualClock) -> None:
    """Pages follow the order of appending over all shards; forgetting, retrying and purging find each entry."""
    for name in NAMES:
        await append(store, entry(name, lane=name))
    page = await store.browse("track", limit=25)
    page += await store.browse("track", limit=25, after=page[-1].entry.id)
    assert sorted(NAMES) == sorted(row.entry.id for row in page)
    claims = await store.claim("track", 20, 60.0)
    await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DEAD) for claim in claims]))
    dead = [row.entry.id for row in await store.browse("track", state=EntryState.DEAD)]
    assert 5 == await store.retry_dead(dead[:5])
    tombstone = Mark(lane=dead[5], key="barred:x", value=b"1")
    assert 2 == await store.forget(dead[5:7], reason="forgotten", tombstone=tombstone)
    stats = (await store.stats())["track"]
    assert (40, 25, 13, 2) == (stats.accepted, stats.waiting, stats.dead, stats.dropped)
    clock.advance(1.0)
    assert 15 == await store.purge(ended_for_seconds=0.5)
    assert 25 == len(await claimed_ids(store))
    assert {"barred:x": b"1"} == dict(await store.recall([(dead[5], "barred:x")]))


async def test_entry_is_found_in_whichever_shard(store: RedisStore) -> None:
    """An id does not say which one has it, so each is asked."""
    await append(store, *(entry(f"id of {name}", lane=name) for name in NAMES))
    found = [await store.find(f"id of {name}") for name in NAMES]
    assert NAMES == [row.entry.lane for row in found if row is not None]
    assert await store.find("another id") is None


async def test_sweep_after_a_clock_set_back_reaches_all_shards(store: RedisStore, clock: ManualClock) -> None:
    """In each, what waits for a time too far ahead and the leases that end too late are moved."""
    await append(store, *(entry(name, lane=name) for name in NAMES))
    await store.claim("track", 20, 60.0)
    clock.advance(-3600.0)
    await store.sweep({"track": 120.0})
    assert 120.0 == await store.next_due_in("track")
    clock.advance(120.0)
    assert 40 == len(await claimed_ids(store))


async def test_sweep_moves_more_than_one_portion(store: RedisStore, clock: ManualClock) -> None:
    """However many heads are due too late, one call moves them all."""
    await append(store, *(entry(f"{n}", lane=f"{n}", wait_seconds=3600.0) for n in range(2_100)))
    await store.sweep({"track": 120.0})
    clock.advance(120.0)
    assert 2_100 == len(await store.claim("track", 3_000, 60.0))


async def test_number_of_shards_stays(store: RedisStore) -> None:
    """Another number would not find what is there, so it is refused with the right one."""
    await store.open()
    prefix = store.address.prefix
    other = RedisStore(f"unix://{store.address.path}?prefix={prefix}&shards=5")
    with pytest.raises(StoreUnavailable, match="was made with shards=4"):
        await other.open()


async def test_cluster_has_each_persons_keys_in_one_slot() -> None:
    """A server in cluster mode, which refuses a script over two slots, does all that a store does."""
    with LocalValkey(port=None, cluster_enabled=True) as server:
        server.run("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        async with asyncio.timeout(10):
            while b"cluster_state:ok" not in server.run("CLUSTER", "INFO"):
                await asyncio.sleep(0.05)
        store = RedisStore(f"redis://127.0.0.1:{server.server.port}?prefix=test&shards=4")
        try:
            await append(store, *(entry(name, lane=name) for name in NAMES))
            claims = await store.claim("track", 100, 60.0)
            ends = [Settlement(claim=claim, outcome=Outcome.DEAD) for claim in claims[:10]]
            assert CommitVerdict.COMMITTED is (await store.commit(Unit(settlements=ends))).verdict
            assert CommitVerdict.COMMITTED is (await settle(store, claims[10])).verdict
            await store.forget([claims[11].entry.lane], reason="x", tombstone=Mark(lane="1", key="k:1", value=b"1"))
            assert 40 == len(await store.browse("track")) + 1
            server.run("SCRIPT", "FLUSH")
            assert (40, 1) == ((await store.stats())["track"].accepted, len(await store.recall([("1", "k:1")])))
        finally:
            await store.close()
        keys = server.run("KEYS", "*")
        slots: dict[str, set[int]] = {}
        for key in keys:
            (shard,) = re.match(r"\{test:(\d)\}:", key.decode()).groups()  # type: ignore[union-attr]
            slots.setdefault(shard, set()).add(server.run("CLUSTER", "KEYSLOT", key))
    assert (4, {1}) == (len(slots), {len(some) for some in slots.values()})
