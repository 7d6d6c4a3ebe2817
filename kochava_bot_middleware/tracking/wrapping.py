"""Decorators of functions that are called while an event is handled: one wrapper, async or not."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from ..chain import is_async_callable
from ..exceptions import RegistrationError
from ..handling import REGISTERED

F = TypeVar("F", bound=Callable[..., Any])


def wrapped(
    function: F | None,
    decorator: str,
    *,
    after: Callable[[Any], None] = lambda _result: None,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
    also_after_errors: bool = False,
) -> F:
    """
    *function*, with something done around and after each call. Results and errors pass through untouched.

    Args:
        function: ``None`` if the decorator was called with nothing.
        decorator: How the author wrote it, for messages.
        after: Given the result; not called when the function raised, unless *also_after_errors*, then with ``None``.
        around: Makes a context manager for one call.

    Raises:
        RegistrationError: It is no function; or it is registered as a handler already, and the bot would go on calling
            it unwrapped.
    """
    if function is None:
        msg = f"{decorator} is written without parentheses"
        raise RegistrationError(msg)
    if not callable(function):
        msg = f"{decorator} decorates a function, got {function!r}"
        raise RegistrationError(msg)
    if getattr(function, REGISTERED, False):
        msg = f"{decorator} has no effect above a decorator of the bot: write `@bot.on_…` first, {decorator} below it"
        raise RegistrationError(msg)

    if inspect.iscoroutinefunction(function) or is_async_callable(function):

        @functools.wraps(function)
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            try:
                with around():
                    result = await function(*args, **kwargs)
            except BaseException:
                if also_after_errors:
                    after(None)
                raise
            after(result)
            return result

        return call_async  # type: ignore[return-value]

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            with around():
                result = function(*args, **kwargs)
        except BaseException:
            if also_after_errors:
                after(None)
            raise
        after(result)
        return result

    return call  # type: ignore[return-value]
