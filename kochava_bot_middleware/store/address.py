"""From the settings of a store, or its address alone, to the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import attrs

from ..clock import Clock
from ..exceptions import SettingsError, Violation
from ..settings import InvalidSettings, not_empty
from .contract import Store
from .memory import MemoryStore
from .settings import SYNCHRONOUS, StoreSettings
from .sqlite.store import SqliteStore
from .url import options_of, split_address

KNOWN = (
    "memory://, sqlite:///file.db (beneath the current folder), sqlite:////folder/file.db, "
    "redis://host:6379/0, rediss://, unix:///path/of/the.sock or postgresql://user:password@host/database"
)
"""The addresses that can be opened, for messages."""

DEFAULT_ADDRESS = "sqlite:///kochava-bot.db"


def open_store(url: str, *, settings: StoreSettings | None = None, clock: Clock | None = None) -> Store:
    """
    The store at *url*. Nothing is touched before its first call.

    Args:
        url: ``memory://``; ``sqlite:///`` and a path, absolute if it begins with another slash. SQLite knows the option
            ``?synchronous=NORMAL``, which goes before *settings*. ``postgresql://user:password@host/database``; see
            `store.postgres` for its options. ``redis://user:password@host:6379/0``, the same with ``rediss://``, and
            ``unix:///path/of/the.sock``; see `store.redis.address.RedisAddress` for their options.
        settings: See `StoreSettings`.
        clock: Defaults to the machine's.

    Raises:
        SettingsError: The address is of an unknown kind, incomplete, or has an unknown option.
    """
    settings = settings or StoreSettings()
    scheme, separator, _ = url.partition("://")
    if separator and scheme in ("postgresql", "postgres"):
        return _postgres_store(url, settings=settings, clock=clock)
    if separator and scheme in ("redis", "rediss", "unix"):
        return _redis_store(url, settings=settings, clock=clock)
    if not separator or scheme not in ("memory", "sqlite"):
        # Not the whole address, which may hold a password.
        raise _wrong(KNOWN, f"{scheme}://…" if separator else f"{len(url)} characters without ://")
    address = split_address(url, has_host=False)
    options = options_of(address)
    if scheme == "memory":
        _refuse_unknown(options, known=())
        return MemoryStore(settings=settings, clock=clock)
    path = unquote(address.path)
    if address.netloc or path == "/:memory:" or path.endswith("/") or not path:
        raise _wrong(KNOWN, url.partition("?")[0])
    _refuse_unknown(options, known=("synchronous",))
    # Two slashes at the beginning stay two, and would make two paths of one.
    path = f"/{path.lstrip('/')}" if path.startswith("//") else path[1:]
    return SqliteStore(path, settings=_with_options(settings, options), clock=clock)


def without_password(url: str) -> str:
    """The address of a store as it may be logged: without user, password and options."""
    scheme, separator, rest = url.partition("://")
    # The path of a file may have an @.
    _, at, place = ("", "", rest) if scheme == "sqlite" else rest.rpartition("@")
    return f"{scheme}{separator}{'…@' if at else ''}{place.partition('?')[0]}"


def shown(place: str | StorePlace) -> str:
    """An attrs ``repr`` of a field that holds either."""
    return repr(without_password(place)) if isinstance(place, str) else repr(place)


def openable(_instance: Any, _attribute: Any, place: Any) -> None:
    """An attrs validator: the address is of a store that can be opened. A `StorePlace` has been checked already."""
    if isinstance(place, StorePlace):
        return
    not_empty(None, None, place)
    try:
        # Nothing is opened before the first call of the store.
        open_store(place)
    except SettingsError as exc:
        raise InvalidSettings(attrs.evolve(violation, key="") for violation in exc.violations) from None


@attrs.frozen(kw_only=True)
class StorePlace(StoreSettings):
    """
    The settings of a store as a table. Instead of this table, its address alone may be given.

    Attributes:
        address: As it would be given alone.
    """

    address: str = attrs.field(default=DEFAULT_ADDRESS, validator=openable, repr=shown)

    def __str__(self) -> str:
        return without_password(self.address)

    @property
    def is_memory(self) -> bool:
        """Whether it is in the memory of one process, which no other can read."""
        return self.address.startswith("memory://")

    def make(self, clock: Clock | None = None) -> Store:
        """The store. Nothing is touched before its first call."""
        return open_store(self.address, settings=self, clock=clock)


def _postgres_store(url: str, *, settings: StoreSettings, clock: Clock | None) -> Store:
    try:
        # Only needed for such an address, like its library.
        from .postgres.store import PostgresStore  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        if exc.name != "asyncpg":
            raise
        wanted = "asyncpg to be installed for postgresql:// (pip install 'kochava-bot-middleware[postgres]')"
        raise _wrong(wanted, "no such library") from exc
    return PostgresStore(url, settings=settings, clock=clock)


def _redis_store(url: str, *, settings: StoreSettings, clock: Clock | None) -> Store:
    try:
        from .redis.store import RedisStore  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        if str(exc.name).partition(".")[0] != "redis":
            raise
        wanted = "redis to be installed for redis:// (pip install 'kochava-bot-middleware[redis]')"
        raise _wrong(wanted, "no such library") from exc
    return RedisStore(url, settings=settings, clock=clock)


def _with_options(settings: StoreSettings, options: Mapping[str, str]) -> StoreSettings:
    synchronous = options.get("synchronous", settings.synchronous)
    if synchronous.upper() not in SYNCHRONOUS:
        wanted = f"synchronous to be one of {', '.join(SYNCHRONOUS)}"
        raise _wrong(wanted, synchronous)
    return attrs.evolve(settings, synchronous=synchronous.upper())


def _refuse_unknown(options: Mapping[str, str], *, known: tuple[str, ...]) -> None:
    for option in options:
        if option not in known:
            wanted = f"only the option {', '.join(known)} (in a path ? is %3F)" if known else "no option"
            got = f"the option {option}"
            raise _wrong(wanted, got)


def _wrong(wanted: str, got: str) -> SettingsError:
    return SettingsError([Violation(key="store", wanted=wanted, got=got)])
