"""Reads ``postgresql://…`` addresses. Nothing secret is printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

import attrs

from ...exceptions import SettingsError, Violation
from ...settings import Secret

T = TypeVar("T")

SCHEMES = ("postgresql", "postgres")

KNOWN = "postgresql://user:password@host:5432/database, with special characters of a password percent-encoded"
"""What such an address looks like, for messages."""

_PASSED_ON = frozenset(
    ("host", "port", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "target_session_attrs")
)
_SERVER = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.%-]*)(:\d+)?")


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
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong(KNOWN, "an address that cannot be taken apart") from None
    if parts.scheme not in SCHEMES:
        raise _wrong(KNOWN, "another kind of address")
    user, at, servers = parts.netloc.rpartition("@")
    if "@" in parts.path or parts.fragment or not all(_SERVER.fullmatch(server) for server in servers.split(",")):
        # A password that contains a slash would be read as part of host or path, so neither is shown.
        raise _wrong(KNOWN, "an address whose host, port or database cannot be told apart")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    own = {name: value for name, value in options.items() if name not in _PASSED_ON}
    passed_on = {name: value for name, value in options.items() if name in _PASSED_ON}
    return PostgresAddress(
        dsn=Secret(_dsn(parts, passed_on)),
        shown=f"postgresql://{user.partition(':')[0]}{at}{servers}{parts.path}",
        **_read_options(own),  # type: ignore[arg-type]
    )


def _dsn(parts: SplitResult, options: Mapping[str, str]) -> str:
    return urlunsplit(parts._replace(scheme="postgresql", query=urlencode(options)))


def _read_options(options: Mapping[str, str]) -> dict[str, object]:
    read: dict[str, object] = {}
    for name, text in options.items():
        if name not in _OPTIONS:
            wanted = f"only the options {', '.join(sorted((*_OPTIONS, *_PASSED_ON)))}"
            got = f"the option {name}"
            raise _wrong(wanted, got)
        convert, wanted = _OPTIONS[name]
        try:
            read[name] = convert(text)
        except ValueError:
            wanted = f"{name} to be {wanted}"
            raise _wrong(wanted, text) from None
    return read


def _matching(pattern: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError
        return text

    return convert


def _at_least(lowest: T, convert: Callable[[str], T]) -> Callable[[str], T]:
    def check(text: str) -> T:
        value = convert(text)
        if not value >= lowest:  # type: ignore[operator]
            raise ValueError
        return value

    return check


_OPTIONS: Mapping[str, tuple[Callable[[str], object], str]] = {
    # Never quoted, hence no capitals; names of channels add to it, and PostgreSQL's names have at most 63 bytes.
    "schema": (_matching(r"[a-z_][a-z0-9_]{0,49}"), "lower-case letters, digits and _, at most 50"),
    "connections": (_at_least(2, int), "a number, at least 2"),
    "statement_cache": (_at_least(0, int), "a number, at least 0"),
    "listen": (_matching(r"on|off|(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d+"), "on, off or host:port"),
    "timeout_seconds": (_at_least(0.1, float), "a number of seconds, at least 0.1"),
    "durability": (_matching("commit|server"), "commit or server"),
}


def _wrong(wanted: str, got: str) -> SettingsError:
    return SettingsError([Violation(key="store", wanted=wanted, got=got)])
