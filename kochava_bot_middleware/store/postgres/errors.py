"""Which error of a store an error of asyncpg is: one that passes, one of this unit alone, or one that needs repair."""

from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]

from ...exceptions import NotStorable, StoreError, StoreUnavailable, StoreUnusable
from ..tls import tls_advice
from ..unforeseen import unforeseen

FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What asyncpg raises for the server and the connection."""

_OF_THE_UNIT: tuple[tuple[type[BaseException], str], ...] = (
    (asyncpg.ProgramLimitExceededError, "too large for the store"),
    (asyncpg.IntegrityConstraintViolationError, "refused by a constraint of the store"),
    (asyncpg.DataError, "the store has no form for it"),
    (UnicodeError, "the store has no form for it"),
    (OverflowError, "the store has no form for it"),
)

_WANTS_REPAIR: tuple[tuple[type[BaseException], str], ...] = (
    (asyncpg.InvalidAuthorizationSpecificationError, "refuses this user; check user and password of the address"),
    (asyncpg.InvalidCatalogNameError, "has no such database; check the address, or create it"),
    (asyncpg.InsufficientPrivilegeError, "does not give this user the rights it needs; grant them"),
    (asyncpg.ReadOnlySQLTransactionError, "is read-only; name the primary, or add ?target_session_attrs=read-write"),
    (asyncpg.UndefinedTableError, "misses our tables; run `kochava-bot store init`"),
    (asyncpg.UndefinedColumnError, "has other tables than ours; run `kochava-bot store init`"),
    (asyncpg.InvalidSchemaNameError, "misses our tables; run `kochava-bot store init`"),
    (asyncpg.InvalidSQLStatementNameError, "is behind a pooler; add ?statement_cache=0"),
    (asyncpg.DuplicatePreparedStatementError, "is behind a pooler; add ?statement_cache=0"),
    (asyncpg.ClientConfigurationError, "cannot be used as its address says; check sslmode and sslrootcert in it"),
    (FileNotFoundError, "has a file in its address that is not there; check host, sslrootcert, sslcert and sslkey"),
)

_PASSING: tuple[tuple[type[BaseException], str], ...] = (
    (asyncpg.TooManyConnectionsError, "has no connection left; lower ?connections=, or raise its max_connections"),
    (asyncpg.DiskFullError, "cannot grow, since its disk is full; free some space"),
    (asyncpg.LockNotAvailableError, "is held by another process; the lock ends within seconds"),
    (TimeoutError, "did not answer in time; check that it runs and is not overloaded"),
    (OSError, "cannot be reached; check that it runs, and host and port of the address"),
    (asyncpg.PostgresConnectionError, "closed the connection; check that it runs"),
    (asyncpg.OperatorInterventionError, "closed the connection; check that it runs"),
)


def classify(exc: Exception, shown: str) -> StoreError:
    """
    The error to raise for *exc*: what was tried, and how to fix it.

    Only what is said of a value is a fault of the unit, such as a text that is not UTF-8.

    Args:
        shown: The address of the store.
    """
    if isinstance(exc, StoreError):
        return exc
    for kind, reason in _OF_THE_UNIT:
        if isinstance(exc, kind):
            return NotStorable(f"the store {shown} cannot keep this ({type(exc).__name__})", reason=reason)
    if not isinstance(exc, (*FAILURES, MemoryError)):
        return unforeseen(exc, shown)
    said = str(exc).partition("\n")[0] or type(exc).__name__
    repair = next((text for kind, text in _WANTS_REPAIR if isinstance(exc, kind)), None)
    if repair is not None:
        return StoreUnusable(f"the store {shown} {repair} (PostgreSQL: {said})")
    return StoreUnavailable(f"the store {shown} {_advice(exc)} (PostgreSQL: {said})")


def _advice(exc: BaseException) -> str:
    if "rejected SSL upgrade" in str(exc):
        return "has no TLS; set ssl = on at the server, or leave sslmode out of the address where the network is safe"
    encryption = tls_advice(exc, option="sslrootcert")
    return encryption or next((text for kind, text in _PASSING if isinstance(exc, kind)), "cannot be used")
