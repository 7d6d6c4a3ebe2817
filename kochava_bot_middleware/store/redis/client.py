"""The connection to one server or to a cluster, through redis-py."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ...exceptions import StoreUnavailable
from ..tls import tls_advice
from .address import RedisAddress

Command = Sequence[bytes | str | int]

FAILURES = (Exception,)
"""What redis-py raises has no root of its own: beside its errors there are those of sockets and of clusters."""


_REFUSED_USER = ("noauth", "wrongpass", "invalid username-password", "authentication required")
"""How servers begin to say so where redis-py only says that there is no connection."""


class Client(Protocol):
    """Sends what is handed over in one round trip."""

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The answer to each command; an exception where it failed."""

    async def close(self) -> None:
        """Let go of the connections."""


class OneServer:
    """One server; a dropped connection is made anew by the next round trip. One to what is a replica now is dropped."""

    def __init__(self, address: RedisAddress) -> None:
        where = {"unix_socket_path": address.path} if address.scheme == "unix" else _host(address)
        # What to do again and what not is decided in `redis_line`, so redis-py must not try again by itself.
        self.redis: Any = Redis(db=address.database, retry=Retry(NoBackoff(), 0), **where, **_common(address))

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        pipeline = self.redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        except FAILURES as exc:
            return [exc] * len(commands)
        if any(isinstance(answer, ReadOnlyError) for answer in answers):
            # It was made a replica, and the address may lead to the new primary by now.
            await self.redis.connection_pool.disconnect(inuse_connections=False)
        return answers

    async def close(self) -> None:
        await self.redis.aclose()


class Cluster:
    """A cluster; each command goes to the server that has its slot."""

    def __init__(self, address: RedisAddress) -> None:
        self.redis: Any = RedisCluster(retry=Retry(NoBackoff(), 0), **_host(address), **_common(address))

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        sent = (self.redis.execute_command(*command) for command in commands)
        return list(await asyncio.gather(*sent, return_exceptions=True))

    async def close(self) -> None:
        await self.redis.aclose()


def unavailable(exc: BaseException, address: RedisAddress) -> StoreUnavailable:
    """The error to raise for what redis-py says: what was tried, and how to mend it."""
    said = " ".join(str(exc).split())[:200]
    if address.password:
        said = said.replace(address.password, "…")
    encryption = tls_advice(exc, option="ssl_ca_certs")
    if isinstance(exc, AuthenticationError | AuthorizationError) or said.lower().startswith(_REFUSED_USER):
        advice = "does not accept this user and password; see those in the address"
    elif isinstance(exc, NoPermissionError):
        advice = f"does not permit this user what is needed: all keys beginning with {{{address.prefix}, and scripts"
    elif isinstance(exc, OutOfMemoryError):
        advice = "takes nothing new, since its memory is full; raise its maxmemory, or deliver what waits"
    elif isinstance(exc, ReadOnlyError):
        advice = "is a replica now; name the primary"
    elif "non local key" in said:
        advice = "has keys on two servers of its cluster; see that the move of their slot goes on to its end"
    elif isinstance(exc, RedisTimeoutError):
        advice = f"did not answer within {address.timeout_seconds:g} s, so whether it wrote is unknown"
    elif encryption is not None:
        advice = encryption
    elif address.tls and isinstance(exc.__context__, FileNotFoundError):
        advice = f"has a file in its address that is not there; see {', '.join(address.tls)}"
    elif isinstance(exc, RedisConnectionError | OSError):
        hint = ", which begins with rediss:// if it wants TLS" if address.scheme == "redis" else ""
        advice = f"cannot be reached; see that the server runs, and that this is its address{hint}"
    else:
        advice = "cannot be used"
    error = StoreUnavailable(f"the store {address} {advice} ({type(exc).__name__}: {said})")
    error.__cause__ = exc if isinstance(exc, Exception) else None
    return error


def _host(address: RedisAddress) -> dict[str, Any]:
    where: dict[str, Any] = {"host": address.host, "port": address.port}
    if address.scheme == "rediss":
        where |= {"ssl": True, "ssl_check_hostname": True, **address.tls}
    return where


def _common(address: RedisAddress) -> dict[str, Any]:
    return {
        "username": address.username,
        "password": address.password,
        "socket_timeout": address.timeout_seconds,
        "socket_connect_timeout": address.timeout_seconds,
        "socket_keepalive": True,
        "client_name": "kochava-bot",
        "protocol": 2,
    }
