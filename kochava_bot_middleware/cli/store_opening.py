"""How commands come to the store that the settings name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, runtime_checkable

from ..clock import Clock
from ..exceptions import SettingsError, StoreUnavailable, Violation
from ..store.contract import Store
from ..store.sqlite.store import SqliteStore
from ..tracking.settings import KochavaSettings


@runtime_checkable
class Preparable(Protocol):
    """A store that must be prepared once, such as by making its tables."""

    async def init(self) -> None:
        """Prepare it. Idempotent."""


@asynccontextmanager
async def opened(settings: KochavaSettings, clock: Clock, *, makes: bool = False) -> AsyncIterator[Store]:
    """
    The store, open.

    Args:
        makes: Make it, if there is none yet.

    Raises:
        SettingsError: It is in the memory of one process, where no command can look.
        StoreUnavailable: It cannot be opened, or is not there.
    """
    place = settings.kept_in
    if place.is_memory:
        wanted = "a store that processes can share"
        raise SettingsError([Violation(key="kochava.store", wanted=wanted, got=repr(place.address))])
    store = place.make(clock)
    if not makes and isinstance(store, SqliteStore) and not store.path.exists():
        # Opening it would make an empty one.
        msg = f"there is no store at {store.path}; a bot makes it when it starts, or `kochava-bot store init`"
        raise StoreUnavailable(msg)
    try:
        if makes and isinstance(store, Preparable):
            await store.init()
        await store.open()
        yield store
    finally:
        await store.close()
