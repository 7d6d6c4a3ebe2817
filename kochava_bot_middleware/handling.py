"""
One event being handled: its handler, and what is written together with "handled".

A ContextVar gives the current handling to everything a handler calls or starts, as the cause of what that does. A task
that outlives the handling finds none.

Where one call handles all events of a webhook, there are several; which one is the cause follows from the person.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Protocol

import attrs

from .exceptions import KochavaBotError, RegistrationError, SendError, SettingsError
from .messenger.events import ChangeEvent, Event, Kind
from .store.contract import Store
from .store.records import Committed, Entry, Unit

REGISTERED = "__messenger_handler__"
"""Attribute of a function that was registered: a decorator applied on top of it can have no effect any more."""


class Contributor(Protocol):
    """A middleware's part in the commit at the end of one handling."""

    async def contribute(self) -> Unit:
        """
        The entries to append and the state changes. Called when the handling ends, and again after each failed
        condition.
        """

    def committed(self, answer: Committed) -> None:
        """What `contribute` gave last is durable now."""


@attrs.define(kw_only=True, eq=False)
class Handling:
    """
    The state of one event while it is handled.

    Attributes:
        event: What is handled.
        store: Where the host will write the contributions.
        entry: The event as an inbox has stored it; ``None`` when nothing has.
        rerun: Whether handlers shall run. False when a process died on the event and it is too old for a reply by
            now: then it is only recorded.
        handler: Name of the handler that matched; ``None`` if none did.
        find_handler: Gives that name, where it is known only once the handler runs.
        handled: A handler ran to its end.
        error: What the handler raised.
        contributors: By owner, in the order in which they joined.
        is_let_go: Whether its task is cancelled by the host, rather than by the handler.
        kept: By owner, what that owner needs again while the event is handled.
        is_open: False once the handling has ended; what still runs then belongs to no event.
    """

    event: Event
    store: Store
    entry: Entry | None = None
    rerun: bool = True
    handler: str | None = None
    find_handler: Callable[[], str | None] | None = None
    handled: bool = False
    error: Exception | None = None
    is_let_go: Callable[[], bool] = attrs.field(factory=lambda: is_being_cancelled)
    contributors: dict[object, Contributor] = attrs.field(factory=dict)
    kept: dict[object, Any] = attrs.field(factory=dict)
    is_open: bool = True

    @property
    def contributions(self) -> Sequence[Contributor]:
        """The contributors, in order."""
        return tuple(self.contributors.values())

    def is_ended_by(self, error: BaseException) -> bool:
        """Whether *error* comes from a shutdown, rather than from the handler."""
        return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit) or self.is_let_go()

    async def go_on(self) -> None:
        """
        Undo a cancellation that came from the handler itself, so that code after it can await.

        Raises:
            asyncio.CancelledError: It came from the host.
        """
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            return
        try:
            # Before Python 3.13, a cancellation that is not delivered yet cannot be taken back.
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if self.is_let_go():
                raise
        while task.uncancel():
            pass

    def name_handler(self) -> None:
        """Set `handler`, if it is known by now."""
        if self.handler is None and self.find_handler is not None:
            self.handler = self.find_handler()

    def close(self) -> None:
        """End the handling."""
        self.is_open = False
        self.kept.clear()


_current: ContextVar[Sequence[Handling]] = ContextVar("kochava_bot_handling", default=())


def current_handling(*ids: str | None) -> Handling | None:
    """
    The event that the calling code handles, or ``None``: outside of handling, or after it ended.

    Where several events are handled by one call, it is that of the person; of several of theirs, the last thing that
    they did themselves. ``None`` when it is not known which person is meant.

    Args:
        ids: Whose: any of the person's id, ``user_ref`` and comment that are known.
    """
    handlings = current_handlings()
    if not handlings:
        return None
    handling = handlings[0] if len(handlings) == 1 else _one_of(handlings, ids)
    if handling is not None and handling.find_handler is not None:
        handling.name_handler()
    return handling


def current_handlings() -> Sequence[Handling]:
    """All events that the calling code handles."""
    handlings = _current.get()
    return handlings if not handlings or handlings[0].is_open else ()


def _one_of(handlings: Sequence[Handling], ids: Collection[str | None]) -> Handling | None:
    named = {name for name in ids if name is not None}
    found = [handling for handling in handlings if not named.isdisjoint(_ids_of(handling.event))]
    if not found:
        if len({handling.event.user_id for handling in handlings} - {None}) > 1:
            return None
        found = [handling for handling in handlings if handling.event.user_id is not None] or list(handlings)
    own = [each for each in found if not each.event.from_page and each.event.kind not in (Kind.DELIVERY, Kind.READ)]
    return (own or found)[-1]


def _ids_of(event: Event) -> set[str]:
    ids = {event.user_id, event.user_ref, event.comment_id if isinstance(event, ChangeEvent) else None}
    return {name for name in ids if name is not None}


class _Within:
    """
    Has *handlings* as the current ones. Not made by `contextlib.contextmanager`, since each event enters one.

    Args:
        closes: Whether they end with it.
    """

    __slots__ = ("_closes", "_handlings", "_token")

    def __init__(self, handlings: Sequence[Handling], *, closes: bool = False) -> None:
        self._handlings = handlings
        self._closes = closes

    def __enter__(self) -> None:
        self._token = _current.set(self._handlings)

    def __exit__(self, *_exc_info: object) -> None:
        if self._closes:
            for handling in self._handlings:
                handling.close()
        _current.reset(self._token)


def handling_of(*handlings: Handling) -> AbstractContextManager[None]:
    """Make *handlings* the current ones, and close them at the end."""
    return _Within(handlings, closes=True)


def narrowed_to(*handlings: Handling) -> AbstractContextManager[None]:
    """Make *handlings* the current ones, which somebody else closes."""
    return _Within(handlings)


def detached() -> AbstractContextManager[None]:
    """
    Run code, and start tasks, that do not belong to the event being handled.

    A scheduler that is created inside a handler and outlives it should be created within this.
    """
    return _Within(())


_SAFE_TEXTS = (KochavaBotError, RegistrationError, SettingsError)
"""Errors whose texts, where this package raises them, quote no message of a person. Texts of their subclasses may,
except for `SendError` and its subclasses, which never quote Facebook."""


def trail_of(error: BaseException) -> str:
    """
    Type and place of *error* for a log, without its text: that may quote what a person wrote.

    Included are the texts of those errors of this package that say how to fix the bot and never quote a person.
    """
    name = type(error).__name__
    has_safe_text = (type(error) in _SAFE_TEXTS or isinstance(error, SendError)) and _is_raised_here(error)
    head = f"{name}: {error}" if has_safe_text else name
    frames = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    return f"{head}\n{frames}" if frames else head


def _is_raised_here(error: BaseException) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__package__", "").partition(".")[0] == __name__.partition(".")[0]


def is_being_cancelled() -> bool:
    """Whether the running task itself is cancelled, rather than something it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def ends_task(error: BaseException) -> bool:
    """Whether *error* is a cancellation of the running task itself, rather than of something it waited for."""
    return isinstance(error, asyncio.CancelledError) and is_being_cancelled()
