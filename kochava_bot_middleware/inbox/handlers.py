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
from typing import Any, TypeVar, overload

import attrs

from ..chain import is_async_callable, takes
from ..exceptions import RegistrationError
from ..handling import REGISTERED
from ..messenger.events import ChangeEvent, Event, Kind, MessageEvent, PostbackEvent, QuickReplyEvent
from ..messenger.reply import Reply

Handler = Callable[[Any, Reply], Awaitable[Any]]
ErrorHandler = Callable[[Any, Reply, Exception], Awaitable[Any]]
Pattern = str | re.Pattern[str] | Callable[[Any], bool]
"""An exact text, a compiled regular expression to search for, or a predicate of the event."""

F = TypeVar("F", bound=Callable[..., Any])

ONLY_BY_NAME = frozenset({Kind.ECHO, Kind.DELIVERY, Kind.READ, Kind.CHANGE})
"""Kinds that only who names them gets. The first three come of the bot's own messages, so a handler for everything that
answers would answer itself without end."""

_NOT_OF_A_PERSON = frozenset({
    Kind.ECHO, Kind.PASS_THREAD_CONTROL, Kind.TAKE_THREAD_CONTROL, Kind.REQUEST_THREAD_CONTROL, Kind.APP_ROLES,
    Kind.POLICY_ENFORCEMENT, Kind.CHANGE, Kind.UNKNOWN,
})  # fmt: skip
"""Kinds that nobody takes for an act of the person. A handler of any other kind never gets what the Page did."""


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
        """The handler's name, as events and SmartLinks carry it."""
        function: Any = self.function
        while isinstance(function, functools.partial):
            function = function.func
        return str(getattr(function, "__name__", type(function).__name__))

    def answers(self, kind: Kind, *, from_page: bool = False) -> bool:
        """Whether this handler is for events of *kind*; what comes *from_page* only who names its kind gets."""
        return kind in self.kinds if self.kinds or from_page else kind not in ONLY_BY_NAME

    def matches(self, event: Event) -> bool:
        """Whether *event*, of a right kind, is one that this handler answers."""
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
    """The handlers of one bot."""

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._error_handlers: list[ErrorHandler] = []

    def find(self, event: Event) -> Route | None:
        """The first handler that answers *event*, or ``None``."""
        kind = event.kind
        if event.from_page and kind not in _NOT_OF_A_PERSON:
            return None
        if isinstance(event, QuickReplyEvent):
            for route in self._routes:
                if Kind.QUICK_REPLY in route.kinds and route.matches(event):
                    return route
            kind = Kind.MESSAGE
        for route in self._routes:
            if route.answers(kind, from_page=event.from_page) and route.matches(event):
                return route
        return None

    def wants(self, event: Event) -> bool:
        """Whether a handler answers *event*, or a pattern raises on it, which must come out while it is handled."""
        try:
            return self.find(event) is not None
        except Exception:  # noqa: BLE001
            return True

    @property
    def error_handlers(self) -> tuple[ErrorHandler, ...]:
        """What to run when a handler raised, in order."""
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
        """Register *function* for what handlers raise, and return it unchanged."""
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


class Handlers:
    """
    The decorators of a bot. Each returns the function unchanged, and takes ``standby=True`` for threads of other apps.
    """

    def __init__(self) -> None:
        self.router = Router()

    def on_message(self, pattern: Pattern | None = None, *, standby: bool = False) -> Callable[[F], F]:
        """Answer messages whose text matches; echoes, reads and deliveries never come here."""
        return self._on(frozenset({Kind.MESSAGE}), _text, pattern, standby=standby)

    def on_quick_reply(self, payload: Pattern | None = None, *, standby: bool = False) -> Callable[[F], F]:
        """Answer taps on quick replies whose payload matches."""
        return self._on(frozenset({Kind.QUICK_REPLY}), _payload, payload, standby=standby)

    def on_postback(self, payload: Pattern | None = None, *, standby: bool = False) -> Callable[[F], F]:
        """Answer taps on postback buttons, menu items and get-started whose payload matches."""
        return self._on(frozenset({Kind.POSTBACK}), _payload, payload, standby=standby)

    def on_referral(self, ref: Pattern | None = None, *, standby: bool = False) -> Callable[[F], F]:
        """Answer persons who come back through a link or an ad; a first contact is a postback with a referral."""
        return self._on(frozenset({Kind.REFERRAL}), _ref, ref, standby=standby)

    def on_optin(self, payload: Pattern | None = None, *, standby: bool = False) -> Callable[[F], F]:
        """Answer opt-ins; an opt-out comes here too, see `OptinEvent.opted_out`."""
        return self._on(frozenset({Kind.OPTIN}), _payload, payload, standby=standby)

    def on_event(self, *kinds: Kind | str, standby: bool = False) -> Callable[[F], F]:
        """
        Answer events of these kinds; without kinds, all that no earlier handler answered.

        Echoes, deliveries, reads and changes come only to who names them: what a bot sends comes back as such, and it
        must not answer itself.

        Raises:
            RegistrationError: There is no such kind.
        """
        for kind in kinds:
            _refuse_function(kind, "on_event")
        try:
            wanted = frozenset(Kind(kind) for kind in kinds)
        except ValueError as exc:
            msg = f"{exc}; the kinds are {', '.join(Kind)}"
            raise RegistrationError(msg) from None
        return self._on(wanted, lambda _event: None, None, standby=standby)

    def on_change(self, field: str | None = None) -> Callable[[F], F]:
        """Answer webhooks that are not messaging, such as ``feed``; without a handler they are left."""
        return self._on(frozenset({Kind.CHANGE}), _field, field, standby=False)

    @overload
    def on_error(self, function: F) -> F: ...

    @overload
    def on_error(self) -> Callable[[F], F]: ...

    def on_error(self, function: F | None = None) -> F | Callable[[F], F]:
        """
        Called with (event, reply, error) when a handler raised. What it raises itself is logged.

        Written with or without parentheses. All of them are called, in order.
        """
        return self.router.add_error_handler if function is None else self.router.add_error_handler(function)

    def _on(
        self,
        kinds: frozenset[Kind],
        text_of: Callable[[Any], str | None],
        pattern: Pattern | None,
        *,
        standby: bool,
    ) -> Callable[[F], F]:
        _check_pattern(pattern, "_".join(["on", *kinds]))

        def register(function: F) -> F:
            return self.router.add(function, kinds=kinds, text_of=text_of, pattern=pattern, standby=standby)

        return register


def _check_pattern(pattern: object, decorator: str) -> None:
    if pattern is None or isinstance(pattern, str):
        return
    if isinstance(pattern, re.Pattern):
        if isinstance(pattern.pattern, str):
            return
        msg = f"a regular expression for texts is needed, not for bytes, got {pattern!r}"
        raise RegistrationError(msg)
    if not callable(pattern):
        msg = f"a pattern is a text, a compiled regular expression or a predicate, got {pattern!r}"
        raise RegistrationError(msg)
    if is_async_callable(pattern) or not takes(pattern, 1):
        _refuse_function(pattern, decorator)


def _refuse_function(given: object, decorator: str) -> None:
    if callable(given):
        msg = (
            f"a decorator of handlers is called: write `@bot.{decorator}()`, with parentheses"
            f" (a predicate is a plain function of one event), got {given!r}"
        )
        raise RegistrationError(msg)


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
