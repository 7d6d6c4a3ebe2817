"""A primary that dies or is demoted, and the replica that takes its place behind the same address."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.records import CommitVerdict, Condition, Mark
from kochava_bot_middleware.store.redis.store import RedisStore
from tests.store.forwarder import Forwarder, forwarder
from tests.store.harness import append, claim_one, claimed_ids, entry, put, recalled, settle
from tests.store.valkey import LocalValkey


@pytest.fixture
def primary() -> Iterator[LocalValkey]:
    with LocalValkey(port=None, repl_diskless_sync_delay=0) as server:
        yield server


@pytest.fixture
def replica(primary: LocalValkey) -> Iterator[LocalValkey]:
    with LocalValkey(port=None) as server:
        follow(server, primary)
        yield server


@pytest.fixture
async def address(primary: LocalValkey) -> AsyncIterator[Forwarder]:
    async with forwarder(primary.server.port) as made:
        yield made


@pytest.fixture
async def store(address: Forwarder) -> AsyncIterator[RedisStore]:
    store = RedisStore(f"redis://127.0.0.1:{address.port}?prefix=test&timeout_seconds=20")
    yield store
    await store.close()


def follow(server: LocalValkey, leader: LocalValkey) -> None:
    """Make it a replica."""
    server.run("REPLICAOF", "127.0.0.1", leader.server.port)


def caught_up(leader: LocalValkey) -> bool:
    """Wait until its replica has all that it has."""
    # WAIT counts the writes of its own connection.
    with leader.server.client() as client:
        client.execute_command("SET", "probe", 1)
        return bool(client.execute_command("WAIT", 1, 20_000))


def promote(server: LocalValkey, address: Forwarder) -> None:
    server.run("REPLICAOF", "NO", "ONE")
    address.target = server.server.port


async def test_a_promoted_replica_goes_on_where_the_dead_primary_ended(
    primary: LocalValkey, replica: LocalValkey, address: Forwarder, store: RedisStore
) -> None:
    """The same store connects anew: what was replicated is served, leases, marks and remembered ids included."""
    await append(store, entry("a"), entry("b"), entry("c", lane="bob"))
    held = await claim_one(store)
    await put(store, Mark(lane="ann", key="k", value=b"1"))
    before = await store.stats()
    assert caught_up(primary)
    primary.kill()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await append(store, entry("d"))

    promote(replica, address)

    assert before == await store.stats()
    assert {"k": b"1"} == await recalled(store, "k")
    assert ((), CommitVerdict.COMMITTED) == (
        (await append(store, entry("a"))).appended,
        (await settle(store, held)).verdict,
    )
    assert {"b", "c"} == set(await claimed_ids(store))


async def test_a_demoted_primary_is_left_for_the_new_one(
    primary: LocalValkey, replica: LocalValkey, address: Forwarder, store: RedisStore
) -> None:
    """It keeps the connection and refuses to write; callers do not notice."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    assert caught_up(primary)
    promote(replica, address)
    follow(primary, replica)

    assert ("b",) == (await append(store, entry("b"))).appended
    assert CommitVerdict.COMMITTED is (await settle(store, claim)).verdict
    assert ["b"] == await claimed_ids(store)
    assert 2 == (await store.stats())["track"].accepted


async def test_calls_fail_while_there_is_no_new_primary(
    primary: LocalValkey, replica: LocalValkey, address: Forwarder, store: RedisStore
) -> None:
    """The store is unavailable until there is one; then it goes on by itself."""
    await append(store, entry("a"))
    assert caught_up(primary)
    follow(primary, replica)
    with pytest.raises(StoreUnavailable, match="is a replica now; name the primary"):
        await append(store, entry("b"))
    with pytest.raises(StoreUnavailable, match="is a replica now; name the primary"):
        await store.claim("track", 1, 60.0)

    promote(replica, address)

    assert (("b",), ["a"]) == ((await append(store, entry("b"))).appended, await claimed_ids(store))


async def test_a_condition_holds_across_the_failover(
    primary: LocalValkey, replica: LocalValkey, address: Forwarder, store: RedisStore
) -> None:
    """What was put once is not put again by the repetition on the new primary."""
    await put(store, Mark(lane="ann", key="k", value=b"1"))
    assert caught_up(primary)
    promote(replica, address)
    follow(primary, replica)
    again = await put(store, Mark(lane="ann", key="k", value=b"2", condition=Condition.IF_ABSENT))
    assert (CommitVerdict.CONDITION_FAILED, {"k": b"1"}) == (again.verdict, await recalled(store, "k"))
