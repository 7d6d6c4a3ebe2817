"""The connections to PostgreSQL, transactions on them, and the errors they raise."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import asyncpg  # type: ignore[import-untyped]

from ...clock import Clock
from ...exceptions import NotStorable, StoreUnavailable
from .address import PostgresAddress
from .errors import FAILURES, classify
from .schema import check, emptied
from .session import PostgresSession, TablesEmptied

P = ParamSpec("P")
T = TypeVar("T")

ATTEMPTS = 20
"""How often a transaction is begun again after an error that passes."""

_SETTINGS = {
    # A process that is stopped in the middle must not lock its lanes for ever.
    "idle_in_transaction_session_timeout": "3000",
    "lock_timeout": "5000",
    # A plan made while the tables were empty would read them whole for as long as it is cached.
    **{f"enable_{kind}": "off" for kind in ("seqscan", "bitmapscan", "hashjoin", "mergejoin")},
    # Planning takes longer than running, and what is passed in arrays makes no other plan better.
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}

_BEGIN = "; ".join(
    ("BEGIN ISOLATION LEVEL READ COMMITTED", *(f"SET LOCAL {name} TO {value}" for name, value in _SETTINGS.items()))
)

_BEGIN_CHECKED = f"{_BEGIN}; SELECT FROM {{s}}.store_version"
"""Without a round trip more, this notices that somebody emptied the tables. The answer is that of the last command."""

PASSING = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError)
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
        return await self._shielded((_BEGIN_CHECKED,), work, *args, **kwargs)

    async def run_alone(
        self, work: Callable[Concatenate[PostgresSession, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        The same, but at first with each statement as a transaction of its own, which saves the round trips that begin
        and end one. *work* fails then if it meets another transaction; it is repeated in one.
        """
        await self.open()
        # Behind a pooler, even the two messages of one statement stay together only within a transaction.
        begins = (None, _BEGIN_CHECKED) if self._address.statement_cache else (_BEGIN_CHECKED,)
        return await self._shielded(begins, work, *args, **kwargs)

    async def run_unchecked(
        self, work: Callable[Concatenate[PostgresSession, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same, whether or not the tables are there."""
        return await self._shielded((_BEGIN,), work, *args, **kwargs)

    async def _shielded(
        self,
        begins: Sequence[str | None],
        work: Callable[Concatenate[PostgresSession, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """
        It is finished even if the caller is cancelled meanwhile.

        Args:
            begins: How each attempt begins its transaction, the last one also all further ones; ``None``: with none.
        """
        task = asyncio.get_running_loop().create_task(self._run(begins, work, *args, **kwargs))
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
        begins: Sequence[str | None],
        work: Callable[Concatenate[PostgresSession, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with _translated(self._address.shown):
                    async with self._session(begins[min(attempt, len(begins)) - 1]) as session:
                        return await work(session, *args, **kwargs)
            except PASSING as exc:
                if attempt == ATTEMPTS and isinstance(exc, asyncpg.UniqueViolationError):
                    # Nobody is as unlucky as this: it is what the unit is.
                    raise classify(exc, self._address.shown) from None
        message = f"the store {self._address.shown} is too busy: {ATTEMPTS} attempts met another transaction"
        raise StoreUnavailable(message)

    @contextlib.asynccontextmanager
    async def _session(self, begin: str | None) -> AsyncIterator[PostgresSession]:
        """In a transaction; without *begin*, in none."""
        timeout = self._address.timeout_seconds
        pool = await self._connected()
        connection = await pool.acquire(timeout=timeout)
        try:
            schema = self._address.schema
            if begin is not None and await connection.execute(begin.replace("{s}", schema)) == "SELECT 0":
                raise TablesEmptied
            yield PostgresSession(
                connection=connection,
                schema=schema,
                now=None if self._clock is None else self._clock.now(),
                dedupe_seconds=self._dedupe_seconds,
                is_transaction=begin is not None,
            )
            if begin is not None:
                await connection.execute("COMMIT")
        except TablesEmptied:
            await _roll_back(connection)
            raise emptied(self._address.shown, self._address.schema) from None
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
                        # A pooler knows none of these.
                        server_settings=_SETTINGS if address.statement_cache else None,
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
