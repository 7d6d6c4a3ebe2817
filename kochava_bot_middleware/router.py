"""
Which handler answers which event.

Handlers are tried in the order in which they were registered; the first match runs. A quick reply is a message to the
platform, so when no quick-reply handler matches, the message handlers are tried with its title as text.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs

from .chain import is_async_callable
from .exceptions import RegistrationError
from .messenger.events import ChangeEvent, Event, Kind, MessageEvent, PostbackEvent, QuickReplyEvent
from .messenger.reply import Reply

Handler = Callable[[Any, Reply], Awaitable[Any]]
ErrorHandler = Callable[[Any, Reply, Exception], Awaitable[Any]]
Pattern = str | re.Pattern[str] | Callable[[Any], bool]
"""An exact text, a compiled regular expression to search for, or a predicate of the event."""

F = TypeVar("F", bound=Callable[..., Any])

REGISTERED = "__messenger_handler__"
"""Attribute of a function that was registered: a decorator applied on top of it can have no effect any more."""


@attrs.frozen(kw_only=True)
class Route:
    """
    One registered handler.

    Attributes:
        function: The handler.
        kinds: What it answers; empty means every kind.
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
        return getattr(self.function, "__name__", type(self.function).__name__)

    def matches(self, event: Event, kind: Kind) -> bool:
        """
        Whether this handler answers *event*, seen as one of *kind*.
        """
        if event.standby is not self.standby or (self.kinds and kind not in self.kinds):
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
        kinds = (Kind.QUICK_REPLY, Kind.MESSAGE) if isinstance(event, QuickReplyEvent) else (event.kind,)
        for kind in kinds:
            for route in self._routes:
                if route.matches(event, kind):
                    return route
        return None

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
            RegistrationError: It is not ``async def``, or the pattern is of no known form.
        """
        _check(function, "(event, reply)")
        if pattern is not None and not (isinstance(pattern, (str, re.Pattern)) or callable(pattern)):
            msg = f"a pattern is a text, a compiled regular expression or a predicate, got {pattern!r}"
            raise RegistrationError(msg)
        self._routes.append(Route(function=function, kinds=kinds, text_of=text_of, pattern=pattern, standby=standby))
        return _marked(function)

    def add_error_handler(self, function: F) -> F:
        """
        Register *function* for what handlers raise, and return it unchanged.
        """
        _check(function, "(event, reply, error)")
        self._error_handlers.append(function)
        return _marked(function)


class Handlers:
    """
    The decorators of a bot. Each returns the function unchanged, and takes ``standby=True`` for threads of other apps.
    """

    def __init__(self) -> None:
        self.router = Router()

    def on_message(self, pattern: Pattern | None = None, *, standby: bool = False) -> Callable[[F], F]:
        """
        Answer messages whose text matches; echoes, reads and deliveries never come here.
        """
        return self._on(frozenset({Kind.MESSAGE}), _text, pattern, standby=standby)

    def on_quick_reply(self, payload: Pattern | None = None, *, standby: bool = False) -> Callable[[F], F]:
        """
        Answer taps on quick replies whose payload matches.
        """
        return self._on(frozenset({Kind.QUICK_REPLY}), _payload, payload, standby=standby)

    def on_postback(self, payload: Pattern | None = None, *, standby: bool = False) -> Callable[[F], F]:
        """
        Answer taps on postback buttons, menu items and get-started whose payload matches.
        """
        return self._on(frozenset({Kind.POSTBACK}), _payload, payload, standby=standby)

    def on_referral(self, ref: Pattern | None = None, *, standby: bool = False) -> Callable[[F], F]:
        """
        Answer persons who come back through a link or an ad; a first contact is a postback with a referral.
        """
        return self._on(frozenset({Kind.REFERRAL}), _ref, ref, standby=standby)

    def on_optin(self, payload: Pattern | None = None, *, standby: bool = False) -> Callable[[F], F]:
        """
        Answer opt-ins; an opt-out comes here too, see `OptinEvent.opted_out`.
        """
        return self._on(frozenset({Kind.OPTIN}), _payload, payload, standby=standby)

    def on_event(self, *kinds: Kind | str, standby: bool = False) -> Callable[[F], F]:
        """
        Answer events of these kinds; without kinds, all that no earlier handler answered.

        Raises:
            RegistrationError: There is no such kind.
        """
        try:
            wanted = frozenset(Kind(kind) for kind in kinds)
        except ValueError as exc:
            msg = f"{exc}; the kinds are {', '.join(Kind)}"
            raise RegistrationError(msg) from None
        return self._on(wanted, lambda _event: None, None, standby=standby)

    def on_change(self, field: str | None = None) -> Callable[[F], F]:
        """
        Answer webhooks that are not messaging, such as ``feed``; without a handler they are left.
        """
        return self._on(frozenset({Kind.CHANGE}), _field, field, standby=False)

    def on_error(self, function: F) -> F:
        """
        Called with (event, reply, error) when a handler raised. What it raises itself is logged.
        """
        return self.router.add_error_handler(function)

    def _on(
        self,
        kinds: frozenset[Kind],
        text_of: Callable[[Any], str | None],
        pattern: Pattern | None,
        *,
        standby: bool,
    ) -> Callable[[F], F]:
        if is_async_callable(pattern):
            msg = "a decorator of handlers is called: write `@bot.on_message()`, with parentheses"
            raise RegistrationError(msg)

        def register(function: F) -> F:
            return self.router.add(function, kinds=kinds, text_of=text_of, pattern=pattern, standby=standby)

        return register


def _check(function: object, arguments: str) -> None:
    if not is_async_callable(function):
        msg = f"a handler is an `async def` function of {arguments}, got {function!r}"
        raise RegistrationError(msg)


def _marked(function: F) -> F:
    # An instance with __slots__ cannot carry the mark; decorators do not apply to it anyway.
    if hasattr(function, "__dict__"):
        setattr(function, REGISTERED, True)
    return function


def _text(event: Event) -> str | None:
    return event.text if isinstance(event, MessageEvent) else None


def _payload(event: Event) -> str | None:
    if isinstance(event, PostbackEvent):
        return event.payload
    if isinstance(event, MessageEvent):
        return event.quick_reply_payload
    return getattr(event, "payload", None)


def _ref(event: Event) -> str | None:
    return event.referral.ref if event.referral is not None else None


def _field(event: Event) -> str | None:
    return event.field if isinstance(event, ChangeEvent) else None
