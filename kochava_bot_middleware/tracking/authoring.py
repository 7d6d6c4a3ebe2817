"""What authors of bots call: decorators, and calls within handlers and elsewhere."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeVar, overload

import attrs

from ..exceptions import RegistrationError, TrackingError
from ..handling import detached
from ..incidents import Incidents
from ..kochava.event_builders import StandardEventData
from ..messenger.events import Channel
from ..messenger.outgoing import Outgoing
from ..telemetry.counts import LeftOut, Tally
from .apps import Apps, KochavaSettings, Mode
from .arguments import Named, optional_id
from .engagement import Draft
from .greeting import GreetingBody, marked
from .people import Person
from .recording import Recorder, Recording
from .rewriting import context_of, rewrite
from .sends import creative_of, greeting_run
from .wrapping import wrapped

F = TypeVar("F", bound=Callable[..., Any])

EventData = Mapping[str, Any] | Callable[[Any, Any], Any] | str | int | float | None
"""An event's data: an object, one value, or a callable of (event, result) that gives either."""


_MESSAGE = frozenset(("text", "attachment", "attachments", "quick_replies"))
"""Keys of a message, none of which a Send API body has."""


class Authoring:
    """The part of `KochavaMiddleware` that records. Never made itself."""

    settings: KochavaSettings
    _apps: Apps
    _recorder: Recorder
    _incidents: Incidents
    _tally: Tally

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
        event_name, event_data = _apart(name, data)
        if not isinstance(event_name, str) or not event_name.strip():
            msg = f'@kochava.event wants the event\'s name: write `@kochava.event("Purchase")`, got {name!r}'
            raise RegistrationError(msg)
        if inspect.iscoroutinefunction(event_data):
            msg = f'@kochava.event("{event_name}"): `data` is a plain callable; an async one cannot be awaited here'
            raise RegistrationError(msg)

        def record(result: Any) -> None:
            self._record_named(event_name, event_data, result)

        def decorate(function: F) -> F:
            decorator = f'@kochava.event("{event_name}")'
            return wrapped(function, decorator, after=record, also_after_errors=when == "always")

        return decorate

    @overload
    def greeting(self, marked_as: F) -> F: ...

    @overload
    def greeting(self, marked_as: Mapping[str, Any], *, creative: str | None = None) -> GreetingBody: ...

    def greeting(self, marked_as: Any = None, *, creative: str | None = None) -> Any:
        """
        Mark a handler as one that greets: all it sends is one impression once shown, and its first answer a click.

        Or mark a Send API body (or its ``message``), for a send outside of handlers::

            await bot.page().send_raw(kochava.greeting({"recipient": …, "message": …}))

        The mark never leaves, and the body given is not changed.

        Args:
            marked_as: A handler, or a body.
            creative: Of a body: the name of what it shows.

        Raises:
            RegistrationError: See `event`; or it is neither a function nor a body.
        """
        if isinstance(marked_as, Mapping):
            return marked(marked_as, creative)
        return wrapped(marked_as, "@kochava.greeting", around=greeting_run)

    def ignore(self, function: F | None = None) -> F:
        """
        Keep a handler's automatic event out of Kochava.

        Raises:
            RegistrationError: See `event`.
        """

        def leave_out(_result: Any) -> None:
            recording = self._recorder.current()
            if recording is not None:
                recording.ignored = True

        return wrapped(function, "@kochava.ignore", after=leave_out, also_after_errors=True)

    async def track(
        self,
        name: str | StandardEventData,
        data: Any = None,
        *,
        user_id: str | int | None = None,
        id: str | int | None = None,  # noqa: A002
        page_id: str | int | None = None,
        channel: Channel | str | None = None,
    ) -> None:
        """
        Record a named event.

        While an event is handled, it becomes part of that handling's commit. Elsewhere this call is itself the commit,
        and returns once the event is durable, at the latest after `KochavaSettings.commit_timeout_seconds`.

        Args:
            name: As Kochava shall show it, or a built standard event.
            data: An object or one value.
            user_id: Whom it is about; while an event is handled, that event's person by default.
            id: Your own id of what happened, such as an order number; the same one again is a no-op, as long as the
                first one waits and for two days after.
            page_id: The Page, outside of handling and only if Pages have apps of their own.
            channel: Where the person is, if not in the event being handled; Messenger by default.

        Raises:
            TrackingError: Nobody is named and no event is being handled; an argument is no id or channel; or, in strict
                mode, Kochava would refuse it.
        """
        event_name, event_data = _apart(name, data)
        if not isinstance(event_name, str) or not event_name.strip():
            msg = f"an event has a name, got {name!r}"
            raise TrackingError(msg)
        named = Named.checked(user_id, page_id, channel)
        track_id = optional_id("id", id)
        if self.settings.mode is Mode.OFF:
            return
        recording, person = self._whom(f"event {event_name!r}", named)
        recording.track(person, Draft(name=event_name, data=event_data), track_id=track_id)
        if recording.handling is None:
            await self._recorder.commit(recording)

    async def identify(
        self,
        identities: Mapping[str, str],
        *,
        user_id: str | int | None = None,
        page_id: str | int | None = None,
        channel: Channel | str | None = None,
    ) -> None:
        """
        Join a person to their ids elsewhere, such as ``{"customer_id": "C-17"}``. Each value is sent once.

        It is sent after the person's first record, since Kochava does not tie a link to somebody it never heard of.

        Args:
            identities: By name. Kochava wants no e-mail address, name or telephone number.
            user_id: As of `track`.
            page_id: As of `track`.
            channel: As of `track`.

        Raises:
            TrackingError: As of `track`.
        """
        named = Named.checked(user_id, page_id, channel)
        if self.settings.mode is Mode.OFF:
            return
        recording, person = self._whom("identities", named)
        recording.identify(person, identities)
        if recording.handling is None:
            await self._recorder.commit(recording)

    def rewrite(
        self,
        body: Any,
        *,
        user_id: str | int | None = None,
        page_id: str | int | None = None,
        creative: str | None = None,
    ) -> Any:
        """
        The body as it would leave, for senders that do not pass this middleware. Pure; never writes into *body*.

        Of a `LinkProvider`, only what is known already is used.

        Args:
            body: A Send API body, or its ``message`` alone.
            user_id: Whom it is for, if the body does not say.

        Raises:
            TrackingError: An argument is no id.
        """
        named = Named.checked(user_id, page_id, None)
        if isinstance(body, Mapping) and "message" not in body and not _MESSAGE.isdisjoint(body):
            return self._rewritten({"message": body}, named, creative)["message"]
        return self._rewritten(body, named, creative)

    def entry_link(
        self, target_url: str, *, ref: str | None = None, creative: str | None = None, page_id: str | int | None = None
    ) -> str:
        """The SmartLink for an ad, QR code or e-mail that leads into the bot; see `SmartLinks.entry_link`."""
        return self._apps.of(optional_id("page_id", page_id)).links.entry_link(target_url, ref=ref, creative=creative)

    def detached(self) -> AbstractContextManager[None]:
        """Start long-lived tasks within this, so that they do not belong to the event being handled."""
        return detached()

    def _rewritten(self, body: Any, named: Named, creative: str | None) -> Any:
        is_addressed = named.user_id is None or not isinstance(body, Mapping) or "recipient" in body
        whole = body if is_addressed else {**body, "recipient": {"id": named.user_id}}
        outgoing = Outgoing(body=whole, page_id=named.page_id, creative=creative)
        context = context_of(attrs.evolve(outgoing, creative=creative_of(outgoing)))
        rewritten = rewrite(whole, self._apps.of(named.page_id).links, context).body
        return rewritten if is_addressed else {key: rewritten[key] for key in body}

    def _whom(self, what: str, named: Named) -> tuple[Recording, Person]:
        current = self._recorder.current()
        own = None if current is None else current.person
        if current is not None and own is not None and named == Named():
            return current, own
        user_id = named.user_id or (None if own is None else own.user_id)
        if user_id is None:
            msg = f"{what}: no event of a person is being handled, so `user_id` must say whom it is about"
            raise TrackingError(msg)
        page_id = named.page_id or (None if own is None else own.page_id)
        channel = named.channel
        if channel is None:
            channel = own.channel if own is not None and own.user_id == user_id else Channel.MESSENGER
        person = Person(user_id=user_id, page_id=page_id, channel=channel)
        return current or self._recorder.alone(), person

    def _record_named(self, name: str, data: Any, result: Any) -> None:
        if self.settings.mode is Mode.OFF:
            return
        recording = self._recorder.current()
        handling = None if recording is None else recording.handling
        person = None if recording is None else recording.person
        if recording is None or handling is None or person is None:
            self._tally.left_out[LeftOut.NO_PERSON] += 1
            self._incidents.report("event_without_person", name, reason="called while no event of a person is handled")
            return
        strict = self._apps.of(person.page_id).events.strict
        try:
            value = data(handling.event, result) if callable(data) else data
            if isinstance(value, StandardEventData):
                value = value.data
            recording.track(person, Draft(name=name, data=value))
        except Exception as exc:
            if strict:
                raise
            self._incidents.report("event_data_failed", name, reason=type(exc).__name__)
            recording.track(person, Draft(name=name))


def _apart(name: str | StandardEventData, data: Any) -> tuple[str, Any]:
    if isinstance(name, StandardEventData):
        return name.name, name.data if data is None else data
    return name, data
