"""
What callers say of whom and where, checked the same way in every call.

Ids may be given as whole numbers, since databases keep them so. No message repeats an id: it may be in a log.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ..chain import is_async_callable
from ..exceptions import TrackingError
from ..messenger.events import Channel
from ..settings import describe, kind_of


class Named(NamedTuple):
    """Whom a call names; ``None`` for what it leaves to the event being handled."""

    user_id: str | None = None
    page_id: str | None = None
    channel: Channel | None = None

    @classmethod
    def checked(cls, user_id: object, page_id: object, channel: object) -> Named:
        """
        From a call's arguments.

        Raises:
            TrackingError: One cannot be what it should be.
        """
        return cls(optional_id("user_id", user_id), optional_id("page_id", page_id), optional_channel(channel))


def person_id(value: object) -> str:
    """
    A ``user_id`` as text.

    Raises:
        TrackingError: It is no id.
    """
    return _id("user_id", value)


def optional_id(name: str, value: object) -> str | None:
    """
    The argument *name* as text; ``None`` stays.

    Raises:
        TrackingError: It is no id.
    """
    return None if value is None else _id(name, value)


def optional_channel(value: object) -> Channel | None:
    """
    A ``channel``; ``None`` stays.

    Raises:
        TrackingError: There is no such channel.
    """
    if value is None:
        return None
    channel = next((one for one in Channel if one == value), None)
    if channel is None:
        msg = f"`channel` is one of {', '.join(repr(one.value) for one in Channel)}, got {describe(value)}"
        raise TrackingError(msg)
    return channel


def _id(name: str, value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        got = "an empty text" if isinstance(value, str) else kind_of(value)
        msg = f"`{name}` is one id, as a text that is not empty or a whole number, got {got}"
        raise TrackingError(msg)
    return value


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
