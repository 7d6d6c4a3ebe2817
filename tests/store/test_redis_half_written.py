"""A server takes nothing back of a script that stops in the middle: what would stop it is found before it writes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from kochava_bot_middleware.exceptions import StoreUnusable
from kochava_bot_middleware.store.redis.store import RedisStore
from tests.store.harness import append, claim_one, claimed_ids, entry, settle
from tests.store.valkey import LocalValkey


@pytest.fixture(scope="module")
def valkey() -> Iterator[LocalValkey]:
    with LocalValkey() as server:
        yield server


@pytest.fixture
async def store(valkey: LocalValkey) -> AsyncIterator[RedisStore]:
    """Of a user who may do all."""
    valkey.run("FLUSHALL")
    valkey.run("ACL", "SETUSER", "bot", "reset", "on", ">secret", "~{test:*", "&test:*", "+@all")
    store = RedisStore(valkey.url().replace("unix://", "unix://bot:secret@"))
    await store.open()
    yield store
    await store.close()


@pytest.mark.parametrize(
    "command",
    ["zadd", "zrem", "hset", "hdel", "hget", "hincrby", "set", "expire", "type", "zrangebylex", "zcount", "eval"],
)
async def test_user_without_a_command_is_refused_by_name(valkey: LocalValkey, store: RedisStore, command: str) -> None:
    """What the user may not do is said when the store is opened, whichever script needs it."""
    valkey.run("ACL", "SETUSER", "bot", f"-{command}")
    await store.close()
    with pytest.raises(StoreUnusable, match=rf"\+@all on all keys beginning with {{test .*(?i:{command})"):
        await store.open()


async def test_user_without_the_keys_of_a_shard_is_refused(valkey: LocalValkey, store: RedisStore) -> None:
    """Each shard has keys of its own, and of a cluster perhaps a server of its own."""
    valkey.run("FLUSHALL")
    valkey.run("ACL", "SETUSER", "bot", "resetkeys", "~{test:0}:*")
    sharded = RedisStore(f"unix://bot:secret@{valkey.socket}?prefix=test&shards=3")
    with pytest.raises(StoreUnusable, match="all keys beginning with"):
        await sharded.open()
    await sharded.close()


@pytest.mark.parametrize("command", ["zadd", "hincrby", "set", "hset"])
async def test_append_refused_for_a_right_is_new_when_it_is_repeated(
    valkey: LocalValkey, store: RedisStore, command: str
) -> None:
    """The right is taken away while the store is open; a repetition fails as the first time, until it is given back."""
    valkey.run("ACL", "SETUSER", "bot", f"-{command}")
    for _ in range(2):
        with pytest.raises(StoreUnusable, match=command.upper()):
            await append(store, entry("a"))
    valkey.run("ACL", "SETUSER", "bot", f"+{command}")
    assert ("a",) == (await append(store, entry("a"))).appended
    assert ["a"] == await claimed_ids(store)


@pytest.mark.parametrize("command", ["zadd", "hset"])
async def test_claim_refused_for_a_right_is_made_later(valkey: LocalValkey, store: RedisStore, command: str) -> None:
    """It is not taken out of what can be claimed."""
    await append(store, entry("a"))
    valkey.run("ACL", "SETUSER", "bot", f"-{command}")
    with pytest.raises(StoreUnusable):
        await store.claim("track", 1, 60.0)
    valkey.run("ACL", "SETUSER", "bot", f"+{command}")
    assert ["a"] == await claimed_ids(store)


@pytest.mark.parametrize("command", ["zrem", "hdel", "zadd"])
async def test_settlement_refused_for_a_right_is_made_later(
    valkey: LocalValkey, store: RedisStore, command: str
) -> None:
    """The claim is still its owner's, and what is behind it in its lane comes next."""
    await append(store, entry("a"), entry("b"))
    claim = await claim_one(store)
    valkey.run("ACL", "SETUSER", "bot", f"-{command}")
    with pytest.raises(StoreUnusable):
        await settle(store, claim)
    valkey.run("ACL", "SETUSER", "bot", f"+{command}")
    await settle(store, claim)
    assert ["b"] == await claimed_ids(store)


@pytest.mark.parametrize("name", ["ready:track", "order:track", "ids", "lanes", "counts", "marks_until"])
async def test_append_refused_for_a_foreign_key_is_new_when_it_is_repeated(
    valkey: LocalValkey, store: RedisStore, name: str
) -> None:
    """Another program put a text where the store has something else."""
    valkey.run("SET", f"{{test:0}}:2:{name}", "theirs")
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="keys of another program"):
            await append(store, entry("a"))
    valkey.run("DEL", f"{{test:0}}:2:{name}")
    assert ("a",) == (await append(store, entry("a"))).appended
    assert ["a"] == await claimed_ids(store)
