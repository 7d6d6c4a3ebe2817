"""
One HTTP session for each event loop: a session belongs to the loop it was made in.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from weakref import WeakKeyDictionary

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
        self._own: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()

    def current(self) -> aiohttp.ClientSession:
        """
        The session to use now. After `close` a new one is made.
        """
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        with self._lock:
            session = self._own.get(loop)
            if session is None or session.closed:
                self._drop_orphans()
                session = self._own[loop] = aiohttp.ClientSession()
        return session

    async def close(self) -> None:
        """
        Close every session made here, each in its own loop.
        """
        running = asyncio.get_running_loop()
        with self._lock:
            self._drop_orphans()
            own = dict(self._own)
            self._own.clear()
        for loop, session in own.items():
            if loop is running:
                await session.close()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(session.close(), loop))
            else:
                _abandon(session)

    def _drop_orphans(self) -> None:
        """
        Let go of sessions whose loop has ended, as after `asyncio.run`.
        """
        for loop in [loop for loop in self._own if loop.is_closed()]:
            _abandon(self._own.pop(loop))


def _abandon(session: aiohttp.ClientSession) -> None:
    connector = session.connector
    session.detach()
    if connector is not None:
        # Its sockets cannot say goodbye any more without their loop.
        with contextlib.suppress(RuntimeError):
            connector.close()
