"""What is looked at before a server is trusted: that it is new enough, no replica, and keeps what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from redis.exceptions import NoPermissionError, ResponseError

from ...exceptions import StoreUnavailable
from .address import Durability, RedisAddress
from .client import FAILURES, Client, Cluster, OneServer, unavailable

OLDEST = 7
"""The first version of Redis whose scripts say what they may do when memory is full. Valkey began later."""

REMEDY = "or add ?durability=server to the address if its owner answers for that"


@attrs.frozen(kw_only=True)
class Persistence:
    """
    Whether a server keeps what it is given.

    Attributes:
        appendonly: It writes a log.
        appendfsync: When that is brought to the disk; ``None`` when the server does not tell.
        maxmemory: Bytes; 0 for no limit.
        policy: What it does at that limit.
    """

    appendonly: bool
    appendfsync: str | None
    maxmemory: int
    policy: str

    def fault(self) -> str | None:
        """What would lose data, and how to mend it."""
        if not self.appendonly:
            return "has appendonly no, so a restart loses events; set appendonly yes"
        if self.appendfsync == "no":
            return (
                "has appendfsync no, so a power cut loses half a minute of events; set appendfsync everysec or always"
            )
        if self.maxmemory and self.policy != "noeviction":
            return f"throws away keys when its memory is full (maxmemory-policy {self.policy}); set it to noeviction"
        return None


async def open_client(address: RedisAddress) -> Client:
    """
    Connect, and look whether the server can be trusted.

    Raises:
        StoreUnavailable: It cannot be reached, or would lose data.
    """
    server = OneServer(address)
    client: OneServer | Cluster = server
    try:
        info = await _info(server)
        _check_kind(info, address)
        if _is_cluster(info):
            client = Cluster(address)
            await server.close()
        await _check_persistence(client, address)
        return client
    except FAILURES as exc:
        await client.close()
        raise exc if isinstance(exc, StoreUnavailable) else unavailable(exc, address) from exc


async def _info(server: OneServer) -> Mapping[str, Any]:
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
    # Any server of a cluster tells where the primaries are.
    if info.get("role") == "slave" and not _is_cluster(info):
        message = f"the store {address} is a replica, which cannot be written; name the primary"
        raise StoreUnavailable(message)
    if _is_cluster(info) and address.scheme == "unix":
        message = f"the store {address} is a server of a cluster, which has other machines; name its host"
        raise StoreUnavailable(message)


def _is_cluster(info: Mapping[str, Any]) -> bool:
    # Not its mode, which Redis and Valkey tell by different names.
    return bool(info.get("cluster_enabled"))


async def _check_persistence(client: OneServer | Cluster, address: RedisAddress) -> None:
    if address.durability is Durability.SERVER:
        return
    is_always = True
    for server in await _servers(client):
        persistence = await _persistence(client, server, address)
        fault = persistence.fault()
        if fault is not None:
            message = f"the store {address} {fault}, {REMEDY}"
            raise StoreUnavailable(message)
        is_always = is_always and persistence.appendfsync == "always"
    if address.durability is Durability.FSYNC and not is_always:
        await _check_waiting(client, address)


async def _servers(client: OneServer | Cluster) -> list[dict[str, Any]]:
    """The arguments that direct a command to each server."""
    if isinstance(client, OneServer):
        return [{}]
    await client.redis.initialize()
    return [{"target_nodes": node} for node in client.redis.get_primaries()]


async def _persistence(client: OneServer | Cluster, server: dict[str, Any], address: RedisAddress) -> Persistence:
    names = ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
    try:
        config = await client.redis.config_get(*names, **server)
        return Persistence(
            appendonly=config["appendonly"] == "yes",
            appendfsync=config["appendfsync"],
            maxmemory=int(config["maxmemory"]),
            policy=config["maxmemory-policy"],
        )
    except (ResponseError, KeyError):
        # Hosted servers keep their configuration to themselves, but mostly tell what it does.
        pass
    try:
        info = await client.redis.info(**server)
        return Persistence(
            appendonly=bool(info["aof_enabled"]),
            appendfsync=None,
            maxmemory=int(info["maxmemory"]),
            policy=info["maxmemory_policy"],
        )
    except (NoPermissionError, KeyError) as exc:
        message = f"the store {address} does not tell whether it keeps data; permit CONFIG GET or INFO, {REMEDY}"
        raise StoreUnavailable(message) from exc


async def _check_waiting(client: OneServer | Cluster, address: RedisAddress) -> None:
    if isinstance(client, Cluster):
        message = f"the store {address} is a cluster, where durability=fsync needs appendfsync always on each server"
        raise StoreUnavailable(message)
    try:
        await client.redis.execute_command("WAITAOF", 0, 0, 0)
    except ResponseError as exc:
        message = f"the store {address} has no WAITAOF; set appendfsync always, or leave out durability=fsync"
        raise StoreUnavailable(message) from exc
