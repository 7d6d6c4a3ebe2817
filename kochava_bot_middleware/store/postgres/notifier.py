"""
Waking other processes: a NOTIFY after a commit that leaves something to claim, and a connection that listens.

Both are only for promptness. A notification may be lost, so a consumer also looks by itself now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]

from ...clock import Clock, SystemClock
from ...exceptions import StoreError
from ..notify import leaves_work
from ..records import Committed, Unit
from .address import PostgresAddress
from .errors import FAILURES
from .pool import PostgresPool
from .session import PostgresSession

RECONNECT_SECONDS = 5.0
"""How long to wait after a failed attempt to listen."""

# Whether a notification outlives a crash of the server does not matter, so it does not wait for the disk.
_NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"


class PostgresNotifier:
    """
    Notifies other processes that there is something to claim, and calls the callbacks of this one when they notify it.

    Notifications are sent after the commit, in a transaction of their own, and never two at a time: PostgreSQL lets
    only one transaction that notifies commit at once, which must not slow down all commits.

    Args:
        address: Where, and whether to listen.
        pool: Notifications are sent through it.
        clock: Tells when to connect again.
        name: Unlike that of any other store, so that it recognizes its own notifications.
    """

    def __init__(self, address: PostgresAddress, pool: PostgresPool, clock: Clock | None, *, name: str) -> None:
        self._address = address
        self._pool = pool
        self._clock = clock or SystemClock()
        self._name = name
        self._channel = f"{address.schema}_due"
        self._is_pending = False
        self._sending: asyncio.Task[None] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._connecting: asyncio.Task[None] | None = None
        self._connection: Any = None
        self._tried_at: float | None = None

    def committed(self, unit: Unit, answer: Committed) -> None:
        """Notify if *unit* left something for others to claim."""
        if leaves_work(unit, answer):
            self.notify()

    def notify(self) -> None:
        """Call the callbacks of this process and wake the others."""
        self._wake()
        self._is_pending = True
        if self._sending is None or self._sending.done():
            self._sending = asyncio.get_running_loop().create_task(self._send(), name="kochava-bot-notify")

    def on_append(self, callback: Callable[[], None]) -> None:
        """Call *callback* from now on."""
        self._callbacks.append(callback)
        self.listen()

    def listen(self) -> None:
        """Connect in the background, if there are callbacks and no connection."""
        if not self._callbacks or self._address.listen == "off" or self._connecting is not None or self._is_connected():
            return
        now = self._clock.monotonic()
        if self._tried_at is None or now - self._tried_at >= RECONNECT_SECONDS:
            self._tried_at = now
            self._connecting = asyncio.get_running_loop().create_task(self._connect(), name="kochava-bot-listen")

    async def listening(self) -> bool:
        """Whether there is a connection that listens; one that is being made is waited for."""
        if self._connecting is not None:
            await asyncio.wait([self._connecting])
        return self._is_connected()

    async def close(self) -> None:
        """Send what is pending, and listen no longer."""
        if self._sending is not None:
            await asyncio.wait([self._sending])
        connecting = self._connecting
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        if self._connection is not None:
            self._callbacks.clear()
            with contextlib.suppress(*FAILURES):
                await self._connection.close(timeout=self._address.timeout_seconds)

    def _is_connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    def _wake(self) -> None:
        for callback in self._callbacks:
            callback()

    async def _send(self) -> None:
        while self._is_pending:
            self._is_pending = False
            with contextlib.suppress(StoreError):
                await self._pool.run_alone(PostgresSession.fetch, _NOTIFY, self._channel, self._name)

    async def _connect(self) -> None:
        timeout = self._address.timeout_seconds
        try:
            connection = await asyncpg.connect(_direct_dsn(self._address), timeout=timeout, command_timeout=timeout)
            self._connection = connection
            connection.add_termination_listener(lambda _connection: self._wake())
            await connection.add_listener(self._channel, self._received)
            # For what was appended before this connection listened.
            self._wake()
        except FAILURES:
            if self._connection is not None:
                self._connection.terminate()
        finally:
            self._connecting = None

    def _received(self, _connection: Any, _pid: int, _channel: str, name: str) -> None:
        if name != self._name:
            self._wake()


def _direct_dsn(address: PostgresAddress) -> str:
    """The server's own address, since a pooler in transaction mode does not pass on notifications."""
    dsn: str = address.dsn.value
    if address.listen == "on":
        return dsn
    parts = urlsplit(dsn)
    user, at, _ = parts.netloc.rpartition("@")
    options = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("host", "port")]
    return urlunsplit(parts._replace(netloc=f"{user}{at}{address.listen}", query=urlencode(options)))
