"""What a server must be like, and what happens when it goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from kochava_bot_middleware.exceptions import SchemaTooNew, StoreUnavailable
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
from kochava_bot_middleware.store.redis.address import RedisAddress
from kochava_bot_middleware.store.redis.client import LONGEST_ARGUMENT, Client, Command, connect
from kochava_bot_middleware.store.redis.store import RedisStore
from tests.store.harness import append, claim_one, claimed_ids, entry, put, recalled, settle
from tests.store.valkey import LocalValkey, fresh_url, shared_valkey

TRACK = Lease(queue="track", seconds=60.0)


@pytest.fixture
def valkey() -> Iterator[LocalValkey]:
    with LocalValkey() as server:
        yield server


class LosesAnswers:
    """A connection that breaks once when it is due to, after the server has done what it was asked."""

    is_cluster = False
    longest_argument = LONGEST_ARGUMENT

    def __init__(self, client: Client) -> None:
        self._client = client
        self.is_due = False

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        answers = await self._client.send(commands)
        if not self.is_due:
            return answers
        self.is_due = False
        return [RedisConnectionError("reset by peer")] * len(commands)

    async def close(self) -> None:
        await self._client.close()


async def open_message(url: str) -> str:
    store = RedisStore(url)
    try:
        await store.open()
    except StoreUnavailable as exc:
        return str(exc)
    finally:
        await store.close()
    return "opened"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"appendonly": False}, "set appendonly yes"),
        ({"appendfsync": "no"}, "set appendfsync everysec or always"),
        ({"maxmemory": "100mb", "maxmemory_policy": "allkeys-lru"}, "maxmemory-policy allkeys-lru.*noeviction"),
    ],
)
async def test_server_that_loses_data_is_refused(config: dict[str, Any], message: str) -> None:
    """The error says which setting loses data and how to fix it; `durability=server` takes the server as it is."""
    with LocalValkey(**config) as server:
        with pytest.raises(StoreUnavailable, match=f"{message}.*durability=server"):
            await RedisStore(server.url()).open()
        assert "opened" == await open_message(server.url("&durability=server"))


@pytest.mark.parametrize(
    "config", [{}, {"appendfsync": "always"}, {"maxmemory": "100mb"}, {"maxmemory_policy": "allkeys-lru"}]
)
async def test_server_that_keeps_data_is_accepted(config: dict[str, Any]) -> None:
    """A policy matters only where there is a limit, and its default throws nothing away."""
    with LocalValkey(**config) as server:
        assert "opened" == await open_message(server.url())


@pytest.mark.parametrize(("appendonly", "message"), [("yes", "opened"), ("no", "set appendonly yes")])
async def test_where_config_is_forbidden_info_is_read(valkey: LocalValkey, appendonly: str, message: str) -> None:
    """A hosted server keeps its configuration to itself."""
    valkey.run("CONFIG", "SET", "appendonly", appendonly)
    valkey.run("ACL", "SETUSER", "bot", "on", ">secret", "~{test:*", "+@all", "-config")
    assert message in await open_message(f"unix://bot:secret@{valkey.socket}?prefix=test")


@pytest.mark.parametrize(
    ("config", "options", "warnings"),
    [("-config", "", 1), ("-config", "&durability=server", 0), ("-config", "&durability=fsync", 0), ("+config", "", 0)],
)
async def test_unknown_appendfsync_is_a_warning(
    valkey: LocalValkey, caplog: pytest.LogCaptureFixture, config: str, options: str, warnings: int
) -> None:
    """It names the setting that trusts the server; without a password. With `fsync` each commit waits for the disk."""
    valkey.run("ACL", "SETUSER", "bot", "on", ">secret", "~{test:*", "&*", "+@all", config)
    assert "opened" == await open_message(f"unix://bot:secret@{valkey.socket}?prefix=test{options}")
    assert warnings == caplog.text.count("appendfsync_unknown")
    assert warnings == caplog.text.count("add ?durability=server to the address")
    assert "secret" not in caplog.text


async def test_server_that_reports_nothing_is_refused(valkey: LocalValkey) -> None:
    """Its settings cannot be checked."""
    valkey.run("ACL", "SETUSER", "bot", "on", ">secret", "~{test:*", "+@all", "-config", "-info")
    url = f"unix://bot:secret@{valkey.socket}?prefix=test"
    assert "permit CONFIG GET or INFO" in await open_message(url)
    assert "opened" == await open_message(url + "&durability=server")


async def test_wrong_password_is_never_printed(valkey: LocalValkey) -> None:
    """Neither the error nor a representation of the store or its address shows the password."""
    valkey.run("CONFIG", "SET", "requirepass", "right")
    url = f"unix://:hunter2@{valkey.socket}?prefix=test"
    message = await open_message(url)
    assert "does not accept this user and password" in message
    store = RedisStore(url)
    assert [] == [text for text in (message, repr(store), repr(store.address), str(store.address)) if "hunter2" in text]


async def test_any_password_can_be_percent_encoded(valkey: LocalValkey) -> None:
    """What an error asks for is understood."""
    password = "a#b/c?d@e%f:[g"
    valkey.run("CONFIG", "SET", "requirepass", password)
    assert "opened" == await open_message(f"unix://:{quote(password, safe='')}@{valkey.socket}?prefix=test")


async def test_missing_password_is_reported(valkey: LocalValkey) -> None:
    """An address without the password that the server wants is refused for that."""
    valkey.run("CONFIG", "SET", "requirepass", "right")
    assert "does not accept this user and password" in await open_message(valkey.url())


async def test_server_that_is_not_there_is_named() -> None:
    """The error says which address was tried."""
    message = await open_message("redis://:hunter2@127.0.0.1:1/3")
    assert message.startswith("the store redis://127.0.0.1:1/3 cannot be reached; see that the server runs")


@pytest.mark.parametrize("turns", range(8))
async def test_cancelled_call_does_not_wait_for_the_connection(turns: int) -> None:
    """Whatever step of its making that meets, and the store can be used by others."""
    store = RedisStore(fresh_url())
    opening = asyncio.create_task(store.open())
    for _ in range(turns):
        await asyncio.sleep(0)
    assert opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert ("a",) == (await append(store, entry("a"))).appended
    await store.close()


async def test_newer_schema_is_left_untouched(valkey: LocalValkey) -> None:
    """A newer release wrote it: nothing is changed, and the error says to upgrade."""
    valkey.run("HSET", "{test:0}:meta", "schema", 99, "shards", 1)
    with pytest.raises(SchemaTooNew, match=r"schema 99.*upgrade"):
        await RedisStore(valkey.url()).open()
    assert ([b"{test:0}:meta"], b"99") == (valkey.run("KEYS", "*"), valkey.run("HGET", "{test:0}:meta", "schema"))


async def test_killed_server_keeps_everything(valkey: LocalValkey) -> None:
    """After ``kill -9`` the same store object finds what was committed, leases and marks included."""
    store = RedisStore(valkey.url())
    await append(store, entry("a"), entry("b"), entry("c", lane="bob"), entry("d", lane="cid"))
    (held, ended) = await store.claim("track", 2, 60.0)
    await settle(store, ended, Outcome.DEAD)
    await put(store, Mark(lane="ann", key="k", value=b"1"))
    before = await store.stats()
    valkey.kill()
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await append(store, entry("e"))
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        await store.stats()
    valkey.start()
    assert before == await store.stats()
    assert {"k": b"1"} == await recalled(store, "k")
    assert (["d"], CommitVerdict.COMMITTED) == (await claimed_ids(store), (await settle(store, held)).verdict)
    assert ["c"] == [row.entry.id for row in await store.browse("track", state=EntryState.DEAD)]
    await store.close()


async def test_dropped_connections_are_made_anew(valkey: LocalValkey) -> None:
    """A server that closes connections, as one does to idle ones, is not noticed."""
    store = RedisStore(valkey.url())
    await append(store, entry("a"))
    await store.stats()
    valkey.run("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert ("b",) == (await append(store, entry("b"))).appended
    assert 2 == (await store.stats())["track"].accepted
    await store.close()


async def test_unit_whose_answer_was_lost_is_answered_as_the_first_time() -> None:
    """The server gives the lost answer again rather than calling its own work repeated or the lease lost."""
    clients: list[LosesAnswers] = []

    async def losing(address: RedisAddress) -> LosesAnswers:
        clients.append(LosesAnswers(await connect(address)))
        return clients[0]

    store = RedisStore(fresh_url(), connect=losing)
    (claim,) = (await append(store, entry("a"), entry("b"), lease=TRACK)).leased
    clients[0].is_due = True
    answer = await store.commit(
        Unit(
            appends=[entry("c", lane="bob")],
            settlements=[Settlement(claim=claim, outcome=Outcome.DONE)],
            marks=[Mark(lane="ann", key="k", value=b"1", condition=Condition.IF_ABSENT)],
            lease=TRACK,
        )
    )
    assert (CommitVerdict.COMMITTED, ("c",), ["b", "c"]) == (
        answer.verdict,
        answer.appended,
        [claim.entry.id for claim in answer.leased],
    )
    stats = (await store.stats())["track"]
    assert (3, 1, 2) == (stats.accepted, stats.done, stats.in_flight)
    assert CommitVerdict.COMMITTED is (await settle(store, answer.leased[0])).verdict
    await store.close()


async def test_forgotten_scripts_are_sent_again() -> None:
    """After SCRIPT FLUSH, as after a restart or failover, the first use of a script brings its text."""
    store = RedisStore(fresh_url())
    await append(store, entry("a"))
    shared_valkey().run("SCRIPT", "FLUSH")
    assert ("b",) == (await append(store, entry("b"))).appended
    shared_valkey().run("SCRIPT", "FLUSH")
    claim = await claim_one(store)
    assert ("a", CommitVerdict.COMMITTED) == (claim.entry.id, (await settle(store, claim)).verdict)
    await store.close()


async def test_full_server_takes_nothing_new_and_lets_go(valkey: LocalValkey) -> None:
    """At its limit an append is refused whole, while claims and settlements of the same moment go through."""
    store = RedisStore(valkey.url())
    await append(store, *(entry(str(n), lane=str(n), body=b"x" * 10_000) for n in range(100)))
    claim = await claim_one(store)
    valkey.run("CONFIG", "SET", "maxmemory", "1mb")
    refused, settled = await asyncio.gather(
        append(store, entry("new", lane="new")), settle(store, claim), return_exceptions=True
    )
    assert "its memory is full" in str(refused)
    assert not isinstance(settled, BaseException)
    assert CommitVerdict.COMMITTED is settled.verdict
    stats = (await store.stats())["track"]
    assert (100, 1) == (stats.accepted, stats.done)
    assert 5 == len(await store.claim("track", 5, 60.0))
    await store.close()


async def test_fsync_waits_for_the_disk(valkey: LocalValkey) -> None:
    """With ``durability=fsync`` what is committed has reached the server's disk when the commit returns."""
    store = RedisStore(valkey.url("&durability=fsync"))
    assert CommitVerdict.COMMITTED is (await append(store, entry("a"))).verdict
    assert 0 == valkey.run("INFO", "persistence")["aof_pending_bio_fsync"]
    await store.close()


async def test_fsync_that_takes_too_long_is_an_error(valkey: LocalValkey) -> None:
    """The caller must not take what is not on the disk for committed."""

    async def slow(address: RedisAddress) -> NeverOnDisk:
        return NeverOnDisk(await connect(address))

    store = RedisStore(valkey.url("&durability=fsync"), connect=slow)
    with pytest.raises(StoreUnavailable, match="did not bring its log to the disk"):
        await append(store, entry("b"))
    await store.close()


class NeverOnDisk(LosesAnswers):
    """A server whose disk is too slow."""

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        answers = await self._client.send(commands)
        return [
            [0, 0] if command[0] == "WAITAOF" else answer for command, answer in zip(commands, answers, strict=True)
        ]
