"""The connections to PostgreSQL, transactions on them, and the errors they raise."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

import asyncpg  # type: ignore[import-untyped]

from ...clock import Clock
from ...exceptions import NotStorable, StoreUnavailable
from .address import PostgresAddress
from .errors import FAILURES, classify
from .schema import check, emptied
from .session import PostgresSession, Raced

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 20
"""How often a transaction is begun again after an error that passes."""

_BEGIN = "; ".join(
    (
        "BEGIN ISOLATION LEVEL READ COMMITTED",
        # A process that is stopped in the middle must not lock its lanes for ever.
        "SET LOCAL idle_in_transaction_session_timeout TO 3000",
        "SET LOCAL lock_timeout TO 5000",
        # A plan made while the tables were empty would read them whole for as long as it is cached.
        *(f"SET LOCAL enable_{kind} TO off" for kind in ("seqscan", "bitmapscan", "hashjoin", "mergejoin")),
        "SET LOCAL jit TO off",
    )
)

_BEGIN_CHECKED = f"{_BEGIN}; SELECT FROM {{s}}.store_version"
"""Without a round trip more, this notices that somebody emptied the tables. The answer is that of the last command."""

PASSING = (Raced, asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError)
"""Errors after which the same transaction, begun again, is likely to succeed. Nothing was written."""


class PostgresPool:
    """
    Connections, opened when first needed. All that a transaction sets ends with it, so that a pooler may be in between.

    Args:
        address: Where, and how many.
        clock: Used instead of the server's clock; ``None``: the server's is used.
        dedupe_seconds: See `StoreSettings`.
    """

    def __init__(self, address: PostgresAddress, clock: Clock | None, *, dedupe_seconds: float) -> None:
        self._address = address
        self._clock = clock
        self._dedupe_seconds = dedupe_seconds
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._working: set[asyncio.Task[Any]] = set()
        self._is_checked = False

    async def open(self) -> None:
        """
        Connect, and check the tables.

        Raises:
            StoreUnavailable: The server cannot be reached, or `store init` was not run.
            SchemaTooNew: A newer release made the tables.
        """
        if not self._is_checked:
            trusts_server = self._address.durability == "server"
            await self.run_unchecked(check, shown=self._address.shown, trusts_server=trusts_server)
            self._is_checked = True

    async def close(self) -> None:
        """Close every connection, once what was begun is finished."""
        if self._working:
            await asyncio.wait(set(self._working))
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                await asyncio.wait_for(pool.close(), self._address.timeout_seconds)
            except FAILURES:
                pool.terminate()

    async def run(
        self, work: Callable[Concatenate[PostgresSession, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do *work* in a transaction of its own, repeated if it met another transaction."""
        await self.open()
        return await self._shielded(_BEGIN_CHECKED, work, *args, **kwargs)

    async def run_unchecked(
        self, work: Callable[Concatenate[PostgresSession, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same, whether or not the tables are there."""
        return await self._shielded(_BEGIN, work, *args, **kwargs)

    async def _shielded(
        self,
        begin: str,
        work: Callable[Concatenate[PostgresSession, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """It is finished even if the caller is cancelled meanwhile."""
        task = asyncio.get_running_loop().create_task(self._run(begin, work, *args, **kwargs))
        self._working.add(task)
        task.add_done_callback(self._worked)
        return await asyncio.shield(task)

    def _worked(self, task: asyncio.Task[Any]) -> None:
        self._working.discard(task)
        # An error that no caller waits for any more must not be reported as never retrieved.
        if not task.cancelled():
            task.exception()

    async def _run(
        self,
        begin: str,
        work: Callable[Concatenate[PostgresSession, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with _translated(self._address.shown):
                    async with self._transaction(begin) as session:
                        return await work(session, *args, **kwargs)
            except PASSING as exc:
                if attempt == ATTEMPTS and isinstance(exc, asyncpg.UniqueViolationError):
                    # Nobody is as unlucky as this: it is what the unit is.
                    raise classify(exc, self._address.shown) from None
        message = f"the store {self._address.shown} is too busy: {ATTEMPTS} attempts met another transaction"
        raise StoreUnavailable(message)

    @contextlib.asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[PostgresSession]:
        timeout = self._address.timeout_seconds
        pool = await self._connected()
        connection = await pool.acquire(timeout=timeout)
        try:
            schema = self._address.schema
            if await connection.execute(begin.replace("{s}", schema)) == "SELECT 0":
                raise emptied(self._address.shown, schema)
            now = None if self._clock is None else self._clock.now()
            yield PostgresSession(connection=connection, schema=schema, now=now, dedupe_seconds=self._dedupe_seconds)
            await connection.execute("COMMIT")
        except Exception as exc:
            await _roll_back(connection)
            if isinstance(exc, asyncpg.ReadOnlySQLTransactionError):
                # It is a standby, or became one, and the address may lead to another primary by now.
                await pool.expire_connections()
            raise
        except BaseException:
            # The event loop stops, perhaps in the middle of an answer.
            connection.terminate()
            raise
        finally:
            await pool.release(connection, timeout=timeout)

    async def _connected(self) -> Any:
        if self._pool is None:
            async with self._opening:
                if self._pool is None:
                    address = self._address
                    self._pool = await asyncpg.create_pool(
                        address.dsn.value,
                        min_size=0,
                        max_size=address.connections,
                        statement_cache_size=address.statement_cache,
                        timeout=address.timeout_seconds,
                        command_timeout=address.timeout_seconds,
                        reset=_leave_as_it_is,
                    )
        return self._pool


async def _leave_as_it_is(_connection: Any) -> None:
    """A transaction leaves nothing behind that would have to be reset, which would cost a round trip each time."""


async def _roll_back(connection: Any) -> None:
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except FAILURES:
        connection.terminate()


@contextlib.contextmanager
def _translated(shown: str) -> Iterator[None]:
    """Raise what asyncpg raises as `StoreError`; errors that are `PASSING` stay as they are."""
    try:
        yield
    except PASSING:
        raise
    except Exception as exc:
        error = classify(exc, shown)
        if error is exc:
            raise
        # The server's message may hold what a person wrote.
        raise error from None if isinstance(error, NotStorable) else exc
