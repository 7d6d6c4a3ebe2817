"""Decorators of functions that are called while an event is handled: one wrapper, async or not."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar, overload

from ..chain import is_async_callable, takes
from ..exceptions import RegistrationError, TrackingError
from ..handling import REGISTERED
from ..kochava.event_builders import StandardEventData
from ..kochava.event_data import clean_event_name
from ..settings import kind_of
from .greeting import GreetingBody, as_greeting, marked
from .recorder import Recorder

F = TypeVar("F", bound=Callable[..., Any])

EventData = Mapping[str, Any] | Callable[[Any, Any], Any] | str | int | float | None
"""An event's data: an object, one value, or a callable of (event, result) that gives either."""


def name_and_data(name: str | StandardEventData, data: Any) -> tuple[str, Any]:
    """The arguments of a call, where a built standard event has its data with it."""
    if isinstance(name, StandardEventData):
        return name.name, name.data if data is None else data
    return name, data


class HandlerDecorators:
    """
    The decorators of a `KochavaMiddleware`.

    Args:
        recorder: Gives that of this process: a forked one has its own.
    """

    def __init__(self, recorder: Callable[[], Recorder]) -> None:
        self._own_recorder = recorder

    def event(
        self, name: str | StandardEventData, data: EventData = None, *, when: str = "success"
    ) -> Callable[[F], F]:
        """
        Record a named event when the decorated function ends. It wraps handlers, and any other function, async or not,
        that is called while an event is handled.

        Args:
            name: As Kochava shall show it; its standard names are in `StandardEvent`. Or a built standard event, such
                as ``events.purchase(price=100, currency="USD")``, which has its data with it.
            data: The event's data, or a callable of (event, result) that gives it.
            when: ``success``: only when the function did not raise; ``always``: in any case, with result ``None``.

        Raises:
            RegistrationError: The function is registered as a handler already, so wrapping it has no effect; or an
                argument could never work.
        """
        if when not in ("success", "always"):
            msg = f"`when` is 'success' or 'always', got {when!r}"
            raise RegistrationError(msg)
        event_name, event_data = name_and_data(name, data)
        if not isinstance(event_name, str) or not event_name.strip():
            msg = f'@kochava.event wants the event\'s name: write `@kochava.event("Purchase")`, got {name!r}'
            raise RegistrationError(msg)
        decorator = f'@kochava.event("{event_name}")'
        try:
            clean_event_name(event_name, strict=self._own_recorder().is_strict)
        except TrackingError as exc:
            raise RegistrationError(str(exc)) from None
        if inspect.iscoroutinefunction(event_data):
            msg = f"{decorator}: `data` is a plain callable; an async one cannot be awaited here"
            raise RegistrationError(msg)
        if callable(event_data) and not takes(event_data, 2):
            msg = f"{decorator}: `data` is a callable of (event, result), got {event_data!r}"
            raise RegistrationError(msg)
        record = functools.partial(self._track_result, event_name, event_data)
        return functools.partial(wrapped, decorator=decorator, after=record, also_after_errors=when == "always")

    @overload
    def greeting(self, marked_as: F) -> F: ...

    @overload
    def greeting(
        self, marked_as: Mapping[str, Any], *, creative: str | None = None, tracker: str | None = None
    ) -> GreetingBody: ...

    @overload
    def greeting(self, *, creative: str | None = None, tracker: str | None = None) -> Callable[[F], F]: ...

    def greeting(self, marked_as: Any = None, *, creative: str | None = None, tracker: str | None = None) -> Any:
        """
        Mark a handler as one that greets: all it sends is one impression once shown, and its first answer a click:

        ```python
        @bot.on_referral
        @kochava.greeting(tracker="spring")
        async def greet(event, reply): ...
        ```

        Or mark a Send API body (or its ``message``), for a send outside of handlers:

        ```python
        await bot.page().send_raw(kochava.greeting({"recipient": …, "message": …}))
        ```

        The mark never leaves, and the body given is not changed.

        Args:
            marked_as: A handler, or a body.
            creative: The name of what it shows; sends of the handler may have another.
            tracker: One of `GreetingSettings.trackers`; sends of the handler may have another.

        Raises:
            RegistrationError: See `event`; or it is neither a function nor a body; or there is no such tracker, or
                `creative` is no text.
        """
        if creative is not None and not isinstance(creative, str):
            msg = f"`creative` is the name of what is shown, as a text, got {kind_of(creative)}"
            raise RegistrationError(msg)
        known = self._own_recorder().trackers
        if tracker is not None and not (isinstance(tracker, str) and tracker in known):
            names = ", ".join(repr(name) for name in sorted(known))
            msg = f"`tracker` is a name under `greeting.trackers` in the settings, one of {names}; got {tracker!r}"
            raise RegistrationError(msg)
        if isinstance(marked_as, Mapping):
            return marked(marked_as, creative, tracker)

        def decorate(function: Any) -> Any:
            name = getattr(function, "__qualname__", type(function).__qualname__)
            around = functools.partial(self._greeting, name, creative, tracker)
            return wrapped(function, "@kochava.greeting", around=around)

        is_called_first = marked_as is None and not (creative is None and tracker is None)
        return decorate if is_called_first else decorate(marked_as)

    def ignore(self, function: F | None = None) -> F:
        """
        Keep a handler's automatic event out of Kochava.

        Raises:
            RegistrationError: See `event`.
        """
        return wrapped(function, "@kochava.ignore", after=self._ignore, also_after_errors=True)

    def _track_result(self, name: str, data: Any, result: Any) -> None:
        self._own_recorder().track_result(name, data, result)

    def _ignore(self, _result: object) -> None:
        self._own_recorder().ignore()

    @contextmanager
    def _greeting(self, name: str, creative: str | None, tracker: str | None) -> Iterator[None]:
        with as_greeting(creative, tracker) as greeting:
            yield
        if greeting is None:
            self._own_recorder().report_greeting(name, "it was called while no event was handled")
        elif not greeting.is_sent:
            self._own_recorder().report_greeting(name, "nothing that it sent passed `kochava.send`")


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
        decorator: How the author wrote it, for messages.
        after: Given the result; not called when the function raised, unless *also_after_errors*, then with ``None``.

    Raises:
        RegistrationError: It is no function, or the bot would go on calling it unwrapped.
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
