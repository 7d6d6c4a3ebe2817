"""How a Redis store of the previous release becomes one of this release."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.records import CommitVerdict, Condition, EntryState, Mark, Outcome, Settlement, Unit
from kochava_bot_middleware.store.redis.address import RedisAddress
from kochava_bot_middleware.store.redis.client import LONGEST_ARGUMENT, Client, Command, connect
from kochava_bot_middleware.store.redis.store import RedisStore
from kochava_bot_middleware.store.redis.units import shard_of
from tests.store.harness import append, entry
from tests.store.previous_release.adapter import Adapter, FixedClock
from tests.store.previous_release.load import expected, load_redis
from tests.store.valkey import fresh_url, shared_valkey

EXPECTED = expected()
QUEUES: dict[str, Any] = EXPECTED["queues"]
BARRED = {key: base64.b64decode(mark["value"]) for key, mark in EXPECTED["marks"].items() if key.startswith("barred:")}
LANES = [f"kobotdemo1234/{number}" for number in range(20)]

SHARDS = ["", "&shards=3"]


@pytest.fixture(params=SHARDS, ids=["1 shard", "3 shards"])
async def url(request: pytest.FixtureRequest) -> str:
    """A store that the previous release wrote."""
    url = fresh_url(request.param)
    await load_redis(url)
    return url


@pytest.fixture
async def sharded_url() -> str:
    url = fresh_url("&shards=3")
    await load_redis(url)
    return url


class BreaksAfter:
    """A connection that is lost for good after so many round trips, as when its process dies."""

    is_cluster = False
    longest_argument = LONGEST_ARGUMENT

    def __init__(self, client: Client, round_trips: int) -> None:
        self._client = client
        self._left = round_trips

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        if self._left == 0:
            return [ConnectionError("the process died")] * len(commands)
        self._left -= 1
        return await self._client.send(commands)

    async def close(self) -> None:
        await self._client.close()


def reader(url: str) -> RedisStore:
    return RedisStore(url, clock=FixedClock(EXPECTED["read_at"]))


def meta(url: str, field: str) -> bytes | None:
    prefix = RedisStore(url).address.prefix
    found: bytes | None = shared_valkey().run("HGET", f"{{{prefix}:0}}:meta", field)
    return found


async def assert_nothing_is_lost(store: RedisStore) -> None:
    adapter = Adapter(store)
    assert {queue: about["stats"] for queue, about in QUEUES.items()} == await adapter.stats()
    for queue, about in QUEUES.items():
        listed = await adapter.listed(queue)
        assert [(row["id"], row["state"], row["reason"]) for row in about["listed"]] == [
            (row["id"], row["state"], row["reason"]) for row in listed
        ]
    values = {key: mark["value"] for key, mark in EXPECTED["marks"].items()}
    assert values == await adapter.marks(list(values))
    known = EXPECTED["remembered"] + [row for about in QUEUES.values() for row in about["listed"]]
    assert sorted(row["id"] for row in known) == await adapter.repeated(known)


@pytest.mark.parametrize("round_trips", [1, 2, 3, 4, 5, 6, 8, 10, 12, 16])
async def test_conversion_goes_on_after_the_process_died(url: str, round_trips: int) -> None:
    """Wherever it was interrupted, the next process finishes it, and everything is there once."""

    async def breaking(address: RedisAddress) -> BreaksAfter:
        return BreaksAfter(await connect(address), round_trips)

    dying = RedisStore(url, clock=FixedClock(EXPECTED["read_at"]), connect=breaking)
    with contextlib.suppress(StoreUnavailable):
        await dying.stats()
    await dying.close()
    store = reader(url)
    await assert_nothing_is_lost(store)
    await store.close()
    assert (b"2", None) == (meta(url, "schema"), meta(url, "converting"))


async def test_two_processes_convert_at_once(url: str) -> None:
    """Both end with the same store."""
    stores = [reader(url), reader(url)]
    await asyncio.gather(*(store.open() for store in stores))
    for store in stores:
        await assert_nothing_is_lost(store)
        await store.close()


async def test_running_process_of_the_previous_release_cannot_write(url: str) -> None:
    """Its scripts read one of two keys before they write anything, and both are of the wrong type; claims find none."""
    store = reader(url)
    await store.open()
    await store.close()
    run = shared_valkey().run
    for shard in range(store.address.shards):
        tag = f"{{{store.address.prefix}:{shard}}}:"
        assert {b"string"} == {run("TYPE", tag + name) for name in ("ids", "marks")}
        for gone in ("ready:track", "leased:track", "lanes", "ended_at", "remembered", "counts"):
            assert 0 == run("EXISTS", tag + gone)


async def test_opt_outs_are_found_in_every_lane(sharded_url: str) -> None:
    """Their key is a hash, which does not name the person, so they are in every shard."""
    store = reader(sharded_url)
    for lane in LANES:
        assert BARRED == dict(await store.recall([(lane, key) for key in BARRED]))
        absent = Mark(lane=lane, key=next(iter(BARRED)), value=None, condition=Condition.IF_ABSENT)
        answer = await store.commit(Unit(appends=[entry(f"to {lane}", lane=lane)], marks=[absent]))
        assert CommitVerdict.CONDITION_FAILED is answer.verdict
    await store.close()


async def test_opt_out_that_was_withdrawn_does_not_come_back(sharded_url: str) -> None:
    """A process that is still converting copies nothing into a shard that another one has finished and uses."""
    store = reader(sharded_url)
    key = next(iter(BARRED))
    lane = next(lane for lane in LANES if shard_of(lane, 3) == 1)
    await store.commit(Unit(marks=[Mark(lane=lane, key=key, value=None)]))
    await store.close()
    # As a process finds it that began to convert at the same time.
    shared_valkey().run("HSET", f"{{{store.address.prefix}:0}}:meta", "converting", 1)
    late = reader(sharded_url)
    assert {} == dict(await late.recall([(lane, key)]))
    await late.close()
    assert None is meta(sharded_url, "converting")


async def test_entries_of_the_previous_release_are_settled_and_kept(url: str) -> None:
    """What waited in the former store has one row like any other, and can be forgotten."""
    store = reader(url)
    (claim, *_) = await store.claim("track", 1, 60.0)
    await store.commit(Unit(settlements=[Settlement(claim=claim, outcome=Outcome.DONE)]))
    found = await store.find(claim.entry.id)
    assert found is not None
    assert (EntryState.DONE, b"", "", "") == (found.state, found.entry.body, found.entry.kind, found.entry.name)
    await store.forget(
        [claim.entry.lane], reason="forgotten", tombstone=Mark(lane=claim.entry.lane, key="k", value=b"")
    )
    found = await store.find(claim.entry.id)
    assert found is not None
    assert ("", EntryState.DONE) == (found.entry.lane, found.state)
    await store.close()


async def test_store_of_this_release_is_not_converted_again() -> None:
    """A new store has the schema of this release from the start."""
    url = fresh_url()
    store = RedisStore(url)
    await append(store, entry("a"))
    await store.close()
    assert (b"2", None) == (meta(url, "schema"), meta(url, "converting"))
