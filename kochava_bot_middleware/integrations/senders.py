"""What the integrations of HTTP clients have in common: `AsyncSender` and `BlockingSender`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from ..chain import checked
from ..core import Core
from ..exceptions import RegistrationError
from ..messenger.http_request import Change, GraphRequest, GraphRequests
from ..messenger.outgoing import Outgoing
from ..middleware import KochavaMiddleware
from ..sync import SyncKochava

T = TypeVar("T")


class AsyncSender:
    """
    Sends the requests of an asynchronous client through a middleware.

    Raises:
        RegistrationError: *kochava* is no `KochavaMiddleware`, or *hosts* are no names of hosts.
    """

    def __init__(self, kochava: KochavaMiddleware, hosts: Collection[str]) -> None:
        self.requests = GraphRequests.of(hosts)
        self._kochava = checked(kochava, KochavaMiddleware, "SyncKochava is for clients that block")

    async def send(self, request: GraphRequest, call: Callable[[Change | None], Awaitable[T]]) -> T:
        """
        Await *call* with what differs in the request to send, ``None`` for nothing; its answer is watched and returned.

        Used in another event loop than its middleware, the client works as without it, and the log says so.
        """
        runtime = self._kochava.runtime
        try:
            runtime.bind_loop("send")
        except RegistrationError as exc:
            runtime.core.context.incidents.report("tracking_failed", "send", reason=str(exc))
            return await call(None)
        outgoing = _outgoing(runtime.core, request)
        answer: T = await runtime.core.send(outgoing, lambda sent: call(request.changed(sent.body)))
        return answer


class BlockingSender:
    """
    Sends with a client that blocks through a middleware, in any thread, be it that of an event loop.

    Raises:
        RegistrationError: *kochava* is no middleware, or *hosts* are no names of hosts.
    """

    def __init__(self, kochava: KochavaMiddleware | SyncKochava, hosts: Collection[str] = ()) -> None:
        self.requests = GraphRequests.of(hosts)
        self._async = kochava if isinstance(kochava, KochavaMiddleware) else None
        sync = kochava.sync if isinstance(kochava, KochavaMiddleware) else kochava
        self._sync = checked(sync, SyncKochava, "pass a SyncKochava or a KochavaMiddleware")

    def send(self, request: GraphRequest, call: Callable[[Change | None], T]) -> T:
        """As of `AsyncSender`."""
        outgoing = _outgoing(self._sync.runtime.core, request)
        return self._send(outgoing, lambda body: call(request.changed(body)))

    def send_body(self, body: Any, call: Callable[[Any], T]) -> T:
        """Call *call* with a body of the Send API; its answer is watched and returned."""
        outgoing = self._sync.runtime.core.sends.outgoing(body, page_id=None, channel=None)
        return self._send(outgoing, call)

    def _send(self, outgoing: Outgoing, call: Callable[[Any], T]) -> T:
        if self._async is not None and self._async.runtime.loop is None and _is_in_loop():
            # It will be started in this loop, not in the background.
            self._async.runtime.bind_loop("send")
        return self._sync.send_blocking(outgoing, call)


def _outgoing(core: Core, request: GraphRequest) -> Outgoing:
    return core.sends.outgoing(
        request.body, endpoint=request.endpoint, page_id=request.page_id, channel=request.channel
    )


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
