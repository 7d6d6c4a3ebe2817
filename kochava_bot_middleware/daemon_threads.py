"""Calls in other threads, also while the interpreter ends."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(Executor):
    """
    So many threads, which are there from the beginning and work until the process is gone.

    A `ThreadPoolExecutor` takes no calls once the main thread has ended, though other threads work on and wait for what
    they call. Newer versions of Python start no threads then either.
    """

    def __init__(self, count: int, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As of `Executor`."""
        future: Future[T] = Future()
        self._calls.put((future, functools.partial(fn, *args, **kwargs)))
        return future

    def _run(self) -> None:
        while True:
            _answer(*self._calls.get())


def _answer(future: Future[Any], call: Callable[[], Any]) -> None:
    """Make a call whose answer is waited for."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        answer = call()
    except BaseException as exc:  # noqa: BLE001 - the caller gets it
        future.set_exception(exc)
    else:
        future.set_result(answer)
