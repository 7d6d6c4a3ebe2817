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
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...clock import Clock, SystemClock
from ...exceptions import NotStorable, StoreUnavailable, StoreUnusable
from ..plan import recall_storable
from ..probe import REFUSED
from ..records import Claim, Committed, DayCount, EntryState, Listed, Mark, QueueStats, Unit
from ..settings import NewToken, StoreSettings, unique_tokens
from . import queries
from .errors import Emptied, classify, is_busy
from .forks import reading_apart
from .notifier import SqliteNotifier, socket_folder
from .reserve import Reserve
from .schema import connect_for_reading
from .writer import Query, SqliteWriter

T = TypeVar("T")

SOME_ROWS = 500
"""How many rows a sweep or purge removes in one transaction, so that commits never wait long for it."""

_INHERITED: list[SqliteWriter] = []
"""Writers of a parent process. Collecting them would close files in a way SQLite forbids after a fork."""


class SqliteStore:
    """
    A durable store in one file.

    The log beside the file (``-wal``) is part of it. Bodies are overwritten when they are deleted; the log's copies of
    them go when it is emptied, which happens after some quiet seconds and at `close`.

    A process that listens for what others append (`on_append`) has a socket in a folder beside the file; see
    `SocketFolder`.

    Args:
        path: The file; made if it is not there, its folder is not.
        settings: See `StoreSettings`.
        clock: Decides when leases lapse and entries are due.
        new_token: Gives the token of each lease.
        reserve: The room kept free for a full disk; by default a file beside the store.
    """

    durable = True
    is_one_part = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        settings: StoreSettings | None = None,
        clock: Clock | None = None,
        new_token: NewToken | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        self.path = Path(path).absolute()
        self._settings = settings or StoreSettings()
        self._clock = clock or SystemClock()
        self._new_token = new_token
        # SQLite follows links, so the disk that may be full is that of the file itself.
        self._reserve = reserve or Reserve(Path(os.path.realpath(self.path)))
        self._writer: SqliteWriter | None = None
        self._process = 0
        self._notifier: SqliteNotifier | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._closed = False

    def on_append(self, callback: Callable[[], None]) -> None:
        """
        Call *callback* whenever another process, or another store of this one, left something to claim.

        It is called in the event loop and must not block. A notification can be lost, so it is a hint to look sooner,
        not a reason not to look. Notifications are received from the store's first use on.
        """
        self._callbacks.append(callback)
        if self._notifier is not None and _is_ours(self._notifier):
            self._notifier.on_append(callback)

    async def listening(self) -> bool:
        """Whether notifications of other processes are received at present."""
        return self._running_notifier().listening()

    async def open(self) -> None:
        self._closed = False
        await self.read(queries.nothing)
        query = partial(queries.prove_writable, dedupe_seconds=self._settings.dedupe_seconds)
        message = f"the store {self.path} {REFUSED}"
        try:
            is_kept = await self._change(query)
        except NotStorable as exc:
            raise StoreUnusable(message) from exc
        except StoreUnavailable as exc:
            # Who waits for another process to end its write is allowed to write.
            if not is_busy(exc.__cause__):
                raise
            return
        if not is_kept:
            raise StoreUnusable(message)

    async def close(self) -> None:
        self._closed = True
        self._callbacks.clear()
        writer = self._writer if self._process == os.getpid() else None
        self._writer = None
        try:
            if writer is not None:
                await writer.stop()
        finally:
            notifier, self._notifier = self._notifier, None
            if notifier is not None:
                notifier.close()

    async def commit(self, unit: Unit) -> Committed:
        future = self._running_writer().commit(unit)
        notifier = self._running_notifier()
        answer = await future
        # A unit that settles nothing and leased all that it appended, such as a webhook's, leaves no work for others.
        if unit.settlements or len(answer.leased) < len(answer.appended):
            notifier.throttle.committed(unit, answer)
        return answer

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        writer = self._running_writer()
        self._running_notifier().listen()
        return await self._change(
            partial(
                queries.claim_heads,
                queue=queue,
                limit=limit,
                lease_seconds=lease_seconds,
                new_token=writer.new_token,
            ),
            is_new=False,
        )

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        query = partial(queries.renew_leases, claims=claims, lease_seconds=lease_seconds)
        return await self._change(query, is_new=False)

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        return await recall_storable(self._recall, keys)

    async def _recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        return await self._running_writer().recall([key for _, key in keys])

    async def next_due_in(self, queue: str) -> float | None:
        return await self.read(partial(queries.next_due_in, queue=queue))

    async def stats(self) -> Mapping[str, QueueStats]:
        return await self.read(queries.read_stats)

    async def counts(self, *, since: int | None = None, until: int | None = None) -> list[DayCount]:
        return await self.read(partial(queries.read_day_counts, since=since, until=until))

    async def forget_counts(self, before: int) -> None:
        await self._change(partial(queries.forget_day_counts, before=before))

    async def browse(
        self,
        queue: str,
        *,
        state: EntryState | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        await self.read(queries.nothing)
        query = partial(queries.read_page, queue=queue, state=state, lane=lane, limit=limit, after=after)
        # It may read a million rows, so it does not take the writer's time.
        return await asyncio.to_thread(self._read_apart, partial(query, dedupe_seconds=self._settings.dedupe_seconds))

    async def find(self, entry_id: str) -> Listed | None:
        dedupe_seconds = self._settings.dedupe_seconds
        return await self.read(partial(queries.find, entry_id=entry_id, dedupe_seconds=dedupe_seconds))

    async def history(self, lanes: Sequence[str], *, limit: int = 1_000) -> list[Listed]:
        await self.read(queries.nothing)
        query = partial(queries.read_history, lanes=lanes, limit=limit, dedupe_seconds=self._settings.dedupe_seconds)
        # As in `browse`.
        return await asyncio.to_thread(self._read_apart, query)

    async def retry_dead(self, ids: Sequence[str]) -> int:
        notifier = self._running_notifier()
        retried = await self._change(partial(queries.retry_dead, ids=ids), grows=True)
        if retried:
            notifier.throttle.notify()
        return retried

    async def purge(self, *, ended_for_seconds: float) -> int:
        purged = 0
        query = partial(queries.purge_some, ended_for_seconds=ended_for_seconds, limit=SOME_ROWS)
        while some := await self._change(query):
            purged += some
        return purged

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        await self.read(queries.nothing)
        # It reads every row, so it does not take the writer's time.
        found = await asyncio.to_thread(self._read_apart, partial(queries.places_of_lanes, lanes=lanes))
        query = partial(queries.forget_lanes, lanes=lanes, found=found, reason=reason, tombstone=tombstone)
        return await self._change(query)

    async def sweep(self, longest_waits: Mapping[str, float] | None = None) -> None:
        dedupe_seconds = self._settings.dedupe_seconds
        query = partial(queries.sweep_some, longest_waits=longest_waits or {}, dedupe_seconds=dedupe_seconds)
        while await self._change(partial(query, limit=SOME_ROWS), is_new=False):
            pass

    async def read(self, query: Query[T]) -> T:
        """Run *query* with the connection of the store, which it must not use for writing."""
        return await self._running_writer().run(query)

    async def _change(self, query: Query[T], *, grows: bool = False, is_new: bool = True) -> T:
        return await self._running_writer().run(query, writes=True, grows=grows, is_new=is_new)

    def _check_open(self) -> None:
        if self._closed:
            message = f"the store {self.path} is closed; call `open` to use it again"
            raise StoreUnavailable(message)

    def _running_writer(self) -> SqliteWriter:
        self._check_open()
        if self._writer is not None and self._process == os.getpid():
            return self._writer
        if self._writer is not None:
            _INHERITED.append(self._writer)
        self._process = os.getpid()
        new_token = self._new_token or unique_tokens()
        self._writer = SqliteWriter(self.path, self._settings, self._clock, new_token, self._reserve)
        return self._writer

    def _running_notifier(self) -> SqliteNotifier:
        notifier = self._notifier
        if notifier is not None and _is_ours(notifier):
            return notifier
        self._check_open()
        if notifier is not None:
            notifier.close()
        self._notifier = notifier = SqliteNotifier(socket_folder(self.path), self._clock)
        for callback in self._callbacks:
            notifier.on_append(callback)
        return notifier

    def _read_apart(self, query: Query[T]) -> T:
        """Run *query* with a connection of its own."""
        with reading_apart, closing(connect_for_reading(self.path, self._settings)) as connection:
            try:
                connection.execute("BEGIN")
                return query(connection, self._clock.now())
            except (sqlite3.Error, Emptied) as exc:
                raise classify(exc, self.path) from exc


def _is_ours(notifier: SqliteNotifier) -> bool:
    """Whether it belongs to this process and event loop."""
    return notifier.process == os.getpid() and notifier.loop is asyncio.get_running_loop()
