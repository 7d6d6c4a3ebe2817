"""What asyncpg raises, as what the callers of a store know."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from ...exceptions import StoreError, StoreUnavailable
from ..tls import tls_advice


class Raced(Exception):
    """Another process changed in between what a decision rests on: decide anew."""


PASSING = (Raced, asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError)
"""Errors after which the same transaction, begun again, is likely to succeed. Nothing was written."""

_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)

_ADVICE: tuple[tuple[type[BaseException], str], ...] = (
    (asyncpg.InvalidAuthorizationSpecificationError, "refuses this user; see user and password of the address"),
    (asyncpg.InvalidCatalogNameError, "has no such database; see the address, or create it"),
    (asyncpg.InsufficientPrivilegeError, "does not give this user the rights it needs; grant them"),
    (asyncpg.ReadOnlySQLTransactionError, "is read-only; name the primary, or add ?target_session_attrs=read-write"),
    (asyncpg.UndefinedTableError, "misses our tables; run `kochava-bot store init`"),
    (asyncpg.InvalidSchemaNameError, "misses our tables; run `kochava-bot store init`"),
    (asyncpg.TooManyConnectionsError, "has no connection left; lower ?connections=, or raise its max_connections"),
    (asyncpg.DiskFullError, "cannot grow, since its disk is full; make room on it"),
    (asyncpg.LockNotAvailableError, "is held by another process; it is let go within seconds"),
    (asyncpg.InvalidSQLStatementNameError, "is behind a pooler; add ?statement_cache=0"),
    (asyncpg.DuplicatePreparedStatementError, "is behind a pooler; add ?statement_cache=0"),
    (asyncpg.ClientConfigurationError, "cannot be used as its address says; see sslmode and sslrootcert in it"),
    (FileNotFoundError, "has a file in its address that is not there; see host, sslrootcert, sslcert and sslkey"),
    (TimeoutError, "did not answer in time; see that it runs and is not overloaded"),
    (OSError, "cannot be reached; see that it runs, and host and port of the address"),
    (asyncpg.PostgresConnectionError, "closed the connection; see that it runs"),
    (asyncpg.OperatorInterventionError, "closed the connection; see that it runs"),
)


@contextlib.contextmanager
def translated(shown: str) -> Iterator[None]:
    """
    Raise what asyncpg raises as `StoreError`; what is `PASSING` is for whoever tries again.

    Args:
        shown: The address without its password.

    Raises:
        StoreUnavailable: The server cannot be reached, or does not do it now.
        StoreError: What was given cannot be kept.
    """
    try:
        yield
    except (StoreError, *PASSING):
        raise
    except _REFUSED as exc:
        # Its message may hold what a person wrote.
        message = f"the store {shown} cannot keep this ({type(exc).__name__})"
        raise StoreError(message) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as exc:
        advice = _advice(exc)
        said = str(exc).partition("\n")[0] or type(exc).__name__
        message = f"the store {shown} {advice} (PostgreSQL: {said})"
        raise StoreUnavailable(message) from exc


def refuse(futures: Iterable[asyncio.Future[Any]], exc: Exception) -> None:
    """Give *exc* to all who wait for the same transaction, to each its own, since raising one changes it."""
    for future in futures:
        if not future.done():
            own = type(exc)(*exc.args) if isinstance(exc, StoreError) else exc
            own.__cause__ = exc.__cause__
            future.set_exception(own)


def _advice(exc: BaseException) -> str:
    if "rejected SSL upgrade" in str(exc):
        return "has no TLS; set ssl = on at the server, or leave sslmode out of the address where the way to it is safe"
    encryption = tls_advice(exc, option="sslrootcert")
    return encryption or next((text for kind, text in _ADVICE if isinstance(exc, kind)), "cannot be used")
