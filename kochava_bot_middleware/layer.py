"""A `KochavaMiddleware` in the chains of a bot."""

from __future__ import annotations

from typing import Any

from .chain import Next, awaitable, checked
from .messenger.events import Event
from .messenger.outgoing import Outgoing
from .runtime import Runtime


class TrackingLayer:
    """What a `KochavaMiddleware` does in the chains of a `MessengerBot` and an `AsyncBot`."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def receive(self, event: Event, call_next: Next[Any, Any]) -> Any:
        """Record *event* and what its handler adds. The handler's result and errors pass through untouched."""
        core = self._runtime.core
        if core.is_off:
            return await awaitable(call_next(event))
        self._runtime.bind_loop("receive")
        event = checked_event(event)
        if core.joins_host():
            return await awaitable(call_next(event))
        with core.handling(event, is_current=True) as (_, recording):
            try:
                return await awaitable(call_next(event))
            finally:
                if recording is not None:
                    await self._runtime.commit(recording)

    async def send(self, outgoing: Outgoing, call_next: Next[Any, Any]) -> Any:
        """
        Rewrite the links of *outgoing*, send it, and watch whether it is a greeting.

        With settings by Page, every send must be known to be of a Page. Without its id (`BotSettings.page_access_token`
        names none), replies have that of their event, and other sends that of the one Page whose webhooks this process
        has seen; before the first of them, the settings at the top apply. A process that only sends should name its
        Page under `BotSettings.pages`.
        """
        self._runtime.bind_loop("send")
        checked(outgoing, Outgoing, "`kochava.send(body, call)` takes a Send API body")
        return await self._runtime.core.send(outgoing, lambda sent: awaitable(call_next(sent)))


def checked_event(event: object) -> Event:
    """*event*; a `RegistrationError` says where to get one."""
    return checked(event, Event, "`kochava.parse(raw_body, headers)` returns the events of a webhook")
