"""What can be set about a store, beside its address."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import attrs

from ..settings import at_least, one_of
from .owner import new_owner

SYNCHRONOUS = ("FULL", "EXTRA", "NORMAL")
"""SQLite's levels that keep the file sound. ``OFF`` is not among them: it can lose the whole file."""


@attrs.frozen(kw_only=True)
class StoreSettings:
    """
    How a store keeps what it is given.

    Attributes:
        dedupe_seconds: How long the id of a settled entry is remembered, so that a repetition is ignored.
        synchronous: SQLite only. With ``FULL`` and ``EXTRA`` a commit survives a power cut; with ``NORMAL`` only the
            death of the process.
        busy_timeout_seconds: SQLite only. How long to wait for another process that is writing to the file.
    """

    dedupe_seconds: float = attrs.field(default=172_800, validator=at_least(0))
    synchronous: str = attrs.field(default="FULL", validator=one_of(*SYNCHRONOUS))
    busy_timeout_seconds: float = attrs.field(default=5.0, validator=at_least(0))


NewToken = Callable[[], str]
"""Gives a text never given before, in this process or another."""


def unique_tokens() -> NewToken:
    """Tokens that are the name of this process and a number: as unique as random ones, and much cheaper."""
    prefix = new_owner()
    numbers = itertools.count(1)
    return lambda: f"{prefix}-{next(numbers)}"
