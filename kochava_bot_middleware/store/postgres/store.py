"""
The store for many machines: a PostgreSQL database that any number of bots and workers share.

``postgresql://user:password@host:5432/database``, with these options behind a ``?``:

``schema=kochava_bot``
    PostgreSQL schema of the tables. ``kochava-bot store init`` makes them, and brings them up to date after an upgrade.
``connections=8``
    Most connections of one process; one more listens for notifications.
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
``listen=off``, with which workers of other processes look now and then). Nothing else is needed: every statement
runs within a transaction, and what a transaction sets, locks or prepares ends with it.

The server's clock is used, so the clocks of the machines may differ. Where a store is given another clock than
`SystemClock` (by a test), that one is used instead.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence

import attrs

from ...clock import Clock, SystemClock
from ...exceptions import NotStorable, StoreUnavailable, StoreUnusable
from ..plan import recall_storable
from ..probe import REFUSED
from ..records import Claim, Committed, CommitVerdict, DayCount, EntryState, Listed, Mark, QueueStats, Unit
from ..settings import NewToken, StoreSettings, unique_tokens
from . import queries
from .address import parse_postgres
from .batches import Batches, touched_by
from .commit import commit_units
from .notifier import PostgresNotifier
from .pool import PostgresPool
from .probe import prove_writable
from .schema import initialize

TRANSACTIONS = 2
"""How many transactions commit side by side in one process."""

UNITS = 128
"""Most units of one transaction."""

LOOKUPS = 1_000
"""Most lookups of state entries in one statement."""


@attrs.frozen(eq=False)
class _Running:
    """What belongs to one process and event loop."""

    process: int
    loop: asyncio.AbstractEventLoop
    pool: PostgresPool
    commits: Batches[Unit, Committed]
    lookups: Batches[Sequence[tuple[str, str]], Mapping[str, bytes]]
    notifier: PostgresNotifier
    tokens: queries.TokenSupply

    @property
    def is_current(self) -> bool:
        return self.process == os.getpid() and self.loop is asyncio.get_running_loop()


_ABANDONED: list[_Running] = []
"""Of a parent process or an ended loop: they are kept, since to collect them would close its connections."""


class PostgresStore:
    """
    A durable store in a PostgreSQL database, 13 or later.

    A unit whose answer was lost with the connection (`StoreUnavailable`) may be committed again. If it was written, its
    appends are then repeated, and its settlements answer `LEASE_LOST`.

    Args:
        url: See the module.
        settings: Only `StoreSettings.dedupe_seconds` matters here.
        clock: Used instead of the server's clock, unless it is a `SystemClock`.
        new_token: Gives the token of each lease.

    Raises:
        SettingsError: The address is wrong.
    """

    durable = True
    is_one_part = True

    def __init__(
        self,
        url: str,
        *,
        settings: StoreSettings | None = None,
        clock: Clock | None = None,
        new_token: NewToken | None = None,
    ) -> None:
        self._address = parse_postgres(url)
        self._dedupe_seconds = (settings or StoreSettings()).dedupe_seconds
        self._clock = None if isinstance(clock, SystemClock) else clock
        self._new_token = new_token
        self._last: _Running | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"PostgresStore({self._address.shown!r})"

    async def init(self) -> None:
        """
        Make the tables, or bring those of an older release up to date. Rows that are there stay.

        Raises:
            StoreUnavailable: The server cannot be reached, the schema holds the tables of another program, or the
                database cannot keep all characters.
            SchemaTooNew: A newer release made them.
        """
        await self._running().pool.run_unchecked(initialize, shown=self._address.shown)

    def on_append(self, callback: Callable[[], None]) -> None:
        """
        Call *callback* whenever a commit, in this process or another, left something to claim.

        It is called in the event loop and must not block. A notification can be lost, so it is a hint to look sooner,
        not a reason not to look.
        """
        self._callbacks.append(callback)
        if self._last is not None:
            self._running().notifier.on_append(callback)

    async def listening(self) -> bool:
        """Whether notifications of other processes arrive at present."""
        return await self._running().notifier.listening()

    async def open(self) -> None:
        self._closed = False
        message = f"the store {self._address.shown} {REFUSED}"
        try:
            is_kept = await self._running().pool.run(prove_writable)
        except NotStorable as exc:
            raise StoreUnusable(message) from exc
        if not is_kept:
            raise StoreUnusable(message)

    async def close(self) -> None:
        self._closed = True
        self._callbacks.clear()
        last, self._last = self._last, None
        if last is not None and last.is_current:
            await last.commits.drain()
            await last.lookups.drain()
            await last.notifier.close()
            await last.pool.close()

    async def commit(self, unit: Unit) -> Committed:
        running = self._running()
        if unit.is_empty:
            await running.pool.open()
            return Committed(verdict=CommitVerdict.COMMITTED)
        answer = await running.commits.call(unit)
        if answer.verdict is CommitVerdict.COMMITTED:
            running.notifier.committed(unit, answer)
        return answer

    async def claim(self, queue: str, limit: int, lease_seconds: float) -> list[Claim]:
        running = self._running()
        running.notifier.listen()
        return await running.pool.run(queries.claim_heads, queue, limit, lease_seconds, running.tokens)

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> list[Claim]:
        return await self._running().pool.run(queries.renew_leases, claims, lease_seconds)

    async def recall(self, keys: Sequence[tuple[str, str]]) -> Mapping[str, bytes]:
        return await recall_storable(self._running().lookups.call, keys)

    async def next_due_in(self, queue: str) -> float | None:
        return await self._running().pool.run(queries.next_due_in, queue)

    async def stats(self) -> Mapping[str, QueueStats]:
        return await self._running().pool.run(queries.read_stats)

    async def counts(self, *, since: int | None = None, until: int | None = None) -> list[DayCount]:
        return await self._running().pool.run(queries.read_day_counts, since, until)

    async def forget_counts(self, before: int) -> None:
        await self._running().pool.run(queries.forget_day_counts, before)

    async def browse(
        self,
        queue: str,
        *,
        state: EntryState | None = None,
        lane: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> list[Listed]:
        return await self._running().pool.run(queries.browse, queue, state=state, lane=lane, limit=limit, after=after)

    async def find(self, entry_id: str) -> Listed | None:
        return await self._running().pool.run(queries.find, entry_id)

    async def history(self, lanes: Sequence[str], *, limit: int = 1_000) -> list[Listed]:
        return await self._running().pool.run(queries.history, lanes, limit)

    async def retry_dead(self, ids: Sequence[str]) -> int:
        running = self._running()
        retried = await running.pool.run(queries.retry_dead, ids)
        if retried:
            running.notifier.notify()
        return retried

    async def purge(self, *, ended_for_seconds: float) -> int:
        purged = 0
        while some := await self._running().pool.run(queries.purge_some, ended_for_seconds):
            purged += some
        return purged

    async def forget(self, lanes: Sequence[str], *, reason: str, tombstone: Mark) -> int:
        return await self._running().pool.run(queries.forget_lanes, lanes, reason, tombstone)

    async def sweep(self, longest_waits: Mapping[str, float] | None = None) -> None:
        while await self._running().pool.run(queries.sweep_some, longest_waits or {}):
            pass
        await self._running().pool.run(queries.join_day_counts)

    def _running(self) -> _Running:
        if self._closed:
            message = f"the store {self._address.shown} is closed; call `open` to use it again"
            raise StoreUnavailable(message)
        if self._last is not None:
            if self._last.is_current:
                return self._last
            _ABANDONED.append(self._last)
        self._last = running = self._start()
        for callback in self._callbacks:
            running.notifier.on_append(callback)
        return running

    def _start(self) -> _Running:
        tokens = queries.TokenSupply(self._new_token or unique_tokens())
        pool = PostgresPool(self._address, self._clock, dedupe_seconds=self._dedupe_seconds)

        async def commit(units: Sequence[Unit]) -> Sequence[Committed]:
            return await pool.run_alone(commit_units, units, tokens)

        async def look_up(lookups: Sequence[Sequence[tuple[str, str]]]) -> Sequence[Mapping[str, bytes]]:
            keys = list({key for lookup in lookups for _, key in lookup})
            found = await pool.run(queries.recall, keys)
            return [{key: found[key] for _, key in lookup if key in found} for lookup in lookups]

        return _Running(
            process=os.getpid(),
            loop=asyncio.get_running_loop(),
            pool=pool,
            commits=Batches(
                commit, name="kochava-bot-commit", side_by_side=TRANSACTIONS, most=UNITS, touched=touched_by
            ),
            lookups=Batches(look_up, name="kochava-bot-recall", side_by_side=1, most=LOOKUPS),
            notifier=PostgresNotifier(self._address, pool, self._clock, name=unique_tokens()()),
            tokens=tokens,
        )
