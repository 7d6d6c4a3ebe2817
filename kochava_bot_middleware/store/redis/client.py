"""The connection to one server or to a cluster, through redis-py, and what a server must be like to be trusted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ...exceptions import StoreUnavailable
from ..tls import tls_advice
from .address import Durability, RedisAddress

logger = logging.getLogger(__package__)

Command = Sequence[bytes | str | int]

OLDEST = 7
"""The first version of Redis whose scripts say what they may do when memory is full. Valkey began later."""

FAILURES = (Exception,)
"""What redis-py raises has no root of its own: beside its errors there are those of sockets and of clusters."""

_REFUSED_USER = ("noauth", "wrongpass", "invalid username-password", "authentication required")
"""How the answers of servers begin where redis-py only says that there is no connection."""

_REMEDY = "or add ?durability=server to the address if its owner answers for that"


class Client(Protocol):
    """Sends several commands in one round trip."""

    is_cluster: bool

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The answer to each command; an exception where it failed."""

    async def close(self) -> None:
        """Close the connections."""


class ServerClient:
    """One server. A connection that was dropped, or that leads to what is a replica now, is made anew when needed."""

    is_cluster = False

    def __init__(self, address: RedisAddress) -> None:
        where = {"unix_socket_path": address.path} if address.scheme == "unix" else _host(address)
        # What is repeated and what is not is decided in `round_trips`, so redis-py must not repeat anything by itself.
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


class ClusterClient:
    """A cluster; each command goes to the server that has its slot."""

    is_cluster = True

    def __init__(self, address: RedisAddress) -> None:
        self.redis: Any = RedisCluster(retry=Retry(NoBackoff(), 0), **_host(address), **_common(address))

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        sent = (self.redis.execute_command(*command) for command in commands)
        return list(await asyncio.gather(*sent, return_exceptions=True))

    async def close(self) -> None:
        await self.redis.aclose()


async def connect(address: RedisAddress) -> Client:
    """
    Connect, and check that the server is new enough, no replica, and keeps what it is given.

    Raises:
        StoreUnavailable: It cannot be reached, or would lose data.
    """
    server = ServerClient(address)
    client: ServerClient | ClusterClient = server
    try:
        info = await _info(server)
        _check_kind(info, address)
        if _is_cluster(info):
            client = ClusterClient(address)
            await server.close()
        await _check_persistence(client, address)
        return client
    except FAILURES as exc:
        await client.close()
        raise exc if isinstance(exc, StoreUnavailable) else unavailable(exc, address) from exc


def unavailable(exc: BaseException, address: RedisAddress) -> StoreUnavailable:
    """The error to raise for what redis-py raised: what was tried, and how to fix it."""
    text = " ".join(str(exc).split())[:200]
    if address.password:
        text = text.replace(address.password, "…")
    encryption = tls_advice(exc, option="ssl_ca_certs")
    if isinstance(exc, AuthenticationError | AuthorizationError) or text.lower().startswith(_REFUSED_USER):
        advice = "does not accept this user and password; see those in the address"
    elif isinstance(exc, NoPermissionError):
        advice = f"does not permit this user what is needed: all keys beginning with {{{address.prefix}, and scripts"
    elif isinstance(exc, OutOfMemoryError):
        advice = "takes nothing new, since its memory is full; raise its maxmemory, or deliver what waits"
    elif isinstance(exc, ReadOnlyError):
        advice = "is a replica now; name the primary"
    elif "non local key" in text:
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
    error = StoreUnavailable(f"the store {address} {advice} ({type(exc).__name__}: {text})")
    error.__cause__ = exc if isinstance(exc, Exception) else None
    return error


async def _info(server: ServerClient) -> Mapping[str, Any]:
    try:
        info: Mapping[str, Any] = await server.redis.info()
    except NoPermissionError:
        return {}
    return info


def _check_kind(info: Mapping[str, Any], address: RedisAddress) -> None:
    version = str(info.get("redis_version", OLDEST))
    if int(version.partition(".")[0]) < OLDEST:
        message = f"the store {address} is Redis {version}; wanted Redis {OLDEST} or later, or Valkey"
        raise StoreUnavailable(message)
    # Any server of a cluster knows where the primaries are.
    if info.get("role") == "slave" and not _is_cluster(info):
        message = f"the store {address} is a replica, which cannot be written; name the primary"
        raise StoreUnavailable(message)
    if _is_cluster(info) and address.scheme == "unix":
        message = f"the store {address} is a server of a cluster, which has other machines; name its host"
        raise StoreUnavailable(message)


def _is_cluster(info: Mapping[str, Any]) -> bool:
    # Not its mode, which Redis and Valkey report under different names.
    return bool(info.get("cluster_enabled"))


async def _check_persistence(client: ServerClient | ClusterClient, address: RedisAddress) -> None:
    if address.durability is Durability.SERVER:
        return
    is_always, is_known = True, True
    for server in await _servers(client):
        config = await _config(client, server, address)
        fault = _fault(config)
        if fault is not None:
            message = f"the store {address} {fault}, {_REMEDY}"
            raise StoreUnavailable(message)
        is_known = is_known and "appendfsync" in config
        is_always = is_always and config.get("appendfsync") == "always"
    if address.durability is Durability.FSYNC and not is_always:
        await _check_waiting(client, address)
    elif not is_known:
        logger.warning(
            "appendfsync_unknown: the store %s forbids CONFIG GET, so a power cut may lose half a minute; see "
            "that its appendfsync is everysec or always, and add ?durability=server to the address, which trusts it",
            address,
        )


async def _servers(client: ServerClient | ClusterClient) -> list[dict[str, Any]]:
    """The arguments that direct a command to each server."""
    if isinstance(client, ServerClient):
        return [{}]
    await client.redis.initialize()
    return [{"target_nodes": node} for node in client.redis.get_primaries()]


async def _config(
    client: ServerClient | ClusterClient, server: dict[str, Any], address: RedisAddress
) -> Mapping[str, str]:
    names = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
    try:
        config = await client.redis.config_get(*names, **server)
        return {name: config[name] for name in names}
    except (ResponseError, KeyError):
        # Hosted servers keep their configuration to themselves, but mostly report what it does.
        pass
    try:
        info = await client.redis.info(**server)
        appendonly = "yes" if info["aof_enabled"] else "no"
        return {
            "appendonly": appendonly,
            "maxmemory": info["maxmemory"],
            "maxmemory-policy": info["maxmemory_policy"],
        }
    except (NoPermissionError, KeyError) as exc:
        message = f"the store {address} does not say whether it keeps data; permit CONFIG GET or INFO, {_REMEDY}"
        raise StoreUnavailable(message) from exc


def _fault(config: Mapping[str, str]) -> str | None:
    """What would lose data, and how to fix it."""
    policy = config["maxmemory-policy"]
    if config["appendonly"] != "yes":
        return "has appendonly no, so a restart loses events; set appendonly yes"
    if config.get("appendfsync") == "no":
        return "has appendfsync no, so a power cut loses half a minute of events; set appendfsync everysec or always"
    if int(config["maxmemory"]) and policy != "noeviction":
        return f"throws away keys when its memory is full (maxmemory-policy {policy}); set it to noeviction"
    return None


async def _check_waiting(client: ServerClient | ClusterClient, address: RedisAddress) -> None:
    if isinstance(client, ClusterClient):
        message = f"the store {address} is a cluster, where durability=fsync needs appendfsync always on each server"
        raise StoreUnavailable(message)
    try:
        await client.redis.execute_command("WAITAOF", 0, 0, 0)
    except ResponseError as exc:
        message = f"the store {address} has no WAITAOF; set appendfsync always, or leave out durability=fsync"
        raise StoreUnavailable(message) from exc


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
