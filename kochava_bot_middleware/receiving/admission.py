"""
New events on their way into the store, and the request that waits to hear of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..messenger.events import Event
from ..store.unit import Entry


class Admission:
    """
    The events of one webhook that are being stored. Must be made in the running event loop.

    Attributes:
        fresh: The events, each with what is stored of it.
        told: Done when waiting is over: because this has ended, or because it takes too long.
        has_ended: The store has the events, or will never have them.
    """

    __slots__ = ("_error", "fresh", "has_ended", "told")

    def __init__(self, fresh: Sequence[tuple[Entry, Event]]) -> None:
        self.fresh = fresh
        self.told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_ended = False
        self._error: Exception | None = None

    def end(self, error: Exception | None = None) -> None:
        """
        The events are stored or, with an *error*, they are not.
        """
        self.has_ended = True
        self._error = error
        if not self.told.done():
            self.told.set_result(None)

    def check(self) -> None:
        """
        Raise what it has ended with, if that was an error.
        """
        if self._error is not None:
            raise self._error
