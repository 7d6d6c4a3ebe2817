"""
The default store: one SQLite file, which several processes of one machine may share.

Every operation is run by one thread, so the event loop never waits for the disk. All commits that wait while the disk
is busy become one transaction: the more callers, the cheaper each commit.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...clock import Clock, SystemClock
from ...exceptions import StoreUnavailable
from ..page import Page
from ..records import Claim, Committed, EntryState, Listed, Mark, QueueStats, Unit
from ..settings import NewToken, StoreSettings, unique_tokens
from .claims import claim_heads, forget_lanes, purge_some, renew_leases, retry_dead, sweep_some
from .counts import read_stats
from .notifier import SqliteNotifier, socket_name, wake_folder
from .reading import find, next_due_at, read_page
from .schema import connect_for_reading, unavailable
from .writer import Commit, Recall, Work, Writer

T = TypeVar("T")

SOME_ROWS = 500
"""How many rows a sweep or purge removes in one transaction, so that commits never wait long for it."""

_INHERITED: list[Writer] = []
"""Writers of a parent process. Letting go of them would close files in a way SQLite forbids after a fork."""


class SqliteStore:
    """
    A durable store in one file.

    The log beside the file (``-wal``) is part of it. Bodies are overwritten when they are deleted; the log's copies of
    them go when it is emptied, which happens after some quiet seconds and at `close`.

    Who listens for what others append (`on_append`) has a socket in a folder beside the file; see `WakeFolder`.

    Args:
        path: The file; made if it is not there, its folder is not.
        settings: See `StoreSettings`.
        clock: Tells when leases lapse and entries are due.
        new_token: Gives the token of each lease.
    """

    durable = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        settings: StoreSettings | None = None,
        clock: Clock | None = None,
        new_token: NewToken | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        self._settings = settings or StoreSettings()
        self._clock = clock or SystemClock()
        self._new_token = new_token
        self._writer: Writer | None = None
        self._process = 0
        self._bell: SqliteNotifier | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._closed = False

    def on_append(self, callback: Callable[[], None]) -> None:
        """
        Call *callback* whenever another process, or another store of this one, left something to claim.

        It is called in the event loop and must not block. A wake-up can be lost, so it is a hint to look sooner, not a
        reason not to look. Others are heard from the store's first use on.
        """
        self._callbacks.append(callback)
        if self._bell is not None and self._bell.is_ours():
            self._bell.on_append(callback)

    async def listening(self) -> bool:
        """Whether others are heard at present."""
        return self._running_bell().listening()

    async def open(self) -> None:
        self._closed = False
        await self._look(lambda _connection, _now: None)

    async def close(self) -> None:
        self._closed = True
        self._callbacks.clear()
        writer = self._writer if self._process == os.getpid() else None
        self._writer = None
        try:
            if writer is not None:
                await writer.stop()
        finally:
            bell, self._bell = self._bell, None
            if bell is not None:
                bell.close()

    async def commit(self, unit: Unit) -> Committed:
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self._running_writer().put(Commit(future, unit))
        bell = self._running_bell()
        answer = await future
        bell.committed(unit, answer)
        return answer

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, at_most_ahead_seconds: float | None = None
    ) -> list[Claim]:
        writer = self._running_writer()
        self._running_bell().listen()
        return await self._change(
            partial(
                claim_heads,
                queue=queue,
                limit=limit,
                lease_seconds=lease_seconds,
                at_most_ahead_seconds=at_most_ahead_seconds,
                new_token=writer.new_token,
            )
        )

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        return await self._change(partial(renew_leases, claims=claims, lease_seconds=lease_seconds))

    async def recall(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        future: asyncio.Future[Mapping[str, bytes]] = asyncio.get_running_loop().create_future()
        self._running_writer().put(Recall(future, keys))
        return await future

    async def next_due_at(self, queue: str, *, at_most_ahead_seconds: float | None = None) -> float | None:
        return await self._look(partial(next_due_at, queue=queue, at_most_ahead_seconds=at_most_ahead_seconds))

    async def stats(self) -> Mapping[str, QueueStats]:
        return await self._look(read_stats)

    async def browse(
        self,
        queue: str,
        *,
        state: EntryState | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        await self.open()
        page = Page(queue=queue, state=state, lane=lane, limit=limit, after=after)
        # It may read a million rows, so it does not take the writer's time.
        return await asyncio.to_thread(self._browse, page)

    async def find(self, entry_id: str) -> Listed | None:
        return await self._look(partial(find, entry_id=entry_id))

    async def retry_dead(self, ids: Sequence[str]) -> int:
        bell = self._running_bell()
        retried = await self._change(partial(retry_dead, ids=ids), grows=True)
        if retried:
            bell.ring()
        return retried

    async def purge(self, *, dead_before: float) -> int:
        purged = 0
        while True:
            some = await self._change(
                lambda connection, _now: purge_some(connection, dead_before=dead_before, limit=SOME_ROWS)
            )
            purged += some
            if some < SOME_ROWS:
                return purged

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        return await self._change(
            partial(
                forget_lanes,
                lanes=lanes,
                reason=reason,
                tombstone=tombstone,
                dedupe_seconds=self._settings.dedupe_seconds,
            )
        )

    async def sweep(self) -> None:
        while await self._change(partial(sweep_some, limit=SOME_ROWS)):
            pass

    async def _change(self, run: Callable[[sqlite3.Connection, float], T], *, grows: bool = False) -> T:
        return await self._work(run, writes=True, grows=grows)

    async def _look(self, run: Callable[[sqlite3.Connection, float], T]) -> T:
        return await self._work(run, writes=False, grows=False)

    async def _work(self, run: Callable[[sqlite3.Connection, float], T], *, writes: bool, grows: bool) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._running_writer().put(Work(future, run, writes, grows))
        return await future

    def _check_open(self) -> None:
        if self._closed:
            message = f"the store {self.path} is closed; call `open` to use it again"
            raise StoreUnavailable(message)

    def _running_writer(self) -> Writer:
        self._check_open()
        if self._writer is not None and self._process == os.getpid():
            return self._writer
        if self._writer is not None:
            _INHERITED.append(self._writer)
        self._process = os.getpid()
        self._writer = Writer(self.path, self._settings, self._clock, self._new_token or unique_tokens())
        return self._writer

    def _running_bell(self) -> SqliteNotifier:
        bell = self._bell
        if bell is not None and bell.is_ours():
            return bell
        self._check_open()
        if bell is not None:
            bell.close()
        self._bell = bell = SqliteNotifier(wake_folder(self.path), self._clock, name=socket_name())
        for callback in self._callbacks:
            bell.on_append(callback)
        return bell

    def _browse(self, page: Page) -> list[Listed]:
        connection = connect_for_reading(self.path, self._settings)
        try:
            connection.execute("BEGIN")
            return read_page(connection, self._clock.now(), page)
        except sqlite3.Error as exc:
            raise unavailable(exc, self.path) from exc
        finally:
            connection.close()
