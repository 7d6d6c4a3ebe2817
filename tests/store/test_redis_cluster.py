"""A store on a cluster of two servers, and what happens to it while a slot moves from one to the other."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.records import CommitVerdict, EntryState, Mark, Outcome, Settlement, Unit
from kochava_bot_middleware.store.redis.store import RedisStore
from kochava_bot_middleware.store.redis.units import shard_of
from tests.store.harness import TOMBSTONE, append, claim_one, claimed_ids, entry, put, recalled, settle
from tests.store.valkey import LocalValkey

NAMES = [f"user{number}" for number in range(40)]

SLOTS = 16_384


@attrs.frozen(kw_only=True)
class TwoServers:
    """Each has half of the slots."""

    first: LocalValkey
    second: LocalValkey

    def url(self, shards: int) -> str:
        return f"redis://127.0.0.1:{self.first.server.port}?prefix=test&shards={shards}"

    def slot(self, shard: int = 0) -> int:
        """That of a shard."""
        return int(self.first.run("CLUSTER", "KEYSLOT", f"{{test:{shard}}}:meta"))

    def ordered(self) -> tuple[LocalValkey, LocalValkey]:
        """The one that has this slot, and the other."""
        return (self.first, self.second) if self.slot() < SLOTS // 2 else (self.second, self.first)

    def begin_move(self) -> None:
        """From now on both servers answer for the slot, each for the keys that it has."""
        source, target = self.ordered()
        target.run("CLUSTER", "SETSLOT", self.slot(), "IMPORTING", source.run("CLUSTER", "MYID"))
        source.run("CLUSTER", "SETSLOT", self.slot(), "MIGRATING", target.run("CLUSTER", "MYID"))

    def move(self, *names: str) -> None:
        """Move keys; all without a name."""
        source, target = self.ordered()
        for key in [f"{{test:0}}:{name}" for name in names] or source.run("KEYS", "*"):
            source.run("MIGRATE", "127.0.0.1", target.server.port, key, 0, 5_000)

    def end_move(self) -> None:
        source, target = self.ordered()
        for server in (target, source):
            server.run("CLUSTER", "SETSLOT", self.slot(), "NODE", target.run("CLUSTER", "MYID"))


ALONE: dict[str, Any] = {"cluster_require_full_coverage": "no", "cluster_node_timeout": 120_000}
"""What one server has can be used while the other one is away, for longer than any test."""

OPTIONS: dict[str, Any] = {"port": None, "cluster_enabled": True, **ALONE}


async def until_all_is_known(*servers: LocalValkey) -> None:
    """Wait until each of *servers* knows who has which slots."""
    wanted = (b"cluster_state:ok", f"cluster_slots_ok:{SLOTS}\r".encode())
    async with asyncio.timeout(30):
        for server in servers:
            while not all(each in server.run("CLUSTER", "INFO") for each in wanted):
                await asyncio.sleep(0.05)


@pytest.fixture
async def servers() -> AsyncIterator[TwoServers]:
    with LocalValkey(**OPTIONS) as first, LocalValkey(**OPTIONS) as second:
        first.run("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS // 2 - 1)
        second.run("CLUSTER", "ADDSLOTSRANGE", SLOTS // 2, SLOTS - 1)
        first.run("CLUSTER", "MEET", "127.0.0.1", second.server.port)
        await until_all_is_known(first, second)
        yield TwoServers(first=first, second=second)


async def test_shards_are_reached_wherever_they_are(servers: TwoServers) -> None:
    """The address names one server; what another one has is written, claimed, settled, listed and forgotten there."""
    store = RedisStore(servers.url(shards=8))
    try:
        await append(store, *(entry(name, lane=name) for name in NAMES))
        await put(store, *(Mark(lane=name, key=f"k:{name}", value=b"1") for name in NAMES))
        claims = await store.claim("track", 100, 60.0)
        ends = [Settlement(claim=claim, outcome=Outcome.DEAD) for claim in claims[:10]]
        assert CommitVerdict.COMMITTED is (await store.commit(Unit(settlements=ends))).verdict
        assert 30 == len(await store.renew(claims, 60.0))
        assert 10 == await store.retry_dead([claim.entry.id for claim in claims])
        assert 40 == await store.forget(NAMES, reason="forgotten", tombstone=TOMBSTONE)
        assert NAMES == [name for name in NAMES if await store.recall([(name, f"k:{name}")])]
        assert 40 == len(await store.browse("track", state=EntryState.DROPPED))
    finally:
        await store.close()
    assert servers.first.run("DBSIZE") > 0
    assert servers.second.run("DBSIZE") > 0


# The library leaves its connections to a server that does not answer to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_people_of_one_server_do_not_wait_for_another(servers: TwoServers) -> None:
    """While one is stopped, what the other has is committed as ever, and claimed once the timeout is over."""
    bot = RedisStore(f"{servers.url(shards=8)}&timeout_seconds=60")
    worker = RedisStore(f"{servers.url(shards=8)}&timeout_seconds=1")
    at_first = [name for name in NAMES if servers.slot(shard_of(name, 8)) < SLOTS // 2]
    at_second = [name for name in NAMES if name not in at_first]
    process = servers.second.run("INFO", "server")["process_id"]
    try:
        await append(bot, *(entry(name, lane=name) for name in NAMES))
        await worker.open()
        os.kill(process, signal.SIGSTOP)
        unanswered = asyncio.create_task(append(bot, entry("x", lane=at_second[0])))
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            answers = [await append(bot, entry(f"{name} again", lane=name)) for name in at_first]
        assert [(f"{name} again",) for name in at_first] == [answer.appended for answer in answers]
        assert sorted(at_first) == sorted(await claimed_ids(worker))
        with pytest.raises(StoreUnavailable, match="did not answer within 1 s"):
            await worker.claim("track", 100, 60.0)
        os.kill(process, signal.SIGCONT)
        assert ("x",) == (await unanswered).appended
    finally:
        os.kill(process, signal.SIGCONT)
        await bot.close()
        await worker.close()
        gc.collect()


async def test_address_may_name_a_replica_of_the_cluster(servers: TwoServers) -> None:
    """As it does after a fail-over, when the server that it names was the primary."""
    with LocalValkey(**OPTIONS) as replica:
        replica.run("CLUSTER", "MEET", "127.0.0.1", servers.first.server.port)
        await until_all_is_known(replica)
        replica.run("CLUSTER", "REPLICATE", servers.first.run("CLUSTER", "MYID"))
        async with asyncio.timeout(20):
            while replica.run("ROLE")[0] != b"slave" or replica.run("ROLE")[3] != b"connected":
                await asyncio.sleep(0.05)
        store = RedisStore(servers.url(shards=8).replace(str(servers.first.server.port), str(replica.server.port)))
        try:
            await append(store, *(entry(each, lane=each) for each in NAMES))
            assert 40 == len(await claimed_ids(store))
        finally:
            await store.close()


async def test_slot_that_moved_is_found(servers: TwoServers) -> None:
    """A store that is open follows its keys to their new server."""
    store = RedisStore(servers.url(shards=1))
    try:
        await append(store, entry("a"), entry("b"))
        claim = await claim_one(store)
        servers.begin_move()
        servers.move()
        servers.end_move()
        assert CommitVerdict.COMMITTED is (await settle(store, claim)).verdict
        assert ["b"] == await claimed_ids(store)
    finally:
        await store.close()


@pytest.mark.parametrize(
    "gone_ahead",
    [["meta"], ["meta", *(f"2:{name}" for name in ("counts", "rows", "ids", "lanes", "next"))], ["2:rows"]],
)
async def test_nothing_is_done_with_half_of_the_keys(servers: TwoServers, gone_ahead: list[str]) -> None:
    """While a slot is on both servers, neither is taken for the whole: no mark seems absent, and no lane empty."""
    store = RedisStore(servers.url(shards=1))
    try:
        await append(store, entry("a"), entry("b"))
        await put(store, TOMBSTONE)
        claim = await claim_one(store)
        servers.begin_move()
        servers.move(*gone_ahead)
        questions = [
            append(store, entry("c")),
            settle(store, claim),
            recalled(store, TOMBSTONE.key),
            store.stats(),
        ]
        for question in questions:
            with pytest.raises(StoreUnavailable):
                await question
        servers.move()
        servers.end_move()
        assert {TOMBSTONE.key: b"1"} == await recalled(store, TOMBSTONE.key)
        assert ("c",) == (await append(store, entry("c"))).appended
        assert CommitVerdict.COMMITTED is (await settle(store, claim)).verdict
        stats = (await store.stats())["track"]
        assert (3, 2, 1) == (stats.accepted, stats.waiting, stats.done)
        assert ["b"] == await claimed_ids(store)
    finally:
        await store.close()
