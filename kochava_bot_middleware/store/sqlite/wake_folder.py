"""
The folder in which each process that listens has a socket.

It is ``<file>.wake`` beside the store. The address of a socket has room for about 100 bytes, so for a longer path it is
a folder of the machine's temporary ones instead, named after the store and its user.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import socket
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

MOST_ADDRESS_BYTES = 103
"""Of a socket's address, on the platform with the least room (macOS); Linux has 107."""

_NAME = re.compile(r"[0-9]+-[0-9a-f]{8}")
"""Process id and chance. Nothing else in the folder is looked at."""

_LONGEST_NAME = len(".4194304-01234567")

_TRIES = 20
"""Each is only lost to another process that leaves, and takes the folder with it, in the same instant."""


def socket_name() -> str:
    """
    A name that no other process and no other store has.
    """
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def wake_folder(store: Path) -> WakeFolder | None:
    """
    That of *store*; ``None`` on a platform whose sockets have no paths, such as Windows.
    """
    return WakeFolder(store) if hasattr(socket, "AF_UNIX") else None


class WakeFolder:
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
        """
        Whether *name* can still be found.
        """
        return os.path.exists(self.path / name)

    def leave(self, name: str) -> None:
        """
        Remove *name*, and the folder after the last.
        """
        with contextlib.suppress(OSError):
            os.unlink(self.path / name)
        with contextlib.suppress(OSError):
            os.rmdir(self.path)

    def ring(self, *, but: str) -> None:
        """
        Wake all but one. Who does not live any more is removed. Never waits, never raises.
        """
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
