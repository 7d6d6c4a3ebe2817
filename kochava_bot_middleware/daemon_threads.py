"""Calls in other threads, also while the interpreter ends."""

from __future__ import annotations

import contextlib
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
    Threads that work until the process is gone.

    A `ThreadPoolExecutor` takes no calls once the main thread has ended, though other threads work on and wait for what
    they call. Newer versions of Python start no threads then either.

    Args:
        count: Threads that are there from the beginning.
        most: So many there are when all have calls at the same time; ``None`` for no more than *count*.
    """

    def __init__(self, count: int, name: str, *, most: int | None = None) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._name = name
        self._most = count if most is None else most
        self._lock = threading.Lock()
        self._started = self._unanswered = 0
        for _ in range(count):
            self._start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """As of `Executor`."""
        future: Future[T] = Future()
        with self._lock:
            self._unanswered += 1
            if self._started < min(self._unanswered, self._most):
                # Where no thread can be started any more, those that are there make the call later.
                with contextlib.suppress(RuntimeError):
                    self._start()
        self._calls.put((future, functools.partial(fn, *args, **kwargs)))
        return future

    def _start(self) -> None:
        threading.Thread(target=self._run, name=f"{self._name}-{self._started}", daemon=True).start()
        self._started += 1

    def _run(self) -> None:
        while True:
            _answer(*self._calls.get())
            with self._lock:
                self._unanswered -= 1


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
