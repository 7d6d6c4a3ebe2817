"""
The room put by for a full disk.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from kochava_bot_middleware.exceptions import StoreUnavailable
from kochava_bot_middleware.store.sqlite.reserve import Reserve
from kochava_bot_middleware.store.sqlite.store import SqliteStore
from kochava_bot_middleware.store.unit import Verdict
from tests.store.harness import append, claim_one, entry, settle

MORE_THAN_ANY_DISK = 1 << 60


def test_reserve_is_put_by_and_given_up(tmp_path: Path) -> None:
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


async def test_without_a_reserve_what_is_stored_is_still_served(tmp_path: Path) -> None:
    """Appends are refused with how much room is wanted; claims and settlements go through."""
    store = SqliteStore(tmp_path / "store.db")
    await append(store, entry("a"))
    assert store._writer is not None
    store._writer._reserve = Reserve(store.path, size=MORE_THAN_ANY_DISK)
    with pytest.raises(StoreUnavailable, match="takes nothing new while less than"):
        await append(store, entry("b"))
    assert Verdict.COMMITTED is (await settle(store, await claim_one(store))).verdict
    await store.close()
