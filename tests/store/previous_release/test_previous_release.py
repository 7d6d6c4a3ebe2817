"""A store that the previous release wrote is read by this one, with nothing lost, doubled or out of order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from kochava_bot_middleware.store.contract import Store
from kochava_bot_middleware.store.redis.store import RedisStore
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.postgres_server import postgres_store, shared_server
from tests.store.previous_release.adapter import Adapter, FixedClock
from tests.store.previous_release.load import expected, load_postgres, load_redis, load_sqlite
from tests.store.valkey import fresh_url

EXPECTED = expected()
QUEUES: dict[str, Any] = EXPECTED["queues"]
ROWS = [row for about in QUEUES.values() for row in about["listed"]]
LIVING_STATES = ("waiting", "in flight")


@attrs.frozen
class Opened:
    """A loaded store."""

    engine: str
    clock: FixedClock
    adapter: Adapter

    @property
    def is_sharded(self) -> bool:
        return self.engine == "redis_3_shards"

    @property
    def tokens(self) -> dict[str, str]:
        tokens: dict[str, str] = EXPECTED["tokens"][self.engine]
        return tokens


@pytest.fixture(params=["sqlite", "sqlite_2", "postgres", "redis", "redis_3_shards"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    """The store that the previous release wrote, opened by this one."""
    clock = FixedClock(EXPECTED["read_at"])
    store: Store
    if request.param in ("sqlite", "sqlite_2"):
        load_sqlite(tmp_path / "store.db", version=2 if request.param == "sqlite_2" else 1)
        store = SqliteStore(tmp_path / "store.db", clock=clock)
    elif request.param == "postgres":
        url = shared_server().url()
        await load_postgres(url)
        store = await postgres_store(url, clock=clock)
    else:
        url = fresh_url("&shards=3" if request.param == "redis_3_shards" else "")
        await load_redis(url)
        store = RedisStore(url, clock=clock)
    yield Opened(request.param.removesuffix("_2"), clock, Adapter(store))
    await store.close()


async def test_counts_are_kept(opened: Opened) -> None:
    """All counts are those of the previous release, so the sums still hold."""
    assert {queue: about["stats"] for queue, about in QUEUES.items()} == await opened.adapter.stats()


async def test_rows_are_listed_as_before(opened: Opened) -> None:
    """Every row has its state, attempts, reason and times, in the order of appending, page by page."""
    for queue, about in QUEUES.items():
        listed = await opened.adapter.listed(queue)
        assert [_id(row) for row in about["listed"]] == [_id(row) for row in listed]
        assert_same_rows(about["listed"], listed)


async def test_rows_are_found_by_id(opened: Opened) -> None:
    """One row is found as it is listed, and an id that is only remembered is not found."""
    found = [await opened.adapter.found(row["id"]) for row in ROWS]
    assert_same_rows(ROWS, [row for row in found if row is not None])
    for gone in EXPECTED["remembered"] + EXPECTED["forgotten"]:
        assert None is await opened.adapter.found(gone["id"])


async def test_due_heads_are_claimed_in_order(opened: Opened) -> None:
    """What is due is claimed as the previous release would have given it, and what is leased or put off is not."""
    for queue, about in QUEUES.items():
        claimed = await opened.adapter.claimed(queue)
        if opened.is_sharded:
            # Each shard gives its share, so only within it the longest due comes first.
            assert sorted(about["claimed"], key=_id) == sorted(claimed, key=_id)
        else:
            assert about["claimed"] == claimed


async def test_lanes_are_drained_in_order(opened: Opened) -> None:
    """Once all leases and waits are over, each lane gives all that waits in it, in order and with its body."""
    opened.clock.set_to = EXPECTED["after_all"]
    for queue, about in QUEUES.items():
        assert about["drained"] == await opened.adapter.drained(queue)
        living = {row["id"] for row in about["listed"] if row["state"] in LIVING_STATES}
        assert living == {entry["id"] for lane in about["drained"].values() for entry in lane}


async def test_known_ids_are_ignored(opened: Opened) -> None:
    """An id that has a row or is remembered is not appended again; one whose time is over is."""
    known = ROWS + EXPECTED["remembered"]
    assert sorted(map(_id, known)) == await opened.adapter.repeated(known + EXPECTED["forgotten"])


async def test_remembered_ids_are_forgotten_in_time(opened: Opened) -> None:
    """What was remembered until 2100 counts as new afterwards, and what has a row never does."""
    opened.clock.set_to = EXPECTED["after_all"]
    assert sorted(map(_id, ROWS)) == await opened.adapter.repeated(ROWS + EXPECTED["remembered"])


async def test_sweep_keeps_what_counts(opened: Opened) -> None:
    """A sweep takes away what is over only."""
    await opened.adapter.swept()
    known = ROWS + EXPECTED["remembered"]
    assert sorted(map(_id, known)) == await opened.adapter.repeated(known)
    assert _values() == await opened.adapter.marks(list(EXPECTED["marks"]))


async def test_marks_are_kept(opened: Opened) -> None:
    """Every mark has its value, and none that was deleted or has expired comes back."""
    assert _values() == await opened.adapter.marks([*EXPECTED["marks"], *EXPECTED["no_marks"]])


async def test_marks_expire_in_time(opened: Opened) -> None:
    """A mark is there until the moment it was given, and one without such a moment stays."""
    for expires_at in {mark["expires_at"] for mark in EXPECTED["marks"].values()} - {None}:
        for now in (expires_at - 0.25, expires_at):
            opened.clock.set_to = now
            there = {key for key, mark in EXPECTED["marks"].items() if (mark["expires_at"] or float("inf")) > now}
            assert there == set(await opened.adapter.marks(list(EXPECTED["marks"])))


async def test_leases_are_settled_by_their_owners(opened: Opened) -> None:
    """Who claimed something from the previous release can settle it, once, also after the lease lapsed."""
    for row in ROWS:
        if row["id"] in opened.tokens:
            token = opened.tokens[row["id"]]
            assert "committed" == await opened.adapter.settled(row, token)
            assert "lease lost" == await opened.adapter.settled(row, token)


async def test_lapsed_leases_are_lost_to_the_next_owner(opened: Opened) -> None:
    """Who comes after somebody claimed anew what had lapsed is refused, and a running lease is not affected."""
    for queue in QUEUES:
        await opened.adapter.claimed(queue)
    verdicts = {
        row["state"]: await opened.adapter.settled(row, opened.tokens[row["id"]])
        for row in ROWS
        if row["id"] in opened.tokens
    }
    assert {"waiting": "lease lost", "in flight": "committed"} == verdicts


async def test_dead_entries_are_retried(opened: Opened) -> None:
    """All that is dead waits again, behind what waits in its lane."""
    dead = [row for row in ROWS if row["state"] == "dead"]
    assert len(dead) == await opened.adapter.retried([row["id"] for row in dead])
    opened.clock.set_to = EXPECTED["after_all"]
    for queue, about in QUEUES.items():
        drained = await opened.adapter.drained(queue)
        for lane in {row["lane"] for row in about["listed"] if row["state"] in (*LIVING_STATES, "dead")}:
            before = [entry["id"] for entry in about["drained"].get(lane, [])]
            died = [row["id"] for row in dead if (row["queue"], row["lane"]) == (queue, lane)]
            assert before + died == [entry["id"] for entry in drained[lane]]


def assert_same_rows(expected: Sequence[dict[str, Any]], actual: Sequence[dict[str, Any]]) -> None:
    """
    A row that waited behind another had no time in the previous release unless it was given one; now it may have any
    that is over.
    """
    for old, new in zip(expected, actual, strict=True):
        if old["state"] == "waiting" and old["due_at"] is None:
            assert (new["due_at"] or 0) <= EXPECTED["read_at"]
            assert {**old, "due_at": new["due_at"]} == new
        else:
            assert old == new


def _values() -> dict[str, str]:
    return {key: mark["value"] for key, mark in EXPECTED["marks"].items()}


def _id(row: dict[str, Any]) -> str:
    return str(row["id"])
