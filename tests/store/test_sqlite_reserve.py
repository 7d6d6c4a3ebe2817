"""The disk space kept free for a full disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.records import Claim, Committed, CommitVerdict, Entry, Outcome, Settlement, Unit
from kochava_bot_middleware.store.sqlite.reserve import Reserve
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from tests.store.harness import append, claim_one, claimed_ids, entry, settle
from tests.store.small_disk import LimitedReserve, fill, make_room, open_on_small_disk

MORE_THAN_ANY_DISK = 1 << 60
LARGE = 200_000
"""More than is free within a file that nothing was deleted from."""


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[SqliteStore, LimitedReserve]]:
    store, reserve = await open_on_small_disk(tmp_path / "store.db")
    yield store, reserve
    await store.close()


@pytest.fixture
def store(opened: tuple[SqliteStore, LimitedReserve]) -> SqliteStore:
    return opened[0]


@pytest.fixture
def reserve(opened: tuple[SqliteStore, LimitedReserve]) -> LimitedReserve:
    return opened[1]


def large(entry_id: str) -> Entry:
    return entry(entry_id, lane=entry_id, body=bytes(LARGE))


async def explain(store: SqliteStore, claim: Claim) -> Committed:
    """Let it wait, with a detail that needs room."""
    waits = Settlement(claim=claim, outcome=Outcome.RETRY, reason="a reason", detail="x" * LARGE)
    return await store.commit(Unit(settlements=[waits]))


def reserve_file(store: SqliteStore) -> Path:
    return store.path.with_name("store.db-reserve")


async def test_reserve_is_on_the_disk_of_the_file(tmp_path: Path) -> None:
    """Of a link that is where it leads to, however the path is spelled."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.db").symlink_to("disk/store.db")
    store = SqliteStore(tmp_path / "disk" / ".." / "link.db")
    await append(store, entry("a"))
    await store.close()
    assert [tmp_path / "disk" / "store.db-reserve"] == list(tmp_path.rglob("*-reserve"))


def test_reserve_is_written_and_released(tmp_path: Path) -> None:
    """Its file has the full size, really written, until it is released."""
    reserve = Reserve(tmp_path / "store.db", size=200_000)
    assert (True, True) == (reserve.restore(), reserve.is_held)
    status = (tmp_path / "store.db-reserve").stat()
    assert 200_000 == status.st_size
    assert 200_000 <= status.st_blocks * 512
    reserve.release()
    assert (False, []) == (reserve.is_held, list(tmp_path.iterdir()))


def test_reserve_is_not_begun_without_room(tmp_path: Path) -> None:
    """A disk that is nearly full is not filled by the attempt."""
    reserve = Reserve(tmp_path / "store.db", size=MORE_THAN_ANY_DISK)
    assert (False, False, []) == (reserve.restore(), reserve.is_held, list(tmp_path.iterdir()))


async def test_a_full_disk_takes_nothing_new_and_keeps_the_reserve(store: SqliteStore, reserve: LimitedReserve) -> None:
    """An append is refused, and the error says what to do; the reserve is not used for it."""
    await fill(store, reserve)
    with pytest.raises(StoreUnavailable, match="the disk is full; make room on it"):
        await append(store, large("a"))
    assert (True, True, {}) == (reserve.is_held, reserve_file(store).exists(), await store.stats())


async def test_a_settlement_on_a_full_disk_takes_the_reserve(store: SqliteStore, reserve: LimitedReserve) -> None:
    """What empties the store is written, in the space that the reserve gives up."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    await fill(store, reserve)
    assert CommitVerdict.COMMITTED is (await explain(store, claim)).verdict
    assert (False, False) == (reserve.is_held, reserve_file(store).exists())
    assert ["a"] == await claimed_ids(store)


async def test_an_append_beside_it_is_refused_alone(store: SqliteStore, reserve: LimitedReserve) -> None:
    """The two wait for the same transaction; the settlement is not lost with the append."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    await fill(store, reserve)
    refused, settled = await asyncio.gather(append(store, large("b")), explain(store, claim), return_exceptions=True)
    assert isinstance(refused, StoreUnavailable)
    assert isinstance(settled, Committed)
    assert (CommitVerdict.COMMITTED, 1) == (settled.verdict, (await store.stats())["track"].accepted)


async def test_without_its_reserve_a_store_takes_nothing_new_until_there_is_room(
    store: SqliteStore, reserve: LimitedReserve
) -> None:
    """Not even what would fit: that space is for settlements. Once there is room, the reserve is written again."""
    await append(store, entry("a"))
    claim = await claim_one(store)
    await fill(store, reserve)
    await explain(store, claim)
    with pytest.raises(StoreUnavailable, match="takes nothing new while less than"):
        await append(store, entry("b"))
    await make_room(store, reserve)
    assert ("b",) == (await append(store, entry("b"))).appended
    assert (True, True) == (reserve.is_held, reserve_file(store).exists())


async def test_without_a_reserve_what_is_stored_is_still_served(tmp_path: Path) -> None:
    """Appends are refused, and the error says how much room is needed; claims and settlements go through."""
    path = tmp_path / "store.db"
    filled = SqliteStore(path)
    await append(filled, entry("a"))
    await filled.close()
    store = SqliteStore(path, reserve=Reserve(path, size=MORE_THAN_ANY_DISK))
    with pytest.raises(StoreUnavailable, match="takes nothing new while less than"):
        await append(store, entry("b"))
    assert CommitVerdict.COMMITTED is (await settle(store, await claim_one(store))).verdict
    await store.close()
