"""
Middlewares, and the chain that they form: the same composition serves the receive and the send direction.

The first layer added is the outermost, in both directions. A layer may leave out ``call_next`` (drop the event, answer
from a cache) and may await it several times (retry).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import CoroutineType
from typing import Any, Protocol, TypeVar

from .exceptions import RegistrationError

T = TypeVar("T")
R = TypeVar("R")

Next = Callable[[T], Awaitable[R]]
Layer = Callable[[T, Callable[[T], Awaitable[R]]], Awaitable[R]]


class ReceiveMiddleware(Protocol):
    """A middleware that sees the events on their way to a handler."""

    async def receive(self, event: Any, call_next: Callable[[Any], Awaitable[Any]], /) -> Any:
        """Handle *event*; ``call_next(event)`` is the rest of the chain, whose result is returned."""
        return await call_next(event)


class SendMiddleware(Protocol):
    """A middleware that sees the messages on their way to Facebook."""

    async def send(self, outgoing: Any, call_next: Callable[[Any], Awaitable[Any]], /) -> Any:
        """Send *outgoing*; ``call_next(outgoing)`` is the rest of the chain, which returns Facebook's answer."""
        return await call_next(outgoing)


class Middleware(ReceiveMiddleware, SendMiddleware, Protocol):
    """
    What `MessengerBot.add_middleware` takes: an object with ``receive``, ``send``, or both.

    One of the two is enough. A subclass inherits both, as methods that change nothing. ``start`` and ``stop``, both
    ``async def`` and without arguments, are awaited when the bot starts and stops, if the object has them.
    """


def compose(layers: Sequence[Layer[T, R]], innermost: Next[T, R]) -> Next[T, R]:
    """Wrap *innermost* in *layers*; without layers it is returned unchanged."""
    call_next = innermost
    for layer in reversed(layers):
        call_next = partial(_call, layer, call_next)
    return call_next


def _call(layer: Layer[T, R], call_next: Next[T, R], subject: T) -> Awaitable[R]:
    return layer(subject, call_next)


def layer_of(middleware: object) -> object:
    """The object with ``receive`` and ``send``: an object that has other uses for these names gives `chain_layer`."""
    return getattr(middleware, "chain_layer", middleware)


def layers_of(middlewares: Sequence[object], direction: str) -> list[Layer[T, R]]:
    """The methods named *direction* (``receive`` or ``send``) of those middlewares that have one, in order."""
    layers = map(layer_of, middlewares)
    return [getattr(layer, direction) for layer in layers if hasattr(layer, direction)]


def check_middleware(middleware: object) -> None:
    """
    Refuse an object that cannot work as a middleware.

    Raises:
        RegistrationError: It is a class, it has neither ``receive`` nor ``send``, or one of ``receive``, ``send``,
            ``start`` and ``stop`` is not ``async def``, or takes other arguments.
    """
    if isinstance(middleware, type):
        msg = f"a middleware is an object: add {middleware.__name__}(…), not the class"
        raise RegistrationError(msg)
    layer = layer_of(middleware)
    directions = [name for name in ("receive", "send") if hasattr(layer, name)]
    if not directions:
        msg = f"a middleware needs `async def receive` or `async def send`, got {type(middleware).__name__}"
        raise RegistrationError(msg)
    for name in directions:
        if not (is_async_callable(getattr(layer, name)) and takes(getattr(layer, name), 2)):
            msg = f"`{name}` of middleware {middleware!r} must be `async def {name}(self, subject, call_next)`"
            raise RegistrationError(msg)
    for name in ("start", "stop"):
        if hasattr(middleware, name) and not is_async_callable(getattr(middleware, name)):
            msg = f"`{name}` of middleware {middleware!r} must be `async def {name}(self)`"
            raise RegistrationError(msg)


def checked(value: object, kind: type[T], right_call: str) -> T:
    """
    *value*, which must be a *kind*.

    Args:
        right_call: What to call instead, for the message.

    Raises:
        RegistrationError: It is something else.
    """
    if not isinstance(value, kind):
        msg = f"wanted {kind.__name__}, got {type(value).__name__}: {right_call}"
        raise RegistrationError(msg)
    return value


def awaitable(answer: Awaitable[R], name: str = "call_next") -> Awaitable[R]:
    """
    What a callable returned, to be awaited.

    Args:
        name: Of the callable, for the message.

    Raises:
        RegistrationError: It cannot be awaited.
    """
    if type(answer) is not CoroutineType and not inspect.isawaitable(answer):
        msg = f"wanted a `{name}` that is `async def`, or returns an awaitable; it returned {type(answer).__name__}"
        raise RegistrationError(msg)
    return answer


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether *function* can be called with so many arguments, as far as its signature is known."""
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    except ValueError:
        # Not every builtin has a signature.
        return True
    return True


def is_async_callable(candidate: object) -> bool:
    """Whether calling *candidate* gives an awaitable: an async function, a partial of one, or an async ``__call__``."""
    if inspect.iscoroutinefunction(candidate):
        return True
    if isinstance(candidate, type) or inspect.isroutine(candidate):
        return False
    return inspect.iscoroutinefunction(getattr(candidate, "__call__", None))  # noqa: B004
