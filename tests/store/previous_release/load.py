"""Bring the stores that the previous release wrote onto engines of now. Needs nothing of the package."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg  # type: ignore[import-untyped]
from redis.asyncio import Redis

FOLDER = Path(__file__).parent


def expected() -> dict[str, Any]:
    """
    What a reader finds in each of the stores, which hold the same. Bytes are Base64, times seconds since the epoch.

    ``read_at``
        The time of the reader. Whatever is between 2026 and 2100 will do as well.
    ``after_all``
        A time when all leases and waits are over, all marks that expire have expired and no id of ``remembered`` is.
    ``queues``
        By name: ``stats``; ``listed``, all rows in the order they were appended, at ``read_at`` (bodies of the inbox
        are not shown there); ``claimed``, what can be claimed at ``read_at``, in order; ``drained``, what is claimed of
        each lane from ``after_all`` on, in order, with its body.
    ``remembered``
        Ids without a row that are ignored when they are appended, and until when.
    ``forgotten``
        Ids whose time was over before ``read_at``, and of which a leftover is in the store.
    ``marks``
        By key, those that are there at ``read_at``: ``value``, and ``expires_at`` or ``null``.
    ``no_marks``
        Keys that were written, deleted, never set or have expired.
    ``tokens``
        By engine and id, the tokens of leases that run at ``read_at``, or that have lapsed and that nobody took since.
    """
    found: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())
    for about in found["queues"].values():
        for row in (*about["listed"], *about["claimed"], *(row for lane in about["drained"].values() for row in lane)):
            # The earliest time that an entry was given is not read back any more, only when it is due.
            del row["not_before"]
    return found


def load_sqlite(path: Path, version: int = 1) -> None:
    """
    Write the SQLite file to *path*: of version 1, or the one that the release of another version made of it. Since
    version 2 it also has a counter of day 20000: 3 times ``recorded`` of ``facts``, with the amount 1.5.
    """
    name = "sqlite.db.gz" if version == 1 else f"sqlite_{version}.db.gz"
    path.write_bytes(gzip.decompress((FOLDER / name).read_bytes()))


async def load_postgres(url: str) -> None:
    """Make the tables, with their rows, in the schema that *url* names and that is not there yet."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    schema = options.pop("schema", "kochava_bot")
    connection = await asyncpg.connect(urlunsplit(parts._replace(query=urlencode(options))))
    try:
        async with connection.transaction():
            await connection.execute(f"CREATE SCHEMA {schema}; SET LOCAL search_path TO {schema}")
            await connection.execute((FOLDER / "postgres.sql").read_text())
    finally:
        await connection.close()


async def load_redis(url: str) -> None:
    """Write the keys, beneath the prefix that *url* names, in as many shards as it names: 1 or 3."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    prefix, shards = options.get("prefix", "kochava-bot"), options.get("shards", "1")
    file = FOLDER / ("redis.json" if shards == "1" else f"redis_{shards}_shards.json")
    query = urlencode({"db": options["db"]} if "db" in options else {})
    client: Any = Redis.from_url(urlunsplit(parts._replace(query=query)))
    try:
        for key in json.loads(file.read_text()):
            name = f"{{{prefix}:{key['shard']}}}:{key['name']}"
            await client.execute_command(*_command(key["type"], name, key["value"]))
    finally:
        await client.aclose()


def _command(kind: str, name: str, value: Sequence[Sequence[Any]]) -> list[str | bytes]:
    if kind == "hash":
        return ["HSET", name, *(_bytes(part) for pair in value for part in pair)]
    assert kind == "zset", kind
    return ["ZADD", name, *(part for member, score in value for part in (score, _bytes(member)))]


def _bytes(stored: str | dict[str, str]) -> bytes:
    return stored.encode() if isinstance(stored, str) else base64.b64decode(stored["base64"])
