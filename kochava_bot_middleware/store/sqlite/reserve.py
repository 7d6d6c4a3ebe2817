"""
Room put by for the day the disk is full: nothing new is accepted then, but what is stored can be sent and deleted.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

RESERVE_BYTES = 12 * 1024 * 1024
"""More than the log holds, so that it can always be folded into the file, which makes its own room free again."""


class Reserve:
    """
    A file beside the store that is deleted when the disk is full, and written again once there is room.

    It cannot keep other programs from taking the room it gives up.

    Attributes:
        is_held: Whether the room is put by.
        needed_bytes: How much must be free to put it by: twice as much, lest it be given up and taken again by turns.
    """

    def __init__(self, store: Path, size: int = RESERVE_BYTES) -> None:
        self._path = store.with_name(f"{store.name}-reserve")
        self._size = size
        self.needed_bytes = 2 * size
        self.is_held = False

    def restore(self) -> bool:
        """Put the room by, unless it is; returns whether that worked."""
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
        """Give the room up, for whoever writes next."""
        self.is_held = False
        self._path.unlink(missing_ok=True)

    def _fill(self) -> None:
        # Written rather than made sparse: only then does the room belong to it.
        with open(self._path, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            for written in range(0, self._size, 65_536):
                file.write(bytes(min(65_536, self._size - written)))
