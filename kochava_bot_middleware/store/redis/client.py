"""The connection to one server or to a cluster, through redis-py, and what a server must be like to be trusted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError, ReadOnlyError, ResponseError

from ...exceptions import StoreUnusable
from .address import Durability, RedisAddress
from .errors import classify

logger = logging.getLogger(__package__)

Command = Sequence[bytes | str | int]

OLDEST = 7
"""The first version of Redis whose scripts say what they may do when memory is full. Valkey began later."""

FAILURES = (Exception,)
"""What redis-py raises has no root of its own: beside its errors there are those of sockets and of clusters."""

LONGEST_ARGUMENT = 512 * 1024 * 1024
"""The server's own default of ``proto-max-bulk-len``."""

_REMEDY = "or add ?durability=server to the address if its owner answers for that"


class Client(Protocol):
    """Sends several commands in one round trip."""

    is_cluster: bool

    longest_argument: int
    """Bytes of the longest argument that the server takes. It breaks the connection over a longer one."""

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """The answer to each command; an exception where it failed."""

    async def close(self) -> None:
        """Close the connections."""


class ServerClient:
    """One server. A connection that was dropped, or that leads to what is a replica now, is made anew when needed."""

    is_cluster = False
    longest_argument = LONGEST_ARGUMENT

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
    longest_argument = LONGEST_ARGUMENT

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
        client.longest_argument = await _longest_argument(client)
        return client
    except FAILURES as exc:
        await client.close()
        raise classify(exc, address) from exc.__cause__


async def _longest_argument(client: ServerClient | ClusterClient) -> int:
    try:
        answers = [await client.redis.config_get("proto-max-bulk-len", **server) for server in await _servers(client)]
        return min(int(answer["proto-max-bulk-len"]) for answer in answers)
    except (ResponseError, KeyError, ValueError):
        # Hosted servers keep their configuration to themselves.
        return LONGEST_ARGUMENT


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
        raise StoreUnusable(message)
    # Any server of a cluster knows where the primaries are.
    if info.get("role") == "slave" and not _is_cluster(info):
        message = f"the store {address} is a replica, which cannot be written; name the primary"
        raise StoreUnusable(message)
    if _is_cluster(info) and address.scheme == "unix":
        message = f"the store {address} is a server of a cluster, which has other machines; name its host"
        raise StoreUnusable(message)


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
            raise StoreUnusable(message)
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
        raise StoreUnusable(message) from exc


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
        raise StoreUnusable(message)
    try:
        await client.redis.execute_command("WAITAOF", 0, 0, 0)
    except ResponseError as exc:
        message = f"the store {address} has no WAITAOF; set appendfsync always, or leave out durability=fsync"
        raise StoreUnusable(message) from exc


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
