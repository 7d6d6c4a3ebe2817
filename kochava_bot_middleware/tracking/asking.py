"""
Asking the author's callables: plain or async, never for longer than allowed.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..chain import is_async_callable

ANSWER_WITHIN_SECONDS = 2.0
"""How long a callable of the settings may take, if whoever asks allows no less."""

_THREADS = ThreadPoolExecutor(max_workers=8, thread_name_prefix="kochava-bot-ask")
"""Not the event loop's own: callables that hang must not keep host names from being looked up."""


async def ask(callable_: Callable[..., Any], *arguments: Any) -> Any:
    """
    What *callable_* answers. A plain one is called in another thread, so that it cannot hold up the event loop; while
    it hangs, that thread is lost.

    Raises:
        TimeoutError: It took too long.
        Exception: Whatever it raised.
    """
    async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
        if is_async_callable(callable_):
            return await callable_(*arguments)
        call = functools.partial(contextvars.copy_context().run, callable_, *arguments)
        answer = await asyncio.get_running_loop().run_in_executor(_THREADS, call)
        return await answer if inspect.isawaitable(answer) else answer
