"""What belongs to one process and one event loop: the connections to a server, and what goes by them."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine, Mapping

import attrs

from ...exceptions import SchemaTooNew, StoreUnavailable
from . import scripts
from .address import Durability, RedisAddress
from .client import Client, Cluster
from .line import Line
from .notifier import RedisNotifier
from .opening import open_client

SCHEMA = 1
"""The version of what the scripts write."""


@attrs.frozen(kw_only=True)
class Session:
    """An open store. What writes and what looks go by different connections."""

    client: Client
    writes: Line
    looks: Line
    bell: RedisNotifier

    async def close(self) -> None:
        """Finish what was begun and let go of the connections."""
        await self.writes.finish()
        await self.looks.finish()
        await self.bell.close()
        await self.client.close()


async def open_session(address: RedisAddress, *, now: Callable[[], str], common: Mapping[str, object]) -> Session:
    """
    Connect, and look whether this release may use what is there.

    Args:
        address: Of the server.
        now: See `Line`.
        common: See `Line`.

    Raises:
        StoreUnavailable: The server cannot be reached, would lose data, or holds a store with other shards.
        SchemaTooNew: A newer release wrote it.
    """
    client = await open_client(address)
    is_cluster = isinstance(client, Cluster)
    common = {**common, "cluster": is_cluster}
    waits = address.durability is Durability.FSYNC
    session = Session(
        client=client,
        writes=Line(client, address, now=now, common=common, waits_for_disk=waits, apart=is_cluster),
        looks=Line(client, address, now=now, common=common, apart=is_cluster),
        bell=RedisNotifier(client, address, name=secrets.token_hex(8)),
    )
    try:
        schema, shards = await session.looks.run(scripts.OPEN, 0, {"schema": SCHEMA})
        if schema > SCHEMA:
            known = f"has schema {schema}, and this release knows up to {SCHEMA}"
            message = f"the store {address} {known}; upgrade the package"
            raise SchemaTooNew(message)
        if shards != address.shards:
            message = f"the store {address} was made with shards={shards}; put that into its address"
            raise StoreUnavailable(message)
    except BaseException:
        await client.close()
        raise
    return session


def in_its_own_task(opening: Coroutine[None, None, Session]) -> asyncio.Task[Session]:
    """
    Open a session for all who wait for it. While it connects redis-py swallows a cancellation, so it is not the opening
    that is cancelled with one of them, but only that one's wait.
    """
    task = asyncio.get_running_loop().create_task(opening, name="kochava-bot-open")
    # A failure that nobody waits for any more must not be reported as forgotten.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


def here() -> tuple[int, asyncio.AbstractEventLoop]:
    """The process and the event loop to which a session opened now belongs."""
    return os.getpid(), asyncio.get_running_loop()
