"""Reads ``postgresql://…`` addresses. Nothing secret is printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlunsplit

import attrs

from ...exceptions import SettingsError, Violation
from ...settings import Secret
from ..url import options_of, split_address

SCHEMES = ("postgresql", "postgres")

KNOWN = "postgresql://user:password@host:5432/database, with special characters of a password percent-encoded"
"""What such an address looks like, for messages."""

_PASSED_ON = frozenset(
    ("host", "port", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "target_session_attrs")
)
HIGHEST_PORT = 65_535
_SERVER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.%-]*)(:\d+)?")

_OPTIONS: Mapping[str, tuple[Callable[[str], Any], Callable[[Any], object], str]] = {
    # Never quoted, hence no capitals; names of channels add to it, and PostgreSQL's names have at most 63 bytes.
    "schema": (str, re.compile(r"[a-z_][a-z0-9_]{0,49}").fullmatch, "lower-case letters, digits and _, at most 50"),
    "connections": (int, lambda number: number >= 2, "a number, at least 2"),
    "statement_cache": (int, lambda number: number >= 0, "a number, at least 0"),
    "listen": (str, re.compile(r"on|off|(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d+").fullmatch, "on, off or host:port"),
    "timeout_seconds": (float, lambda seconds: seconds >= 0.1, "a number of seconds, at least 0.1"),
    "durability": (str, ("commit", "server").__contains__, "commit or server"),
}
"""How the text of an option is converted, whether the value can be used, and what is wanted."""


@attrs.frozen(kw_only=True)
class PostgresAddress:
    """
    A database, and how it is used.

    Attributes:
        dsn: The address as asyncpg reads it: without the options of this package.
        shown: The address without password and options, for messages.
        schema: PostgreSQL schema that holds the tables, so that one database can hold several stores.
        connections: Most connections that one process opens, not counting the one that listens.
        statement_cache: Prepared statements kept by each connection. ``0``: none has a name, as PgBouncer in
            transaction mode needs it.
        listen: ``on``; ``off``; or ``host:port`` of the server itself, where the address is that of a pooler.
        timeout_seconds: Longest wait for a connection, and for the answer to a statement.
        durability: ``commit`` refuses a server whose commits may be lost; ``server`` trusts its setting.
    """

    dsn: Secret
    shown: str
    schema: str = "kochava_bot"
    connections: int = 8
    statement_cache: int = 100
    listen: str = "on"
    timeout_seconds: float = 10.0
    durability: str = "commit"


def parse_postgres(url: str) -> PostgresAddress:
    """
    Read an address.

    Raises:
        SettingsError: It is not one, or has an unknown or wrong option. The message never holds a password.
    """
    parts = split_address(url)
    if parts.scheme not in SCHEMES:
        raise _wrong(KNOWN, "another kind of address")
    user, at, servers = parts.netloc.rpartition("@")
    if not all(_SERVER.fullmatch(server) for server in servers.split(",")):
        # Not shown, since it may be the beginning of a password.
        raise _wrong(KNOWN, "an address whose host, port or database cannot be told apart")
    ports = [int(found[1]) for server in servers.split(",") if (found := re.search(r":(\d+)\Z", server))]
    if not all(0 < port <= HIGHEST_PORT for port in ports):
        wanted = f"a port between 1 and {HIGHEST_PORT}"
        raise _wrong(wanted, "another")
    options = options_of(parts)
    passed_on = urlencode({name: value for name, value in options.items() if name in _PASSED_ON})
    return PostgresAddress(
        dsn=Secret(urlunsplit(parts._replace(scheme="postgresql", query=passed_on))),
        shown=f"postgresql://{user.partition(':')[0]}{at}{servers}{parts.path}",
        **{name: _read(name, text) for name, text in options.items() if name not in _PASSED_ON},
    )


def _read(name: str, text: str) -> Any:
    if name not in _OPTIONS:
        wanted = f"only the options {', '.join(sorted((*_OPTIONS, *_PASSED_ON)))} (in a name ? is %3F)"
        got = f"the option {name}"
        raise _wrong(wanted, got)
    convert, is_usable, wanted = _OPTIONS[name]
    try:
        value = convert(text)
    except ValueError:
        value = None
    if value is None or not is_usable(value):
        wanted = f"{name} to be {wanted}"
        raise _wrong(wanted, text)
    return value


def _wrong(wanted: str, got: str) -> SettingsError:
    return SettingsError([Violation(key="store", wanted=wanted, got=got)])
