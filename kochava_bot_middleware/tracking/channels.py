"""On which channel each Page is. Its events show it; a state entry tells processes to which none of them came."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

from ..clock import Clock
from ..exceptions import StoreError
from ..messenger.events import Channel, Event
from ..store.contract import Store
from ..store.records import Mark
from .state import StateKey, channel_key, channel_of, write

LOOK_SECONDS = 0.5
"""How long a message waits for the answer."""

AGAIN_SECONDS = 60.0
"""After so long, the store is asked again about a Page of which nothing was known."""


class PageChannels:
    """
    What one process knows of Pages.

    Args:
        prefix: As of `TrackingContext`.
    """

    def __init__(self, store: Store, clock: Clock, prefix: str) -> None:
        self._store = store
        self._clock = clock
        self._prefix = prefix
        self._channels: dict[str, Channel] = {}
        self._seen = defaultdict[Channel, set[str]](set)
        self._kept: set[str] = set()
        self._asked: dict[str, float] = {}

    def see(self, event: Event) -> None:
        """Note the Page of an event that came to this process."""
        if event.page_id is not None and event.page_id not in (pages := self._seen[event.channel]):
            pages.add(event.page_id)
            self._channels.setdefault(event.page_id, event.channel)

    def known(self, page_id: str | None) -> Channel | None:
        """The channel of a Page, as far as this process knows it."""
        return None if page_id is None else self._channels.get(page_id)

    def only_page(self, channel: Channel) -> str | None:
        """The Page whose events came to this process on *channel*; ``None`` when there was none, or more than one."""
        pages = self._seen.get(channel, ())
        return next(iter(pages)) if len(pages) == 1 else None

    async def find(self, page_id: str | None) -> Channel | None:
        """As `known`, with a look into the store. While that cannot be read in time, nothing is known."""
        known = self.known(page_id)
        if known is not None or page_id is None or self._clock.monotonic() < self._asked.get(page_id, 0.0):
            return known
        self._asked[page_id] = self._clock.monotonic() + AGAIN_SECONDS
        key = self._key(page_id)
        # That the store fails is reported by what is recorded of the same message.
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                channel = channel_of((await self._store.recall([key])).get(key[1]))
            if channel is not None:
                self._channels[page_id] = channel
        return self.known(page_id)

    def mark(self, event: Event | None) -> Mark | None:
        """The state entry that *event* shows; ``None`` when it is kept. Messenger is assumed, so it needs none."""
        if event is None or event.page_id is None or event.channel is Channel.MESSENGER or event.page_id in self._kept:
            return None
        return write(self._key(event.page_id), event.channel.value.encode())

    def kept(self, event: Event | None) -> None:
        """Note that the `mark` of *event* is written."""
        if event is not None and event.page_id is not None and event.channel is not Channel.MESSENGER:
            self._kept.add(event.page_id)

    def _key(self, page_id: str) -> StateKey:
        return channel_key(page_id, self._prefix)
