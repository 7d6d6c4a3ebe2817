"""
Waking other processes on the same file: a datagram to the socket of each that listens.

It is only for promptness. A wake-up may be lost, so whoever waits also looks by itself now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable

from ...clock import Clock
from ...incidents import Incidents
from ..ringing import Rhythm
from ..unit import Committed, Unit
from .wake_folder import WakeFolder

logger = logging.getLogger(__package__)

LOOK_SECONDS = 5.0
"""How often to look whether the socket is still there, or can be made where it could not."""

_MOST_WAITING = 1_000
"""More wake-ups than any platform lets wait."""


class Bell:
    """
    Tells other processes that there is work, and the callbacks of this one what others tell.

    What this process commits does not call its own callbacks; it knows that without being told.

    Args:
        folder: Where the listeners of the store are; ``None`` where there is no such thing, so that nothing is told or
            heard.
        clock: Tells when to look again.
        name: See `socket_name`.
    """

    def __init__(self, folder: WakeFolder | None, clock: Clock, *, name: str) -> None:
        self._clock = clock
        self._name = name
        self._folder = folder
        self._incidents = Incidents(clock, logger)
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._rhythm = Rhythm(self._strike, self._loop.call_later)
        self._callbacks: list[Callable[[], None]] = []
        self._listener: socket.socket | None = None
        self._looked_at: float | None = None

    def is_ours(self) -> bool:
        """
        Whether it belongs to this process and event loop.
        """
        return self._process == os.getpid() and self._loop is asyncio.get_running_loop()

    def committed(self, unit: Unit, answer: Committed) -> None:
        """
        Tell of what *unit* left for others to claim, if it did.
        """
        self._rhythm.committed(unit, answer)

    def ring(self) -> None:
        """
        Tell everybody.
        """
        self._rhythm.ring()

    def on_append(self, callback: Callable[[], None]) -> None:
        """
        Call *callback* from now on.
        """
        self._callbacks.append(callback)
        self.listen()

    def listen(self) -> None:
        """
        Make the socket, if somebody wants to hear and it is not there, or not any more.
        """
        if not self._callbacks or self._folder is None:
            return
        now = self._clock.monotonic()
        if self._looked_at is not None and now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        if self._listener is None or not self._folder.has(self._name):
            self._close_listener()
            self._open_listener(self._folder)

    def listening(self) -> bool:
        """
        Whether the others are heard.
        """
        return self._listener is not None

    def close(self) -> None:
        """
        Ring what is to be rung, and listen no longer. In a forked child, what the parent listens with stays.
        """
        if self._process != os.getpid():
            if self._listener is not None:
                self._listener.close()
            return
        self._rhythm.close()
        self._callbacks.clear()
        self._close_listener()

    def _strike(self) -> None:
        if self._folder is not None:
            self._folder.ring(but=self._name)

    def _open_listener(self, folder: WakeFolder) -> None:
        try:
            self._listener = folder.open(self._name)
            self._loop.add_reader(self._listener, self._hear)
        except (OSError, NotImplementedError) as exc:
            self._close_listener()
            self._incidents.report("wake_ups_unheard", str(folder.path), reason=type(exc).__name__)
        else:
            self._incidents.over("wake_ups_unheard", str(folder.path))
            # What came while nobody listened.
            self._wake()

    def _close_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None and self._folder is not None:
            with contextlib.suppress(NotImplementedError):
                self._loop.remove_reader(listener)
            listener.close()
            self._folder.leave(self._name)

    def _hear(self) -> None:
        listener = self._listener
        if listener is not None:
            with contextlib.suppress(OSError):
                for _ in range(_MOST_WAITING):
                    listener.recv(1)
            self._wake()

    def _wake(self) -> None:
        for callback in self._callbacks:
            callback()
