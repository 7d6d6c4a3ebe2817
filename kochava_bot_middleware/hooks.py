"""Calls of the author's callables: bounded, off the event loop, and whatever they raise is their failure."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .chain import is_async_callable
from .daemon_threads import DaemonThreads
from .handling import ends_task

HOOK_SECONDS = 2.0
"""How long a callable of the settings may take, unless its caller allows less."""


@functools.cache
def _threads(_process: int) -> DaemonThreads:
    """
    What calls plain callables. A forked process has none of its parent's threads, so it has its own; it is not that of
    the event loop, since callables that hang must not keep host names from being looked up.
    """
    return DaemonThreads(8, "kochava-bot-hook")


class HookFailed(Exception):
    """A callable of the author's raised, or took too long; the text is the name of what it raised."""


async def call_hook(
    hook: Callable[..., Any],
    *arguments: Any,
    read: Callable[[Any], Any] = lambda answer: answer,
    seconds: float = HOOK_SECONDS,
) -> Any:
    """
    Call a callable of the author's. A plain one runs in another thread, so that it cannot block the event loop; while
    it hangs, that thread is lost.

    Args:
        read: Makes of its answer what is returned. An object of the author's may raise when it is read.

    Raises:
        HookFailed: It raised anything but a KeyboardInterrupt, or took too long. That includes a cancellation which is
            not one of the running task: let through, it would end the caller without a word.
    """
    try:
        async with asyncio.timeout(seconds):
            if is_async_callable(hook):
                return read(await hook(*arguments))
            call = functools.partial(contextvars.copy_context().run, _call, hook, *arguments)
            answer = await asyncio.get_running_loop().run_in_executor(_threads(os.getpid()), call)
            return read(await answer if inspect.isawaitable(answer) else answer)
    except (HookFailed, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as exc:
        if ends_task(exc):
            raise
        raise HookFailed(type(exc).__name__) from exc


def _call(hook: Callable[..., Any], *arguments: Any) -> Any:
    """Call a plain callable in its thread: a future takes no StopIteration, and a SystemExit in one ends the loop."""
    try:
        return hook(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as exc:
        raise HookFailed(type(exc).__name__) from exc


class HookTime:
    """The time that hooks take while something is recorded, which is not that of the store."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._ended: asyncio.Future[None] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Hooks run within this."""
        loop = asyncio.get_running_loop()
        began, ended = loop.time(), loop.create_future()
        self._ended = ended
        try:
            yield
        finally:
            self._ended = None
            self._seconds += loop.time() - began
            ended.set_result(None)

    def call_later(self, seconds: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        """As of an event loop, but after *seconds* besides the hooks; the handle takes it back until these are over."""
        loop = asyncio.get_running_loop()
        return loop.call_later(seconds, self._call_if_over, loop.time() + seconds, call)

    def _call_if_over(self, ends_at: float, call: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        if self._ended is not None:
            self._ended.add_done_callback(lambda _ended: self._call_if_over(ends_at, call))
        elif (left := ends_at + self._seconds - loop.time()) > 0:
            loop.call_later(left, self._call_if_over, ends_at, call)
        else:
            call()
