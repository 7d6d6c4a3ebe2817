"""The event loop behind synchronous calls: one thread with one loop in each process, begun when it is first needed."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import selectors
import threading
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Executor
from contextvars import Context, copy_context
from functools import partial
from multiprocessing import parent_process
from typing import Any, Generic, TypeVar, TypeVarTuple, Unpack, cast

from .daemon_threads import DaemonThreads
from .exceptions import StoreUnavailable

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Begin = Callable[[], asyncio.Future[T] | None]
"""Begins something in an event loop; ``None`` when it has ended at once."""

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


class _Calls:
    """What other threads want run in one loop: all that is put before it looks needs one wake-up."""

    def __init__(self) -> None:
        self._waiting: deque[_Call[Any]] = deque()
        self._is_woken = False

    def put(self, call: _Call[Any]) -> None:
        """Begin *call* in its loop."""
        self._waiting.append(call)
        if self._is_woken:
            return
        try:
            self._is_woken = True
            call.loop.call_soon_threadsafe(self._begin)
        except BaseException:
            # Others would wait for a wake-up that never comes.
            self._is_woken = False
            raise

    def _begin(self) -> None:
        # First, for what is put from now on may be seen or not.
        self._is_woken = False
        while self._waiting:
            self._waiting.popleft().begin()


class _Call(Generic[T]):
    """
    Something that another thread waits for.

    It ends with a lock: the condition of a `concurrent.futures.Future` would add a tenth to the cost of a ``track``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, begin: Begin[T], context: Context) -> None:
        self.loop = loop
        self._begin = begin
        self._context = context
        self._future: asyncio.Future[T] | None = None
        self._error: BaseException | None = None
        self._ended = threading.Lock()
        self._ended.acquire()

    def begin(self) -> None:
        try:
            self._future = self._context.run(self._begin)
        except BaseException as exc:  # noqa: BLE001 - the caller gets it
            self._error = exc
        if self._future is None:
            self._ended.release()
        else:
            self._future.add_done_callback(self._end)

    def _end(self, _future: asyncio.Future[T]) -> None:
        self._ended.release()

    def result(self) -> T | None:
        """Wait for the end, and return or raise what the future has."""
        self._ended.acquire()
        if self._error is not None:
            raise self._error
        if self._future is None:
            return None
        if self._future.cancelled():
            # Unlike that of asyncio, an error as others are: the thread that waits is not cancelled.
            raise CancelledError
        return self._future.result()

    def cancel(self) -> None:
        if self._future is not None:
            self._future.cancel()


_CALLS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Calls] = weakref.WeakKeyDictionary()


def run_in(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T], context: Context | None = None) -> T:
    """
    Run *work* in a loop of another thread, and wait for its result.

    Args:
        context: What its context variables are; those of the caller by default.
    """
    return cast(T, call_in(loop, partial(loop.create_task, work), context))


def call_in(loop: asyncio.AbstractEventLoop, begin: Begin[T], context: Context | None = None) -> T | None:
    """As `run_in`, for what *begin* begins when it is called in the loop, if anything."""
    call = _Call(loop, begin, copy_context() if context is None else context)
    calls = _CALLS.get(loop) or _CALLS.setdefault(loop, _Calls())
    try:
        calls.put(call)
        return call.result()
    except BaseException:
        # Such as KeyboardInterrupt, while it is still under way.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(call.cancel)
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
