"""
The decorators that register a bot's handlers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, overload

from ..chain import is_async_callable, takes
from ..exceptions import RegistrationError
from ..messenger.events import ChangeEvent, Event, Kind, MessageEvent, PostbackEvent
from .router import F, Pattern, Router


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
        """
        Answer webhooks that are not messaging, such as ``feed``; without a handler they are left.
        """
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
