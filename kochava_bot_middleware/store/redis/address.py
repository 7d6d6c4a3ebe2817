"""Addresses of Redis and Valkey servers. Nothing here needs the library."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import unquote

import attrs

from ...exceptions import SettingsError, Violation
from ...settings import host_and_port
from ..url import options_of, split_address

SCHEMES = ("redis", "rediss", "unix")
"""Plain, encrypted, and by a socket file of this machine."""

DEFAULT_PORT = 6379

_TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS = ("prefix", "shards", "durability", "timeout_seconds", "db", *_TLS_FILES)
_MOST_SHARDS = 16_384


class Durability(enum.StrEnum):
    """How it is made sure that what is committed is kept."""

    CHECKED = "checked"
    """The server's settings are read, and it is refused where they would lose data."""

    FSYNC = "fsync"
    """As `CHECKED`; also each commit waits until the server's log is on the disk (Redis 7.2 and later, Valkey)."""

    SERVER = "server"
    """Nothing is checked: the server's owner answers for it."""


@attrs.frozen(kw_only=True)
class RedisAddress:
    """
    Where the server is, and how it is used.

    Attributes:
        scheme: One of `SCHEMES`.
        host: Name or address; empty for ``unix``.
        port: TCP port.
        path: The socket file, for ``unix``.
        database: Number of the database. A cluster has only 0.
        username: ``None`` for the default user.
        password: ``None`` when there is none.
        prefix: All keys begin with it, in braces. Bots that share a server, but not their events, have different ones.
        shards: In how many slots of a cluster the people are divided. Cannot be changed once there is data.
        durability: See `Durability`.
        timeout_seconds: How long the server may take to answer.
        tls: Files with the certificates to trust, or to show.
    """

    scheme: str = "redis"
    host: str = "localhost"
    port: int = DEFAULT_PORT
    path: str = ""
    database: int = 0
    username: str | None = attrs.field(default=None, repr=False)
    password: str | None = attrs.field(default=None, repr=False)
    prefix: str = "kochava-bot"
    shards: int = 1
    durability: Durability = Durability.CHECKED
    timeout_seconds: float = 5.0
    tls: Mapping[str, str] = attrs.field(factory=dict)

    def __str__(self) -> str:
        where = self.path if self.scheme == "unix" else host_and_port(self.host, self.port)
        return f"{self.scheme}://{where}" + (f"/{self.database}" if self.scheme != "unix" else "")


def parse_redis_address(url: str) -> RedisAddress:
    """
    Read ``redis://user:password@host:port/0?prefix=shop``, ``rediss://…`` or ``unix://user:password@/run/valkey.sock``.

    Raises:
        SettingsError: Something in it is unknown or out of range. No part that may hold a password is repeated.
    """
    parts = split_address(url)
    try:
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        # The message of Python quotes the address.
        port = 0
    if port == 0:
        _refuse("a port between 1 and 65535", "another")
    options = options_of(parts)
    for option in options:
        if option not in _OPTIONS:
            _refuse(f"only the options {', '.join(_OPTIONS)}", option)
    is_socket = parts.scheme == "unix"
    path = unquote(parts.path)
    if is_socket and (path in ("", "/") or parts.hostname):
        _refuse("unix:///path/of/the.sock", "no path" if path in ("", "/") else "a host")
    prefix = options.get("prefix", "kochava-bot")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", prefix):
        _refuse("prefix of letters, digits, dots, dashes and underscores", "another")
    return RedisAddress(
        scheme=parts.scheme,
        host="" if is_socket else unquote(parts.hostname or "localhost"),
        port=port,
        path=path if is_socket else "",
        database=_database(options.get("db"), "" if is_socket else path),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        prefix=prefix,
        shards=_number("shards", options.get("shards", "1"), most=_MOST_SHARDS),
        durability=_durability(options.get("durability", "checked")),
        timeout_seconds=_number("timeout_seconds", options.get("timeout_seconds", "5"), most=600),
        tls={name: options[name] for name in _TLS_FILES if name in options},
    )


def _database(option: str | None, path: str) -> int:
    text = option if option is not None else path.strip("/")
    if text and not re.fullmatch(r"[0-9]{1,5}", text):
        _refuse("the number of a database, such as /0", "another path")
    return int(text or 0)


def _durability(text: str) -> Durability:
    try:
        return Durability(text)
    except ValueError:
        _refuse(f"durability to be one of {', '.join(Durability)}", "another")


def _number(name: str, text: str, *, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= most:
        _refuse(f"{name} to be a number from 1 to {most}", "another")
    return int(text)


def _refuse(wanted: str, got: str) -> NoReturn:
    raise SettingsError([Violation(key="store", wanted=wanted, got=got)]) from None
