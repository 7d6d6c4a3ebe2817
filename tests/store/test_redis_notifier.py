"""How processes that share a server notify each other."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from kochava_bot_middleware.store.notify import NOTIFY_SECONDS
from kochava_bot_middleware.store.records import Lease, Outcome
from kochava_bot_middleware.store.redis.address import parse_redis_address
from kochava_bot_middleware.store.redis.client import LONGEST_ARGUMENT, Client, Command, ServerClient
from kochava_bot_middleware.store.redis.notifier import RedisNotifier, channel_of
from kochava_bot_middleware.store.redis.store import RedisStore
from tests.store.harness import append, claim_one, entry, settle
from tests.store.valkey import LocalValkey, fresh_url

CHANNEL = "test:0:due"
TRACK = Lease(queue="track", seconds=60.0)


@pytest.fixture
def valkey() -> Iterator[LocalValkey]:
    with LocalValkey() as server:
        yield server


NewStore = Callable[[str], RedisStore]


@pytest.fixture
async def new_store(valkey: LocalValkey) -> AsyncIterator[NewStore]:
    """Makes stores, as other processes have them."""
    stores: list[RedisStore] = []

    def make(url: str) -> RedisStore:
        stores.append(RedisStore(url))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


async def listens(store: RedisStore) -> asyncio.Event:
    """An event that is set when *store* is woken."""
    woken = asyncio.Event()
    store.on_append(woken.set)
    assert await store.listening()
    woken.clear()
    return woken


async def is_woken(woken: asyncio.Event) -> bool:
    await asyncio.wait_for(woken.wait(), 30)
    woken.clear()
    return True


def published(valkey: LocalValkey) -> int:
    """How often something was published on the server."""
    stats = valkey.run("INFO", "commandstats")
    return int(stats.get("cmdstat_publish", {"calls": 0})["calls"])


def publish_refusals(valkey: LocalValkey) -> int:
    """How often publishing was not permitted."""
    stats = valkey.run("INFO", "commandstats")
    return int(stats.get("cmdstat_publish", {"rejected_calls": 0})["rejected_calls"])


def is_connected(valkey: LocalValkey) -> bool:
    return b"name=kochava-bot" in valkey.run("CLIENT", "LIST")


def listeners(valkey: LocalValkey) -> int:
    return int(valkey.run("PUBSUB", "NUMSUB", CHANNEL)[1])


async def test_append_wakes_other_stores(valkey: LocalValkey, new_store: NewStore) -> None:
    """No store here looks by itself, so only the notice can have done it."""
    worker, other, bot = (new_store(valkey.url()) for _ in range(3))
    woken, woken_too = await listens(worker), await listens(other)
    await append(bot, entry("a"))
    assert await is_woken(woken)
    assert await is_woken(woken_too)
    assert "a" == (await claim_one(worker)).entry.id


async def test_callback_given_before_the_first_use_is_called(valkey: LocalValkey, new_store: NewStore) -> None:
    """As a worker does that starts while the server is away."""
    worker, bot = new_store(valkey.url()), new_store(valkey.url())
    woken = asyncio.Event()
    worker.on_append(woken.set)
    assert [] == await worker.claim("track", 1, 60.0)
    assert await worker.listening()
    woken.clear()
    await append(bot, entry("a"))
    assert await is_woken(woken)


async def test_what_a_process_leased_itself_is_not_published(valkey: LocalValkey, new_store: NewStore) -> None:
    """As a webhook's event, which is handled where it was stored."""
    store = new_store(valkey.url())
    (claim,) = (await append(store, entry("a"), lease=TRACK)).leased
    await settle(store, claim)
    await store.close()
    assert 0 == published(valkey)


async def test_what_is_given_back_or_retried_wakes(valkey: LocalValkey, new_store: NewStore) -> None:
    """A released claim, and a dead entry put back."""
    worker, bot = new_store(valkey.url()), new_store(valkey.url())
    woken = await listens(worker)
    (first,) = (await append(bot, entry("a"), lease=TRACK)).leased
    await settle(bot, first, Outcome.RELEASE)
    assert await is_woken(woken)
    await settle(bot, await claim_one(bot), Outcome.DEAD)
    assert 1 == await bot.retry_dead(["a"])
    assert await is_woken(woken)


async def test_own_notice_calls_no_callback(valkey: LocalValkey) -> None:
    """A process knows what it commits; those of others call it."""
    client = ServerClient(parse_redis_address(valkey.url()))
    notifier = RedisNotifier(client, parse_redis_address(valkey.url()), name="a")
    calls: list[str] = []
    woken = asyncio.Event()
    notifier.on_append(lambda: calls.append("called"))
    notifier.on_append(woken.set)
    assert await notifier.listening()
    calls.clear()
    woken.clear()
    # A subscriber gets them in this order.
    assert [1, 1] == await client.send([("PUBLISH", CHANNEL, b"a"), ("PUBLISH", CHANNEL, b"b")])
    assert await is_woken(woken)
    assert ["called"] == calls
    await notifier.close()
    await client.close()


async def test_many_appends_are_few_notices(valkey: LocalValkey) -> None:
    """However quick the server, there is a pause between two."""
    address = parse_redis_address(valkey.url())
    client = ServerClient(address)
    notifier = RedisNotifier(client, address, name="a")
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(100):
        notifier.throttle.notify()
        await client.send([("PING",)])
    most = (loop.time() - began) / NOTIFY_SECONDS + 2
    await notifier.close()
    await client.close()
    assert 2 <= published(valkey) <= most


class LosesOne:
    """A connection that breaks once, before the server gets what is sent."""

    is_cluster = False
    longest_argument = LONGEST_ARGUMENT

    def __init__(self, client: Client) -> None:
        self._client = client
        self._breaks = True

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        if not self._breaks:
            return await self._client.send(commands)
        self._breaks = False
        return [RedisConnectionError("reset by peer")] * len(commands)

    async def close(self) -> None:
        await self._client.close()


async def test_notice_lost_with_its_connection_is_sent_again(valkey: LocalValkey) -> None:
    """By a new connection, as the commit before it."""
    address = parse_redis_address(valkey.url())
    client = LosesOne(ServerClient(address))
    notifier = RedisNotifier(client, address, name="a")
    notifier.throttle.notify()
    await notifier.close()
    await client.close()
    assert 1 == published(valkey)


async def test_last_append_is_noticed(valkey: LocalValkey, new_store: NewStore) -> None:
    """However many come close together, there is a notice after the last."""
    worker, bot = new_store(valkey.url()), new_store(valkey.url())
    woken = await listens(worker)
    await asyncio.gather(*(append(bot, entry(f"{n}", lane=f"{n}")) for n in range(200)))
    claimed = 0
    while claimed < 200:
        assert await is_woken(woken)
        claimed += len(await worker.claim("track", 200, 60.0))
    assert 200 == claimed


async def test_store_listens_again_after_a_restart_of_the_server(valkey: LocalValkey, new_store: NewStore) -> None:
    """It subscribes anew by itself, and its callbacks are called then, since notices may have been missed."""
    worker, bot = new_store(valkey.url()), new_store(valkey.url())
    woken = await listens(worker)
    await append(bot, entry("a"))
    assert await is_woken(woken)
    valkey.kill()
    valkey.start()
    assert await is_woken(woken)
    assert await worker.listening()
    await append(bot, entry("b"))
    assert await is_woken(woken)


async def test_server_that_went_silent_is_noticed(valkey: LocalValkey) -> None:
    """After a quiet while it is asked; without an answer the connection is given up, and made anew once it answers."""
    address = parse_redis_address(valkey.url("&timeout_seconds=1"))
    client = ServerClient(address)
    notifier = RedisNotifier(client, address, name="a", quiet_seconds=0.01)
    woken = asyncio.Event()
    notifier.on_append(woken.set)
    assert await notifier.listening()
    async with asyncio.timeout(20):
        while valkey.run("INFO", "commandstats").get("cmdstat_ping", {"calls": 0})["calls"] < 3:
            await asyncio.sleep(0.01)
    assert await notifier.listening()
    process_id = valkey.run("INFO", "server")["process_id"]
    os.kill(process_id, signal.SIGSTOP)
    try:
        async with asyncio.timeout(20):
            while await notifier.listening():
                await asyncio.sleep(0.01)
    finally:
        woken.clear()
        os.kill(process_id, signal.SIGCONT)
    assert await is_woken(woken)
    assert await notifier.listening()
    await notifier.close()
    await client.close()


async def test_user_without_the_channel_goes_without_notices(
    valkey: LocalValkey, new_store: NewStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Commits and claims go on; each side has one line in the log, and is not tried at each commit."""
    caplog.set_level(logging.INFO)
    valkey.run("ACL", "SETUSER", "bot", "on", ">secret", "~{test:*", "+@all", "resetchannels")
    url = f"unix://bot:secret@{valkey.socket}?prefix=test"
    worker, bot = new_store(url), new_store(url)
    worker.on_append(lambda: None)
    assert not await worker.listening()
    for number in range(3):
        await append(bot, entry(f"{number}", lane=f"{number}"))
        async with asyncio.timeout(20):
            while not publish_refusals(valkey):
                await asyncio.sleep(0.01)
    await bot.close()
    assert 3 == len(await worker.claim("track", 9, 60.0))
    wanted = [f"wake_ups_refused {CHANNEL} PUBLISH is not permitted", f"wake_ups_unheard {CHANNEL} NoPermissionError"]
    assert wanted == sorted(line for line in caplog.messages if "wake_ups" in line)
    assert 1 == publish_refusals(valkey)


async def test_user_with_the_channel_is_woken(valkey: LocalValkey, new_store: NewStore) -> None:
    """The right that the documentation names is enough."""
    valkey.run("ACL", "SETUSER", "bot", "on", ">secret", "~{test:*", "&test:*", "+@all")
    url = f"unix://bot:secret@{valkey.socket}?prefix=test"
    worker, bot = new_store(url), new_store(url)
    woken = await listens(worker)
    await append(bot, entry("a"))
    assert await is_woken(woken)


async def test_closing_leaves_no_connection(valkey: LocalValkey, new_store: NewStore) -> None:
    """Neither the one that listened nor another."""
    worker = new_store(valkey.url())
    await listens(worker)
    assert (1, True) == (listeners(valkey), is_connected(valkey))
    await worker.close()
    async with asyncio.timeout(20):
        while is_connected(valkey):
            await asyncio.sleep(0.01)
    assert 0 == listeners(valkey)


@pytest.mark.parametrize("turns", range(12))
async def test_closing_ends_while_a_connection_is_being_made(turns: int) -> None:
    """Whatever step of it the closing meets, some of which the library goes on from when it is cancelled."""
    store = RedisStore(fresh_url())
    await store.open()
    store.on_append(lambda: None)
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await store.close()
    assert {asyncio.current_task()} == asyncio.all_tasks()


def test_each_store_has_a_channel_of_its_own() -> None:
    """Prefixes tell stores apart, and so do databases, whose channels are common."""
    addresses = [parse_redis_address(url) for url in (fresh_url(), fresh_url(), fresh_url("&db=1"))]
    assert 3 == len({channel_of(address) for address in addresses})


async def test_cluster_hands_notices_on() -> None:
    """Whatever the shard of what was appended."""
    with LocalValkey(port=None, cluster_enabled=True) as server:
        server.run("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        async with asyncio.timeout(20):
            while b"cluster_state:ok" not in server.run("CLUSTER", "INFO"):
                await asyncio.sleep(0.05)
        url = f"redis://127.0.0.1:{server.server.port}?prefix=test&shards=4"
        worker, bot = RedisStore(url), RedisStore(url)
        try:
            woken = await listens(worker)
            for name in "abcdefgh":
                await append(bot, entry(name, lane=name))
                assert await is_woken(woken)
                assert name == (await claim_one(worker)).entry.id
        finally:
            await worker.close()
            await bot.close()
