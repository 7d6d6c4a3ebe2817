"""
Tracks the webhook of an ASGI application: FastAPI, Starlette, Litestar, Quart, Django.

Example:
    ```python
    app = FastAPI()
    app.add_middleware(KochavaASGIMiddleware, kochava=kochava, path="/webhook")
    ```

or around any of them:

```python
app = KochavaASGIMiddleware(app, kochava=kochava)
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextvars import Context
from typing import Any, Unpack

from ..chain import checked
from ..exceptions import KochavaBotError, RegistrationError
from ..handling import Handling
from ..inbox.settings import InboxSettings
from ..messenger.events import Event
from ..messenger.parsing.webhook import SIGNATURE_HEADER
from ..middleware import KochavaMiddleware
from .store_first import ANSWER, EndpointAnswer, StoreFirst
from .webhook_route import RefusedWebhook, WebhookOptions, WebhookRoute, endpoint_name

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_STORED_TEXTS = ("method", "path", "root_path", "scheme", "http_version")
_STORED_BYTES = ("raw_path", "query_string")
_OF_THE_SERVER = ("asgi", "app", "state")
"""Members of a scope that are the same for each request, and cannot be stored."""


class KochavaASGIMiddleware:
    """
    Records the events of each webhook, and what its endpoint sends and tracks; other requests pass untouched.

    All is committed before the answer leaves. The lifespan starts and stops *kochava*; on a server without lifespan the
    first webhook starts it.

    Args:
        options: As of `WebhookRoute`.
    """

    def __init__(self, app: Application, *, kochava: KochavaMiddleware, **options: Unpack[WebhookOptions]) -> None:
        self._app = app
        right_call = "KochavaASGIMiddleware takes what `KochavaMiddleware.from_dict(…)` gives"
        self._kochava = checked(kochava, KochavaMiddleware, right_call)
        self._route = route = WebhookRoute(**options)
        self._stored: StoreFirst | None = None
        if route.store_first:
            settings = InboxSettings() if route.store_first is True else route.store_first
            self._stored = StoreFirst(kochava.runtime, route, settings, self._call)
            kochava.added_to(self)
        self._starting: asyncio.Task[None] | None = None
        self._server: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's lifespan."""
        if scope["type"] == "lifespan":
            self._server = scope
            await Lifespan(self._app, self._kochava, self._stored).run(scope, receive, send)
        elif scope["type"] == "http" and self._route.matches(
            scope["method"], scope["path"], scope.get("root_path") or ""
        ):
            await self._webhook(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _webhook(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers_of(scope["headers"])
        try:
            raw_body = await self._body(receive, headers.get("content-length", ""))
            if raw_body is None:
                return
            events = self._route.events_of(self._kochava.parse, raw_body, headers)
            is_ready = bool(events) and await self._is_ready(scope)
            if events and self._stored is not None:
                if not is_ready:
                    raise self._route.refused(503, "the store is used in another event loop")
                signature = headers[SIGNATURE_HEADER.lower()]
                await self._stored.accept(events, raw_body, signature, lambda changed: _stored_of(scope, changed))
                await _answer(send, 200, ANSWER)
                return
        except RefusedWebhook as exc:
            await _answer(send, exc.status, exc.reason.encode(), (b"connection", b"close"))
            return
        receive = _replay(raw_body, receive)
        if is_ready:
            await self._tracked(events, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _tracked(self, events: list[Event], scope: Scope, receive: Receive, send: Send) -> None:
        def name() -> str | None:
            return self._name_of(scope)

        runtime = self._kochava.runtime
        async with self._kochava.handling_together(events, handler=name) as call:

            async def send_committed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    call.answered(message["status"])
                    await runtime.commit(*call.to_commit())
                elif not message.get("more_body", False):
                    # What was tracked while the body was made. A task that runs after it is committed at its end.
                    await runtime.commit(*call.to_commit())
                await send(message)

            await self._app(scope, receive, send_committed)

    async def _call(self, request: Mapping[str, Any], handling: Handling, answer: EndpointAnswer) -> None:
        """Call the endpoint with a stored request; after the answer, it learns that the client went away."""
        scope = _scope_of(request, self._server)
        handling.find_handler = lambda: self._name_of(scope)
        answered = asyncio.Event()

        async def disconnect() -> Message:
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                answer.is_whole = True
                answered.set()

        await self._app(scope, _replay(request["body"].encode(), disconnect), send)

    def _name_of(self, scope: Scope) -> str | None:
        return self._route.handler or endpoint_name(scope.get("endpoint"))

    async def _body(self, receive: Receive, content_length: str) -> bytes | None:
        """The whole body; ``None`` when the client went away."""
        if content_length.isdecimal():
            self._route.check_length(int(content_length))
        body = bytearray()
        try:
            async with asyncio.timeout(self._route.body_timeout_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    self._route.check_length(len(body))
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise self._route.refused(408, "the body did not arrive in time") from None

    async def _is_ready(self, scope: Scope) -> bool:
        """Start it, if no lifespan has done so; whether it can be used in this event loop."""
        runtime = self._kochava.runtime
        try:
            runtime.bind_loop("KochavaASGIMiddleware")
        except RegistrationError as exc:
            self._route.untracked(str(exc))
            return False
        if not (runtime.is_started or runtime.is_stopped):
            is_first = self._starting is None
            if self._starting is None or self._starting.done():
                # In a context of its own: what it starts belongs to no request.
                self._starting = asyncio.create_task(self._start(), context=Context())
            if is_first or self._stored is not None:
                # Without a store, what is recorded waits in memory; the answer waits for the store only once.
                await asyncio.wait({self._starting}, timeout=self._kochava.settings.commit_timeout_seconds)
        if self._stored is not None:
            self._server = self._server or scope
            await self._stored.open()
        return True

    async def _start(self) -> None:
        try:
            await self._kochava.start()
        except KochavaBotError as exc:
            self._route.untracked(str(exc))


class Lifespan:
    """Starts the middleware before the application, and stops it after it, even if the application has no lifespan."""

    def __init__(self, app: Application, kochava: KochavaMiddleware, stored: StoreFirst | None) -> None:
        self._app = app
        self._kochava = kochava
        self._stored = stored
        self._has_answered = False

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the lifespan of a server."""
        startup = await receive()
        try:
            await self._kochava.start()
        except KochavaBotError as exc:
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        first = [startup]

        async def receive_again() -> Message:
            if first:
                return first.pop()
            message = await receive()
            # While the application still has what its endpoint needs.
            await self._kochava.runtime.close_inbox()
            return message

        async def send_after_stop(message: Message) -> None:
            self._has_answered = True
            if message["type"] != "lifespan.startup.complete":
                await self._kochava.stop()
            elif self._stored is not None:
                await self._stored.open()
            await send(message)

        try:
            await self._app(scope, receive_again, send_after_stop)
        except Exception:
            if self._has_answered:
                await self._kochava.stop()
                raise
        if not self._has_answered:
            # It knows no lifespan.
            await send_after_stop({"type": "lifespan.startup.complete"})
            await receive()
            await send_after_stop({"type": "lifespan.shutdown.complete"})


def _headers_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _replay(raw_body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives the body once more, and then what comes after it."""
    first: list[Message] = [{"type": "http.request", "body": raw_body, "more_body": False}]

    async def receive_again() -> Message:
        return first.pop() if first else await receive()

    return receive_again


def _stored_of(scope: Scope, changed: Mapping[str, str]) -> dict[str, Any]:
    """What is stored of a request, some of whose headers are changed."""
    stored: dict[str, Any] = {name: scope[name] for name in _STORED_TEXTS if name in scope}
    for name in _STORED_BYTES:
        if scope.get(name) is not None:
            stored[name] = scope[name].decode("latin-1")
    for name in ("client", "server"):
        stored[name] = scope.get(name)
    stored["headers"] = [
        (name.decode("latin-1"), changed.get(name.decode("latin-1").lower(), value.decode("latin-1")))
        for name, value in scope["headers"]
    ]
    return stored


def _scope_of(stored: Mapping[str, Any], server: Scope) -> Scope:
    """The scope of a stored request, in an application that is called with that of *server*."""
    scope: Scope = {name: server[name] for name in _OF_THE_SERVER if name in server}
    if "state" in scope:
        scope["state"] = scope["state"].copy()
    scope["type"] = "http"
    for name in _STORED_TEXTS:
        if name in stored:
            scope[name] = stored[name]
    for name in _STORED_BYTES:
        if name in stored:
            scope[name] = stored[name].encode("latin-1")
    for name in ("client", "server"):
        scope[name] = None if stored[name] is None else tuple(stored[name])
    scope["headers"] = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in stored["headers"]]
    return scope


async def _answer(send: Send, status: int, text: bytes, *more_headers: tuple[bytes, bytes]) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
        *more_headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
