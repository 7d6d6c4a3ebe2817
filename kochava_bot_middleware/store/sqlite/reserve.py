"""Disk space kept free for the day the disk is full: then nothing new is accepted, but entries can be settled."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

RESERVE_BYTES = 12 * 1024 * 1024
"""More than the log holds, so that a checkpoint is always possible, which frees the log's own space."""


class Reserve:
    """
    A file beside the store that is deleted when the disk is full, and written again once there is room.

    It cannot keep other programs from using the space it gives up.

    Attributes:
        is_held: Whether the file is there.
        needed_bytes: How much must be free to write it: twice its size, so that it is not deleted and written in turns.
    """

    def __init__(self, store: Path, size: int = RESERVE_BYTES) -> None:
        self._path = store.with_name(f"{store.name}-reserve")
        self._size = size
        self.needed_bytes = 2 * size
        self.is_held = False

    def restore(self) -> bool:
        """Write the file, unless it is there; returns whether that worked."""
        try:
            if not self._path.exists() or self._path.stat().st_size < self._size:
                if shutil.disk_usage(self._path.parent).free < self.needed_bytes:
                    return False
                self._fill()
        except OSError:
            self.release()
            return False
        self.is_held = True
        return True

    def release(self) -> None:
        """Delete the file, for whatever is written next."""
        self.is_held = False
        self._path.unlink(missing_ok=True)

    def _fill(self) -> None:
        # Written rather than made sparse: only then is the space taken.
        with open(self._path, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            for written in range(0, self._size, 65_536):
                file.write(bytes(min(65_536, self._size - written)))
