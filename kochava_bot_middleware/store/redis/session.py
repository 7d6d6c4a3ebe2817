"""
What belongs to one process and one event loop: the connections to a server, and what goes by them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import attrs

from ...exceptions import SchemaTooNew, StoreUnavailable
from . import scripts
from .address import Durability, RedisAddress
from .bell import Bell
from .client import Client
from .line import Line
from .opening import open_client

SCHEMA = 1
"""The version of what the scripts write."""


@attrs.frozen(kw_only=True)
class Session:
    """
    An open store. What writes and what looks go by different connections.
    """

    client: Client
    writes: Line
    looks: Line
    bell: Bell

    async def close(self) -> None:
        """
        Finish what was begun and let go of the connections.
        """
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
    waits = address.durability is Durability.FSYNC
    session = Session(
        client=client,
        writes=Line(client, address, now=now, common=common, waits_for_disk=waits),
        looks=Line(client, address, now=now, common=common),
        bell=Bell(client, address, name=secrets.token_hex(8)),
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
