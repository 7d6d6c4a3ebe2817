"""One HTTP session for each event loop: a session belongs to the loop it was made in."""

from __future__ import annotations

import asyncio
import threading

import aiohttp


class SessionPerLoop:
    """
    Hands out the session of the running loop, made at its first use.

    Args:
        given: A session to use instead, in every loop; it stays its owner's to close.
    """

    def __init__(self, given: aiohttp.ClientSession | None = None) -> None:
        self._given = given
        self._lock = threading.Lock()
        self._own: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    async def current(self) -> aiohttp.ClientSession:
        """The session to use now. After `close` a new one is made."""
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        with self._lock:
            session = self._own.get(loop)
            orphans = []
            if session is None or session.closed:
                orphans = self._orphans()
                session = self._own[loop] = aiohttp.ClientSession()
        for orphan in orphans:
            await orphan.close()
        return session

    async def close(self) -> None:
        """Close every session made here, each in its own loop."""
        here = asyncio.get_running_loop()
        with self._lock:
            orphans = self._orphans()
            # A loop that neither runs nor has ended keeps its session: it may run again.
            reachable = {loop: self._own.pop(loop) for loop in list(self._own) if loop.is_running()}
        for session in orphans:
            await session.close()
        for loop, session in reachable.items():
            if loop is here:
                await session.close()
            else:
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(session.close(), loop))

    def _orphans(self) -> list[aiohttp.ClientSession]:
        """Take out the sessions whose loop has ended, as after `asyncio.run`; they can be closed from anywhere."""
        return [self._own.pop(loop) for loop in list(self._own) if loop.is_closed()]
