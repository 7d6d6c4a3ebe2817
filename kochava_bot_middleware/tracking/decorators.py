"""Decorators of functions that are called while an event is handled: one wrapper, async or not."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from ..chain import is_async_callable
from ..exceptions import RegistrationError
from ..handling import REGISTERED
from ..kochava.event_builders import StandardEventData
from ..telemetry.counts import LeftOut
from .recorder import Recorder
from .settings import Mode, TrackingContext

F = TypeVar("F", bound=Callable[..., Any])

EventData = Mapping[str, Any] | Callable[[Any, Any], Any] | str | int | float | None
"""An event's data: an object, one value, or a callable of (event, result) that gives either."""


def name_and_data(name: str | StandardEventData, data: Any) -> tuple[str, Any]:
    """The arguments of a call, where a built standard event has its data with it."""
    if isinstance(name, StandardEventData):
        return name.name, name.data if data is None else data
    return name, data


def event_decorator(
    context: TrackingContext, recorder: Recorder, name: str | StandardEventData, data: EventData, *, when: str
) -> Callable[[F], F]:
    """
    The decorator that records a named event after each call.

    Raises:
        RegistrationError: An argument could never work.
    """
    if when not in ("success", "always"):
        msg = f"`when` is 'success' or 'always', got {when!r}"
        raise RegistrationError(msg)
    event_name, event_data = name_and_data(name, data)
    if not isinstance(event_name, str) or not event_name.strip():
        msg = f'@kochava.event wants the event\'s name: write `@kochava.event("Purchase")`, got {name!r}'
        raise RegistrationError(msg)
    if inspect.iscoroutinefunction(event_data):
        msg = f'@kochava.event("{event_name}"): `data` is a plain callable; an async one cannot be awaited here'
        raise RegistrationError(msg)

    def record(result: Any) -> None:
        _record(context, recorder, event_name, event_data, result)

    def decorate(function: F) -> F:
        decorator = f'@kochava.event("{event_name}")'
        return wrapped(function, decorator, after=record, also_after_errors=when == "always")

    return decorate


def _record(context: TrackingContext, recorder: Recorder, name: str, data: Any, result: Any) -> None:
    if context.settings.mode is Mode.OFF:
        return
    recording = recorder.current()
    person = None if recording is None else recording.person
    if recording is None or person is None:
        context.counts.left_out[LeftOut.NO_PERSON] += 1
        context.incidents.report("event_without_person", name, reason="called while no event of a person is handled")
        return
    try:
        value = data(recording.event, result) if callable(data) else data
        if isinstance(value, StandardEventData):
            value = value.data
        recording.track(person, name, value)
    except Exception as exc:
        if context.apps.of(person.page_id).events.strict:
            raise
        context.incidents.report("event_data_failed", name, reason=type(exc).__name__)
        recording.track(person, name)


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
