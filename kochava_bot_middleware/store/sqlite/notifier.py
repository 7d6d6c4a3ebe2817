"""
The folder in which each process that listens has a socket.

It is ``<file>.wake`` beside the store. The address of a socket has room for about 100 bytes, so for a longer path it is
a folder of the machine's temporary ones instead, named after the store and its user.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import secrets
import socket
import stat
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ...clock import Clock
from ...incidents import Incidents
from ..notify import NotifyThrottle
from ..records import Committed, Unit

MOST_ADDRESS_BYTES = 103
"""Of a socket's address, on the platform with the least room (macOS); Linux has 107."""

_NAME = re.compile(r"[0-9]+-[0-9a-f]{8}")
"""Process id and chance. Nothing else in the folder is looked at."""

_LONGEST_NAME = len(".4194304-01234567")

_TRIES = 20
"""Each is only lost to another process that leaves, and takes the folder with it, in the same instant."""


def socket_name() -> str:
    """A name that no other process and no other store has."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def wake_folder(store: Path) -> SocketFolder | None:
    """That of *store*; ``None`` on a platform whose sockets have no paths, such as Windows."""
    return SocketFolder(store) if hasattr(socket, "AF_UNIX") else None


class SocketFolder:
    """
    Where those who wait for one store can be reached.

    Args:
        store: The store's file.
        temporary: Where the folder is when the store's path is too long.
    """

    def __init__(self, store: Path, temporary: Path | None = None) -> None:
        # SQLite takes a link for its target too: whoever opens the same file comes to the same folder.
        target = os.path.realpath(store)
        self.path = Path(f"{target}.wake")
        if len(os.fsencode(self.path)) + 1 + _LONGEST_NAME > MOST_ADDRESS_BYTES:
            named = hashlib.sha256(f"{os.geteuid()}:{target}".encode(errors="surrogateescape")).hexdigest()[:16]
            self.path = (temporary or Path(tempfile.gettempdir())) / f"kochava-bot-{named}"

    def open(self, name: str) -> socket.socket:
        """
        A socket under which this process can be reached as *name*.

        Raises:
            OSError: The folder cannot be made or written, or is not only ours.
        """
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                return self._bound(name)
        return self._bound(name)

    def has(self, name: str) -> bool:
        """Whether *name* can still be found."""
        return os.path.exists(self.path / name)

    def leave(self, name: str) -> None:
        """Remove *name*, and the folder after the last."""
        with contextlib.suppress(OSError):
            os.unlink(self.path / name)
        with contextlib.suppress(OSError):
            os.rmdir(self.path)

    def ring(self, *, but: str) -> None:
        """Wake all but one. Who does not live any more is removed. Never waits, never raises."""
        names = [name for name in self._names() if name != but]
        if names:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                for name in names:
                    self._wake(sender, name)

    def _wake(self, sender: socket.socket, name: str) -> None:
        try:
            sender.sendto(b"!", str(self.path / name))
        except ConnectionRefusedError:
            self.leave(name)
        except OSError:
            # It has not read the last ones yet, so it will look anyway; or it went.
            pass

    def _names(self) -> Sequence[str]:
        try:
            self._check()
            return [name for name in os.listdir(self.path) if _NAME.fullmatch(name)]
        except OSError:
            return ()

    def _check(self) -> None:
        status = os.lstat(self.path)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            message = f"{self.path} is not a folder that only this user can write"
            raise PermissionError(message)

    def _bound(self, name: str) -> socket.socket:
        self.path.mkdir(mode=0o700, exist_ok=True)
        self._check()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Between its file and its binding a socket refuses, and would be taken for dead; so it is hidden until then.
        hidden = self.path / f".{name}"
        try:
            listener.setblocking(False)
            listener.bind(str(hidden))
            os.chmod(hidden, 0o600)
            os.rename(hidden, self.path / name)
        except BaseException:
            listener.close()
            self.leave(hidden.name)
            raise
        return listener


logger = logging.getLogger(__package__)

LOOK_SECONDS = 5.0
"""How often to look whether the socket is still there, or can be made where it could not."""

_MOST_WAITING = 1_000
"""More wake-ups than any platform lets wait."""


class SqliteNotifier:
    """
    Tells other processes that there is work, and the callbacks of this one what others tell.

    What this process commits does not call its own callbacks; it knows that without being told.

    Args:
        folder: Where the listeners of the store are; ``None`` where there is no such thing, so that nothing is told or
            heard.
        clock: Tells when to look again.
        name: See `socket_name`.
    """

    def __init__(self, folder: SocketFolder | None, clock: Clock, *, name: str) -> None:
        self._clock = clock
        self._name = name
        self._folder = folder
        self._incidents = Incidents(clock, logger)
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._rhythm = NotifyThrottle(self._strike, self._loop.call_later)
        self._callbacks: list[Callable[[], None]] = []
        self._listener: socket.socket | None = None
        self._looked_at: float | None = None

    def is_ours(self) -> bool:
        """Whether it belongs to this process and event loop."""
        return self._process == os.getpid() and self._loop is asyncio.get_running_loop()

    def committed(self, unit: Unit, answer: Committed) -> None:
        """Tell of what *unit* left for others to claim, if it did."""
        self._rhythm.committed(unit, answer)

    def ring(self) -> None:
        """Tell everybody."""
        self._rhythm.ring()

    def on_append(self, callback: Callable[[], None]) -> None:
        """Call *callback* from now on."""
        self._callbacks.append(callback)
        self.listen()

    def listen(self) -> None:
        """Make the socket, if somebody wants to hear and it is not there, or not any more."""
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
        """Whether the others are heard."""
        return self._listener is not None

    def close(self) -> None:
        """Ring what is to be rung, and listen no longer. In a forked child, what the parent listens with stays."""
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

    def _open_listener(self, folder: SocketFolder) -> None:
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
