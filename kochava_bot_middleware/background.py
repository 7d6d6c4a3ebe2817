"""The event loop behind synchronous calls: one thread with one loop in each process, begun when it is first needed."""

from __future__ import annotations

import asyncio
import atexit
import os
import selectors
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context
from multiprocessing import parent_process
from typing import Any, TypeVar, TypeVarTuple, Unpack

from .daemon_threads import DaemonThreads
from .exceptions import StoreUnavailable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

THREADS = 4
"""How many look up host names and read from the store for one loop."""


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that can call in other threads until the process is gone."""

    def __init__(self, selector: selectors.BaseSelector, threads: DaemonThreads) -> None:
        super().__init__(selector)
        self._threads = threads

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        return super().run_in_executor(executor or self._threads, func, *args)


class BackgroundLoop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        threads = DaemonThreads(THREADS, "kochava-bot")
        self.selector = selectors.DefaultSelector()
        self.loop = _Loop(self.selector, threads)
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
            try:
                _process.background = BackgroundLoop()
            except RuntimeError as exc:
                # Python 3.12 and newer.
                msg = f"no thread can be started any more ({exc}); call `start` before the main thread ends"
                raise StoreUnavailable(msg) from exc
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
        if _process.has_ended:
            return
        _process.has_ended = True
        background, ends = _process.background, list(_process.at_end.values())
    if background is not None and ends:
        run_in(background.loop, _all(ends))


def _before_threads_are_joined() -> None:
    """Processes of `multiprocessing` call no functions of `atexit`; they only wait for their threads."""
    if parent_process() is not None and _process.background is not None:
        threading.Thread(target=_end_after_threads, args=(threading.current_thread(),), name="kochava-bot-end").start()


def _end_after_threads(main: threading.Thread) -> None:
    ours = main, threading.current_thread()
    while others := [each for each in threading.enumerate() if not each.daemon and each not in ours]:
        for thread in others:
            thread.join()
    _end()


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

# Functions of `atexit` are called when all threads that are waited for have ended: until then, these may record.
# They are called in reverse order, all finalizers by one that the first of them registers. It must be there before:
# a finalizer may delete a temporary directory in which the store is.
weakref.finalize(_process, int).detach()
atexit.register(_end)
if (register := getattr(threading, "_register_atexit", None)) is not None:
    register(_before_threads_are_joined)
