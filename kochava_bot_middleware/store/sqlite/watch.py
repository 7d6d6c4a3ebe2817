"""
Whether the files that are open are still those at their paths.

A file that was deleted or replaced stays open: SQLite goes on reading and writing it, and all of it is gone when the
process ends.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from ...exceptions import StoreUnusable

_SUFFIXES = ("", "-wal", "-shm")


class FileWatch:
    """
    Remembers which files were opened, for as long as the process lives.

    Attributes:
        is_cut: The file was truncated, so that nothing of it can be trusted.
    """

    def __init__(self, path: Path) -> None:
        self.is_cut = False
        self._path = path
        self._files = [f"{path}{suffix}" for suffix in _SUFFIXES]
        self._opened: dict[str, tuple[int, int]] = {}
        self._size = 0

    def fault(self, connection: sqlite3.Connection | None) -> StoreUnusable | None:
        """
        What is wrong with the files; ``None`` if all are as they were. Costs three calls of the system.

        Args:
            connection: What reads the file; ``None`` before it is opened.
        """
        for file in self._files:
            opened = self._opened.get(file)
            try:
                found = os.stat(file)
            except OSError:
                if opened is not None:
                    return self._lost(f"{file} is not there any more")
                continue
            if opened is None:
                if connection is not None:
                    self._opened[file] = (found.st_dev, found.st_ino)
            elif opened != (found.st_dev, found.st_ino):
                return self._lost(f"{file} was replaced by another file")
            if file is self._files[0] and connection is not None:
                self._note_size(connection, found.st_size)
        if self.is_cut:
            return StoreUnusable(f"the store {self._path} was cut off while it was open; restore it from a backup")
        return None

    def closed(self) -> None:
        """The connection was closed: SQLite removes the other files with the last one, and makes them anew."""
        for file in self._files[1:]:
            self._opened.pop(file, None)

    def _note_size(self, connection: sqlite3.Connection, size: int) -> None:
        # VACUUM makes a file smaller, too, but then it has as few pages as its header says.
        if size < self._size:
            pages, page_size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _OF_SIZE)
            self.is_cut = self.is_cut or size < pages * page_size
        self._size = size

    def _lost(self, what: str) -> StoreUnusable:
        advice = "bring it back, or stop all processes that use the store and start them again"
        return StoreUnusable(f"the store {self._path} takes nothing new, since {what}; {advice}")


_OF_SIZE = ("page_count", "page_size")
