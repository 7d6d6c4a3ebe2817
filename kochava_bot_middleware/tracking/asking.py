"""
Asking the author's callables: plain or async, never for longer than allowed.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

ANSWER_WITHIN_SECONDS = 2.0
"""How long an async callable of the settings may take. A plain one is called in the event loop and must be quick."""


async def ask(callable_: Callable[..., Any], *arguments: Any) -> Any:
    """
    What *callable_* answers.

    Raises:
        TimeoutError: It took too long.
        Exception: Whatever it raised.
    """
    answer = callable_(*arguments)
    if inspect.isawaitable(answer):
        async with asyncio.timeout(ANSWER_WITHIN_SECONDS):
            return await answer
    return answer
