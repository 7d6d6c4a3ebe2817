"""
The store for many machines: a PostgreSQL database that any number of bots and workers share.

``postgresql://user:password@host:5432/database``, with these options behind a ``?``:

``schema=kochava_bot``
    PostgreSQL schema of the tables. ``kochava-bot store init`` makes them, and brings them up to date after an upgrade.
``connections=8``
    Most connections of one process; one more listens for notices.
``statement_cache=100``
    Prepared statements of a connection; ``0`` behind a pooler.
``listen=on``
    ``off``, or ``host:port`` of the server itself behind a pooler.
``timeout_seconds=10``
    Longest wait for a connection or an answer.
``durability=commit``
    ``server`` accepts a server whose ``synchronous_commit`` is off.

and of libpq ``host``, ``port``, ``passfile``, ``sslmode``, ``sslrootcert``, ``sslcert``, ``sslkey``, ``sslcrl`` and
``target_session_attrs``.

Behind PgBouncer in transaction mode, name the pooler as host and add ``?statement_cache=0&listen=server:5432`` (or
``listen=off``, which leaves workers of other processes to look by themselves). Nothing else is needed: every statement
runs within a transaction, and what a transaction sets, locks or prepares ends with it.

The server's clock counts, so the clocks of the machines may differ. Where a store is given another clock than
`SystemClock` (by a test), that one counts instead.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import attrs

from ...clock import Clock, SystemClock
from ...exceptions import StoreUnavailable
from ..page import Page
from ..records import Claim, Committed, CommitVerdict, EntryState, Listed, Mark, QueueStats, Unit
from ..settings import NewToken, StoreSettings, unique_tokens
from .address import parse_postgres
from .claims import Tokens, claim_heads, renew_leases
from .committer import Committer
from .notifier import PostgresNotifier
from .pool import Pool
from .reading import find, next_due_at, read_page, read_stats
from .recaller import Recaller
from .schema import initialize
from .session import Session
from .upkeep import forget_lanes, purge_some, retry_dead, sweep_some

T = TypeVar("T")

SOME_ROWS = 500
"""How many rows a sweep or purge removes in one transaction, so that commits never wait long for it."""


@attrs.frozen(eq=False)
class _Engine:
    """What belongs to one process and event loop."""

    process: int
    loop: asyncio.AbstractEventLoop
    pool: Pool
    committer: Committer
    recaller: Recaller
    bell: PostgresNotifier
    tokens: Tokens


_ABANDONED: list[_Engine] = []
"""Engines of a parent process or an ended loop. Letting go of them would close what is not ours to close."""


class PostgresStore:
    """
    A durable store in a PostgreSQL database, 13 or later.

    A unit whose answer was lost with the connection (`StoreUnavailable`) may be committed again. If it was written, its
    appends are then repeated, and its settlements answer `LEASE_LOST`.

    Args:
        url: See the module.
        settings: Only `StoreSettings.dedupe_seconds` matters here.
        clock: Counts instead of the server's clock, unless it is a `SystemClock`.
        new_token: Gives the token of each lease.

    Raises:
        SettingsError: The address is wrong.
    """

    durable = True

    def __init__(
        self,
        url: str,
        *,
        settings: StoreSettings | None = None,
        clock: Clock | None = None,
        new_token: NewToken | None = None,
    ) -> None:
        self._address = parse_postgres(url)
        self._settings = settings or StoreSettings()
        self._clock = None if isinstance(clock, SystemClock) else clock
        self._new_token = new_token
        self._engine: _Engine | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"PostgresStore({self._address.shown!r})"

    async def init(self) -> None:
        """
        Make the tables, or bring those of an older release up to date. What is there stays.

        Raises:
            StoreUnavailable: The server cannot be reached, or the schema holds the tables of another program.
            SchemaTooNew: A newer release made them.
        """
        await self._running().pool.run_unchecked(partial(initialize, shown=self._address.shown))

    def on_append(self, callback: Callable[[], None]) -> None:
        """
        Call *callback* whenever somebody, in this process or another, left something to claim.

        It is called in the event loop and must not block. A notice can be lost, so it is a hint to look sooner, not
        a reason not to look.
        """
        self._callbacks.append(callback)
        if self._engine is not None:
            self._running().bell.on_append(callback)

    async def listening(self) -> bool:
        """Whether notices of other processes are heard at present."""
        return await self._running().bell.listening()

    async def open(self) -> None:
        self._closed = False
        await self._running().pool.open()

    async def close(self) -> None:
        self._closed = True
        self._callbacks.clear()
        engine, self._engine = self._engine, None
        if engine is not None and _is_ours(engine):
            await engine.committer.drain()
            await engine.recaller.drain()
            await engine.bell.close()
            await engine.pool.close()

    async def commit(self, unit: Unit) -> Committed:
        engine = self._running()
        if not (unit.appends or unit.settlements or unit.marks):
            await engine.pool.open()
            return Committed(verdict=CommitVerdict.COMMITTED)
        answer = await engine.committer.commit(unit)
        if answer.verdict is CommitVerdict.COMMITTED:
            engine.bell.committed(unit, answer)
        return answer

    async def claim(
        self, queue: str, limit: int, lease_seconds: float, *, at_most_ahead_seconds: float | None = None
    ) -> list[Claim]:
        engine = self._running()
        engine.bell.listen()
        return await self._do(
            partial(
                claim_heads,
                queue=queue,
                limit=limit,
                lease_seconds=lease_seconds,
                at_most_ahead_seconds=at_most_ahead_seconds,
                tokens=engine.tokens,
            )
        )

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        return await self._do(partial(renew_leases, claims=claims, lease_seconds=lease_seconds))

    async def recall(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        return await self._running().recaller.recall(keys)

    async def next_due_at(self, queue: str, *, at_most_ahead_seconds: float | None = None) -> float | None:
        return await self._do(partial(next_due_at, queue=queue, at_most_ahead_seconds=at_most_ahead_seconds))

    async def stats(self) -> Mapping[str, QueueStats]:
        return await self._do(read_stats)

    async def browse(
        self,
        queue: str,
        *,
        state: EntryState | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        page = Page(queue=queue, state=state, lane=lane, limit=limit, after=after)
        return await self._do(partial(read_page, page=page))

    async def find(self, entry_id: str) -> Listed | None:
        return await self._do(partial(find, entry_id=entry_id))

    async def retry_dead(self, ids: Sequence[str]) -> int:
        retried = await self._do(partial(retry_dead, ids=ids))
        if retried:
            self._running().bell.ring()
        return retried

    async def purge(self, *, dead_before: float) -> int:
        purged = 0
        while some := await self._do(partial(purge_some, dead_before=dead_before, limit=SOME_ROWS)):
            purged += some
        return purged

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        return await self._do(
            partial(
                forget_lanes,
                lanes=lanes,
                reason=reason,
                tombstone=tombstone,
                dedupe_seconds=self._settings.dedupe_seconds,
            )
        )

    async def sweep(self) -> None:
        while await self._do(partial(sweep_some, limit=SOME_ROWS)):
            pass

    async def _do(self, work: Callable[[Session], Awaitable[T]]) -> T:
        return await self._running().pool.run(work)

    def _running(self) -> _Engine:
        if self._closed:
            message = f"the store {self._address.shown} is closed; call `open` to use it again"
            raise StoreUnavailable(message)
        engine = self._engine
        if engine is not None and _is_ours(engine):
            return engine
        if engine is not None:
            _ABANDONED.append(engine)
        self._engine = engine = self._new_engine()
        for callback in self._callbacks:
            engine.bell.on_append(callback)
        return engine

    def _new_engine(self) -> _Engine:
        tokens = Tokens(self._new_token or unique_tokens())
        pool = Pool(self._address, self._clock)
        return _Engine(
            process=os.getpid(),
            loop=asyncio.get_running_loop(),
            pool=pool,
            committer=Committer(pool, new_token=tokens, dedupe_seconds=self._settings.dedupe_seconds),
            recaller=Recaller(pool),
            bell=PostgresNotifier(self._address, pool, self._clock, name=unique_tokens()()),
            tokens=tokens,
        )


def _is_ours(engine: _Engine) -> bool:
    return engine.process == os.getpid() and engine.loop is asyncio.get_running_loop()
