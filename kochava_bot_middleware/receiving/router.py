"""
Which handler answers which event.

Handlers are tried in the order in which they were registered; the first match runs. A quick reply is a message to the
platform, so when no quick-reply handler matches, the message handlers are tried with its title as text.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs

from ..chain import is_async_callable, takes
from ..exceptions import RegistrationError
from ..messenger.events import Event, Kind, QuickReplyEvent
from ..messenger.reply import Reply

Handler = Callable[[Any, Reply], Awaitable[Any]]
ErrorHandler = Callable[[Any, Reply, Exception], Awaitable[Any]]
Pattern = str | re.Pattern[str] | Callable[[Any], bool]
"""An exact text, a compiled regular expression to search for, or a predicate of the event."""

F = TypeVar("F", bound=Callable[..., Any])

ONLY_BY_NAME = frozenset({Kind.ECHO, Kind.DELIVERY, Kind.READ, Kind.CHANGE})
"""Kinds that only who names them gets. The first three come of the bot's own messages, so a handler for everything that
answers would answer itself without end."""

REGISTERED = "__messenger_handler__"
"""Attribute of a function that was registered: a decorator applied on top of it can have no effect any more."""


@attrs.frozen(kw_only=True)
class Route:
    """
    One registered handler.

    Attributes:
        function: The handler.
        kinds: What it answers; empty means every kind but `ONLY_BY_NAME`.
        text_of: The part of the event that `pattern` is compared with.
        pattern: ``None`` matches all.
        standby: Whether it answers events of threads that another app owns, and only those.
    """

    function: Handler
    kinds: frozenset[Kind]
    text_of: Callable[[Any], str | None]
    pattern: Pattern | None = None
    standby: bool = False

    @property
    def name(self) -> str:
        """
        The handler's name, as events and SmartLinks carry it.
        """
        function: Any = self.function
        while isinstance(function, functools.partial):
            function = function.func
        return str(getattr(function, "__name__", type(function).__name__))

    def answers(self, kind: Kind) -> bool:
        """
        Whether this handler is for events of *kind*.
        """
        return kind in self.kinds if self.kinds else kind not in ONLY_BY_NAME

    def matches(self, event: Event) -> bool:
        """
        Whether *event*, of a right kind, is one that this handler answers.
        """
        if event.standby is not self.standby:
            return False
        if self.pattern is None:
            return True
        if callable(self.pattern):
            return bool(self.pattern(event))
        text = self.text_of(event)
        if text is None:
            return False
        return text == self.pattern if isinstance(self.pattern, str) else self.pattern.search(text) is not None


class Router:
    """
    The handlers of one bot.
    """

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._error_handlers: list[ErrorHandler] = []

    def find(self, event: Event) -> Route | None:
        """
        The first handler that answers *event*, or ``None``.
        """
        kind = event.kind
        if isinstance(event, QuickReplyEvent):
            for route in self._routes:
                if Kind.QUICK_REPLY in route.kinds and route.matches(event):
                    return route
            kind = Kind.MESSAGE
        for route in self._routes:
            if route.answers(kind) and route.matches(event):
                return route
        return None

    def wants(self, event: Event) -> bool:
        """
        Whether a handler answers *event*, or a pattern raises on it, which must come out while it is handled.
        """
        try:
            return self.find(event) is not None
        except Exception:  # noqa: BLE001
            return True

    @property
    def error_handlers(self) -> tuple[ErrorHandler, ...]:
        """
        What to run when a handler raised, in order.
        """
        return tuple(self._error_handlers)

    def add(
        self,
        function: F,
        *,
        kinds: frozenset[Kind],
        text_of: Callable[[Any], str | None] = lambda _event: None,
        pattern: Pattern | None = None,
        standby: bool = False,
    ) -> F:
        """
        Register *function* and return it unchanged.

        Raises:
            RegistrationError: It is not ``async def``, or takes other arguments.
        """
        _check(function, "event", "reply")
        self._routes.append(Route(function=function, kinds=kinds, text_of=text_of, pattern=pattern, standby=standby))
        return _marked(function)

    def add_error_handler(self, function: F) -> F:
        """
        Register *function* for what handlers raise, and return it unchanged.
        """
        _check(function, "event", "reply", "error")
        self._error_handlers.append(function)
        return _marked(function)


def _check(function: Callable[..., Any], *arguments: str) -> None:
    if not is_async_callable(function) or not takes(function, len(arguments)):
        msg = f"a handler is an `async def` function of ({', '.join(arguments)}), got {function!r}"
        raise RegistrationError(msg)


def _marked(function: F) -> F:
    # A bound method or an instance with __slots__ cannot carry the mark; decorators do not apply to them anyway.
    with contextlib.suppress(AttributeError, TypeError):
        setattr(function, REGISTERED, True)
    return function
