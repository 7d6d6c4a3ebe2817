"""
No connection is open while the process forks.

The child would inherit the memory in which SQLite notes the locks of this process, though not the locks. It would wait
for ever for one that nobody holds any more, and not take others that it needs.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol

reading_apart = threading.Lock()
"""Held while a connection is open that belongs to no `Writer`."""


class Writer(Protocol):
    """Has a connection, which it opens again when it needs it."""

    def pause(self) -> None:
        """Close the connection, and open none until `resume`."""

    def resume(self) -> None:
        """Go on."""


_lock = threading.Lock()
_writers: weakref.WeakSet[Writer] = weakref.WeakSet()
_paused: list[Writer] = []


def pause_at_forks(writer: Writer) -> None:
    """From now on, pause *writer* while the process forks."""
    with _lock:
        _writers.add(writer)


def _before() -> None:
    _lock.acquire()
    reading_apart.acquire()
    _paused.extend(_writers)
    for writer in _paused:
        writer.pause()


def _in_parent() -> None:
    for writer in _paused:
        writer.resume()
    _end()


def _in_child() -> None:
    # The threads of these writers are the parent's.
    _writers.clear()
    _end()


def _end() -> None:
    _paused.clear()
    reading_apart.release()
    _lock.release()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
