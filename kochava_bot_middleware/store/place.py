"""
Which store the settings name, in either of the two ways to write it: its address alone, or a table with that and more.
"""

from __future__ import annotations

from typing import Any

import attrs

from ..clock import Clock
from ..exceptions import SettingsError
from ..settings import InvalidSettings, not_empty
from .address import open_store
from .contract import Store
from .settings import StoreSettings

DEFAULT_ADDRESS = "sqlite:///kochava-bot.db"


def without_password(url: str) -> str:
    """The address of a store as it may be logged: without user, password and options."""
    scheme, separator, rest = url.partition("://")
    _, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{'…@' if at else ''}{place.partition('?')[0]}"


def shown(place: str | StorePlace) -> str:
    """An attrs ``repr`` of a field that holds either."""
    return repr(without_password(place)) if isinstance(place, str) else repr(place)


def openable(_instance: Any, _attribute: Any, place: Any) -> None:
    """An attrs validator: the address is of a store that can be made. A `StorePlace` has been looked at already."""
    if isinstance(place, StorePlace):
        return
    not_empty(None, None, place)
    try:
        # To make a store touches nothing.
        open_store(place)
    except SettingsError as exc:
        raise InvalidSettings(attrs.evolve(violation, key="") for violation in exc.violations) from None


@attrs.frozen(kw_only=True)
class StorePlace(StoreSettings):
    """
    Where a store is, and how it keeps what it is given. In place of this table, its address alone may be given.

    Attributes:
        address: The same as without the table.
    """

    address: str = attrs.field(default=DEFAULT_ADDRESS, validator=openable, repr=shown)

    def __str__(self) -> str:
        return without_password(self.address)

    @property
    def is_memory(self) -> bool:
        """Whether it is in the memory of one process, where no other can look."""
        return self.address.startswith("memory://")

    def make(self, clock: Clock | None = None) -> Store:
        """The store. Nothing is touched before its first call."""
        return open_store(self.address, settings=self, clock=clock)
