"""The event loop behind synchronous calls: one thread with one loop in each process, begun when it is first needed."""

from __future__ import annotations

import asyncio
import atexit
import os
import selectors
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from .exceptions import StoreUnavailable

T = TypeVar("T")


class BackgroundLoop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.loop = asyncio.SelectorEventLoop(self.selector)
        self._thread = threading.Thread(target=self._run, name="kochava-bot", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


class _Process:
    """The background of this process. A forked one gets another, since threads do not survive a fork."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.background: BackgroundLoop | None = None
        self.at_end: dict[object, Callable[[], Coroutine[Any, Any, None]]] = {}
        self.has_ended = False


_process = _Process()
_INHERITED: list[_Process] = []


def background_loop() -> asyncio.AbstractEventLoop:
    """
    The loop of this process.

    Raises:
        StoreUnavailable: The interpreter ends.
    """
    with _process.lock:
        if _process.has_ended:
            msg = "the process is ending, so nothing can be recorded any more; call it earlier"
            raise StoreUnavailable(msg)
        if _process.background is None:
            _process.background = BackgroundLoop()
        return _process.background.loop


def lock() -> threading.RLock:
    """Held while something is begun in the background."""
    return _process.lock


def run_in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], context: Context | None = None) -> T:
    """
    Run *work* in a loop of another thread, and wait for its result.

    Args:
        context: What its context variables are; those of the caller by default.
    """
    submit = asyncio.run_coroutine_threadsafe
    future = submit(work, loop) if context is None else context.run(submit, work, loop)
    try:
        return future.result()
    except BaseException:
        # Such as KeyboardInterrupt, while it is still under way.
        future.cancel()
        raise


def at_end(owner: object, end: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *end* in the loop when the interpreter ends."""
    _process.at_end[owner] = end


def not_at_end(owner: object) -> None:
    """Take `at_end` back."""
    _process.at_end.pop(owner, None)


def _end() -> None:
    with _process.lock:
        _process.has_ended = True
        background, ends = _process.background, list(_process.at_end.values())
    if background is not None and ends:
        run_in(background.loop, _all(ends))


async def _all(ends: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    await asyncio.gather(*(end() for end in ends))


def _after_fork() -> None:
    global _process
    inherited, _process = _process, _Process()
    if inherited.background is not None:
        # The parent waits with the same queue of the kernel. Whatever is collected here must not change it.
        inherited.background.selector.close()
    # Collected, it would close what the parent still uses.
    _INHERITED.append(inherited)


os.register_at_fork(after_in_child=_after_fork)

# `atexit` is too late: by then the interpreter refuses the threads that look up host names.
getattr(threading, "_register_atexit", atexit.register)(_end)
