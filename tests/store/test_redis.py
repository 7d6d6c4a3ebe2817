"""What only the Redis store promises: addresses, sharing, round trips and the server's clock."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from kochava_bot_middleware.clock import SystemClock
from kochava_bot_middleware.exceptions import SettingsError, StoreUnavailable
from kochava_bot_middleware.store.address import open_store
from kochava_bot_middleware.store.records import EntryState
from kochava_bot_middleware.store.redis.address import RedisAddress, parse_redis_address
from kochava_bot_middleware.store.redis.client import LONGEST_ARGUMENT, Client, Command, connect
from kochava_bot_middleware.store.redis.store import RedisStore
from tests.store.harness import append, entry, settle
from tests.store.valkey import fresh_url, shared_valkey


@pytest.fixture
def url() -> str:
    return fresh_url()


@pytest.fixture
async def store(url: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(url)
    await store.open()
    yield store
    await store.close()


class Counting:
    """Counts the round trips of commits."""

    is_cluster = False
    longest_argument = LONGEST_ARGUMENT

    def __init__(self, client: Client) -> None:
        self._client = client
        self.round_trips = 0

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        self.round_trips += any(command[0] == "EVALSHA" for command in commands)
        return await self._client.send(commands)

    async def close(self) -> None:
        await self._client.close()


def test_address_is_read_whole() -> None:
    """User, password and path are percent-decoded, and the options are the store's own."""
    address = parse_redis_address("rediss://bot:p%40ss@db.example:6380/3?prefix=shop&shards=16&timeout_seconds=2")
    assert (
        RedisAddress(
            scheme="rediss",
            host="db.example",
            port=6380,
            database=3,
            username="bot",
            password="p@ss",
            prefix="shop",
            shards=16,
            timeout_seconds=2,
        )
        == address
    )


def test_ipv6_address_is_shown_in_brackets() -> None:
    """As it was written."""
    assert "redis://[::1]:6380/0" == str(parse_redis_address("redis://user:secret@[::1]:6380/0"))


@pytest.mark.parametrize("url", ["redis://db/1", "rediss://db", "unix:///run/valkey.sock?db=2"])
def test_addresses_open_a_redis_store(url: str) -> None:
    """Nothing is touched before the first call."""
    assert isinstance(open_store(url), RedisStore)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://:hunter2@db:70000", "wanted a port between 1 and 65535"),
        ("redis://:hunter2@db:0", "wanted a port between 1 and 65535"),
        ("redis://:hunter2/x@db", "percent-encoded as .*%2F"),
        ("redis://:12/hunter2@db", "percent-encoded as .*%2F"),
        ("redis://:12?hunter2@db", "percent-encoded as .*%3F"),
        ("redis://:12?db=hunter2@db", "percent-encoded as .*%3F"),
        ("redis://:12#hunter2@db", "percent-encoded as %23"),
        ("redis://:12@hunter2@db", "percent-encoded as %40"),
        ("redis://:12%hunter2@db", "percent-encoded as %25"),
        ("redis://:[hunter2@db", "percent-encoded .*%5B"),
        ("redis://db/0#1", "percent-encoded as %23"),
        ("unix:///run/valkey@1.sock", "percent-encoded as %40"),
        ("redis://db/x", "the number of a database"),
        ("redis://db?shard=2", "only the options prefix, shards.*got shard"),
        ("redis://db?shards=0", "shards to be a number from 1"),
        ("redis://db?durability=yes", "durability to be one of checked, fsync, server"),
        ("redis://db?prefix={a}", "prefix of letters"),
        ("unix://", "no path"),
        ("unix://run/valkey.sock", "got a host"),
    ],
)
def test_wrong_address_says_what_is_wanted(url: str, message: str) -> None:
    """The error names what would be accepted, and no part that may be a password."""
    with pytest.raises(SettingsError, match=message) as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)


def test_missing_library_is_named() -> None:
    """Without redis-py the address is refused with the command that installs it; nothing else needs the library."""
    program = """if True:
        import sys
        sys.modules["redis"] = None
        from kochava_bot_middleware.store.address import open_store
        open_store("memory://")
        open_store("redis://db")
        """
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'kochava-bot-middleware[redis]'" in ran.stderr.splitlines()[-1]


async def test_two_clients_never_share_a_head(store: RedisStore, url: str) -> None:
    """Clients that claim at the same time get each head once, and go on until all is claimed."""
    await append(store, *(entry(str(n), lane=str(n)) for n in range(200)))
    other = RedisStore(url)
    answers = await asyncio.gather(*(each.claim("track", 7, 60.0) for _ in range(20) for each in (store, other)))
    await other.close()
    claims = [claim for answer in answers for claim in answer]
    assert sorted(map(str, range(200))) == sorted(claim.entry.id for claim in claims)
    assert 200 == len({claim.token for claim in claims})


async def test_commits_that_wait_go_in_one_round_trip(url: str) -> None:
    """A hundred callers at once are one round trip, and each gets its own answer."""
    clients: list[Counting] = []

    async def counting(address: RedisAddress) -> Counting:
        clients.append(Counting(await connect(address)))
        return clients[0]

    store = RedisStore(url, connect=counting)
    await append(store, entry("warm"))
    before = clients[0].round_trips
    answers = await asyncio.gather(*(append(store, entry(str(n), lane=str(n))) for n in range(100)))
    assert [(str(n),) for n in range(100)] == [answer.appended for answer in answers]
    assert 1 == clients[0].round_trips - before
    await store.close()


async def test_unit_that_cannot_be_written_fails_alone(store: RedisStore) -> None:
    """A text that is no Unicode is its caller's fault; those who wait with it are served."""
    bad, good = await asyncio.gather(
        append(store, entry("\ud800")), append(store, entry("good")), return_exceptions=True
    )
    assert (True, False) == (isinstance(bad, Exception), isinstance(good, BaseException))
    assert 1 == (await store.stats())["track"].accepted


@pytest.mark.parametrize("clock", [None, SystemClock()])
async def test_time_is_the_servers(clock: SystemClock | None) -> None:
    """Machines differ, so leases go by the one clock that all share."""
    store = RedisStore(fresh_url(), clock=clock)
    await append(store, entry("a"))
    before = _server_time()
    await store.claim("track", 1, 60.0)
    after = _server_time()
    (row,) = await store.browse("track")
    await store.close()
    assert row.due_at is not None
    assert before <= row.due_at - 60.0 <= after


async def test_nothing_is_left_of_a_handled_body(store: RedisStore, url: str) -> None:
    """Once it is settled as done no key of the server holds what a person wrote, though its row is there."""
    await append(store, entry("a", body=b"a private word"))
    (claim,) = await store.claim("track", 1, 60.0)
    await settle(store, claim)
    valkey = shared_valkey()
    keys = valkey.run("KEYS", f"{{{store.address.prefix}:*")
    dumped = b"".join(valkey.run("DUMP", key) for key in keys)
    assert b"a private word" not in dumped
    assert f"{{{store.address.prefix}:0}}:2:rows".encode() in keys


async def test_listing_reads_on_past_what_does_not_match(store: RedisStore) -> None:
    """One dead entry among more than one portion of waiting ones is found, and a page is full where it can be."""
    await append(store, *(entry(str(n), lane="same" if n < 700 else str(n)) for n in range(1_200)))
    waiting = await store.browse("track", state=EntryState.WAITING, limit=1_100)
    assert [str(n) for n in range(1_100)] == [row.entry.id for row in waiting]
    lane = await store.browse("track", lane="same", after="99", limit=550)
    assert [str(n) for n in range(100, 650)] == [row.entry.id for row in lane]


async def test_closing_finishes_what_was_begun(url: str) -> None:
    """A commit handed over before `close` is written and answered."""
    store = RedisStore(url)
    await store.open()
    commit = asyncio.create_task(append(store, entry("a")))
    await asyncio.sleep(0)
    await store.close()
    assert ("a",) == (await commit).appended
    with pytest.raises(StoreUnavailable, match="closed"):
        await append(store, entry("b"))


async def test_store_closed_while_it_opens_leaves_nothing(url: str) -> None:
    """Its connection and what listens end with it, though the call that opened it was first."""
    store = RedisStore(url)
    store.on_append(lambda: None)
    appending = asyncio.create_task(append(store, entry("a")))
    await asyncio.sleep(0)
    await store.close()
    assert ("a",) == (await appending).appended
    assert {asyncio.current_task()} == asyncio.all_tasks()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_forked_child_opens_its_own(url: str) -> None:
    """A child, and a later event loop, have connections of their own."""
    store = RedisStore(url)

    async def add(name: str) -> None:
        await append(store, entry(name))

    asyncio.run(add("before"))
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(asyncio.wait_for(add("child"), 10))
            os._exit(0)
        finally:
            os._exit(1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    async def look() -> list[str]:
        await add("after")
        rows = await store.browse("track")
        await store.close()
        return [row.entry.id for row in rows]

    assert ["before", "child", "after"] == asyncio.run(look())


def _server_time() -> float:
    seconds, microseconds = shared_valkey().run("TIME")
    return float(seconds) + float(microseconds) / 1_000_000
