"""
Notifications between processes that share a SQLite file, by sockets in a folder.

Each process that listens has a socket in ``<file>.wake`` beside the store. The address of a socket has room for about
100 bytes, so for a longer path it is a folder among the machine's temporary ones, named after the store and its user.
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

MOST_ADDRESS_BYTES = 103
"""Of a socket's address, on the platform with the least room (macOS); Linux has 107."""

LOOK_SECONDS = 5.0
"""How often to check that the socket is still there, or can be made where it could not."""

_NAME = re.compile(r"[0-9]+-[0-9a-f]{8}")
"""Process id and random digits. Other files of the folder are left alone."""

_LONGEST_NAME = len(".4194304-01234567")

_TRIES = 20
"""A try fails only when another process that stops removes the folder in the same instant."""

_MOST_PENDING = 1_000
"""More notifications than any platform keeps for a socket."""

logger = logging.getLogger(__package__)


def socket_name() -> str:
    """A name that no other process and no other store has."""
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def socket_folder(store: Path) -> SocketFolder | None:
    """The folder of *store*; ``None`` on a platform whose sockets have no paths, such as Windows."""
    return SocketFolder(store) if hasattr(socket, "AF_UNIX") else None


class SocketFolder:
    """
    The sockets of all processes that listen to one store.

    Args:
        store: The store's file.
        temporary: Where the folder is when the store's path is too long.
    """

    def __init__(self, store: Path, temporary: Path | None = None) -> None:
        # SQLite follows links too, so all that open the same file use the same folder.
        target = os.path.realpath(store)
        self.path = Path(f"{target}.wake")
        if len(os.fsencode(self.path)) + 1 + _LONGEST_NAME > MOST_ADDRESS_BYTES:
            digest = hashlib.sha256(f"{os.geteuid()}:{target}".encode(errors="surrogateescape")).hexdigest()[:16]
            self.path = (temporary or Path(tempfile.gettempdir())) / f"kochava-bot-{digest}"

    def open(self, name: str) -> socket.socket:
        """
        A socket at which this process can be reached as *name*.

        Raises:
            OSError: The folder cannot be made or written, or others can write it too.
        """
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):
                return self._bound(name)
        return self._bound(name)

    def has(self, name: str) -> bool:
        """Whether the socket *name* is still there."""
        return os.path.exists(self.path / name)

    def remove(self, name: str) -> None:
        """Remove *name*, and the folder after the last."""
        with contextlib.suppress(OSError):
            os.unlink(self.path / name)
        with contextlib.suppress(OSError):
            os.rmdir(self.path)

    def notify(self, *, but: str) -> None:
        """Notify all but one, and remove the sockets of dead processes. Never waits, never raises."""
        names = [name for name in self._names() if name != but]
        if names:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                for name in names:
                    self._send(sender, name)

    def _send(self, sender: socket.socket, name: str) -> None:
        try:
            sender.sendto(b"!", str(self.path / name))
        except ConnectionRefusedError:
            self.remove(name)
        except OSError:
            # It has not read earlier notifications yet, so it will look anyway; or it has stopped.
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
        # A socket that has a file but is not bound yet refuses, and would be taken for dead; so its name is hidden.
        hidden = self.path / f".{name}"
        try:
            listener.setblocking(False)
            listener.bind(str(hidden))
            os.chmod(hidden, 0o600)
            os.rename(hidden, self.path / name)
        except BaseException:
            listener.close()
            self.remove(hidden.name)
            raise
        return listener


class SqliteNotifier:
    """
    Notifies other processes that there is work, and calls the callbacks of this one when others do.

    What this process commits does not call its own callbacks.

    Args:
        folder: The sockets of the store; ``None`` where there can be none, so that nothing is sent or received.
        clock: Decides when to check the socket again.
        name: See `socket_name`.

    Attributes:
        process: The process that it belongs to.
        loop: Its event loop.
    """

    def __init__(self, folder: SocketFolder | None, clock: Clock, *, name: str | None = None) -> None:
        self._clock = clock
        self._name = name or socket_name()
        self._folder = folder
        self._incidents = Incidents(clock, logger)
        self.loop = asyncio.get_running_loop()
        self.process = os.getpid()
        self.throttle = NotifyThrottle(self._send, self.loop.call_later)
        self._callbacks: list[Callable[[], None]] = []
        self._listener: socket.socket | None = None
        self._checked_at: float | None = None

    def on_append(self, callback: Callable[[], None]) -> None:
        """Call *callback* from now on."""
        self._callbacks.append(callback)
        self.listen()

    def listen(self) -> None:
        """Make the socket, if there are callbacks and it is not there, or not any more."""
        if not self._callbacks or self._folder is None:
            return
        now = self._clock.monotonic()
        if self._checked_at is not None and now - self._checked_at < LOOK_SECONDS:
            return
        self._checked_at = now
        if self._listener is None or not self._folder.has(self._name):
            self._close_listener()
            self._open_listener(self._folder)

    def listening(self) -> bool:
        """Whether notifications are received."""
        return self._listener is not None

    def close(self) -> None:
        """Send what is pending, and stop listening. In a forked child, the parent's socket file stays."""
        if self.process != os.getpid():
            if self._listener is not None:
                self._listener.close()
            return
        self.throttle.close()
        self._callbacks.clear()
        self._close_listener()

    def _send(self) -> None:
        if self._folder is not None:
            self._folder.notify(but=self._name)

    def _open_listener(self, folder: SocketFolder) -> None:
        try:
            self._listener = folder.open(self._name)
            self.loop.add_reader(self._listener, self._receive)
        except (OSError, NotImplementedError) as exc:
            self._close_listener()
            self._incidents.report("wake_ups_unheard", str(folder.path), reason=type(exc).__name__)
        else:
            self._incidents.over("wake_ups_unheard", str(folder.path))
            # Something may have been appended before the socket was there.
            self._call()

    def _close_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None and self._folder is not None:
            with contextlib.suppress(NotImplementedError):
                self.loop.remove_reader(listener)
            listener.close()
            self._folder.remove(self._name)

    def _receive(self) -> None:
        listener = self._listener
        if listener is not None:
            with contextlib.suppress(OSError):
                for _ in range(_MOST_PENDING):
                    listener.recv(1)
            self._call()

    def _call(self) -> None:
        for callback in self._callbacks:
            callback()
