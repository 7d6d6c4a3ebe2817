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
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextvars import Context
from typing import Any

from ..chain import checked
from ..exceptions import KochavaBotError, RegistrationError
from ..messenger.events import Event
from ..middleware import KochavaMiddleware
from .webhook_route import BODY_TIMEOUT_SECONDS, MAX_BODY_BYTES, RefusedWebhook, WebhookRoute, endpoint_name

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class KochavaASGIMiddleware:
    """
    Records the events of each webhook, and what its endpoint sends and tracks; other requests pass untouched.

    All is committed before the answer leaves. The lifespan starts and stops *kochava*; on a server without lifespan the
    first webhook starts it.

    Args:
        path: Of the webhook.
        handler: Name of the endpoint, for Kochava; by default what the framework says in ``scope["endpoint"]``.
        max_body_bytes: A larger webhook is answered 413.
        body_timeout_seconds: A webhook that takes longer to arrive is answered 408.
    """

    def __init__(
        self,
        app: Application,
        *,
        kochava: KochavaMiddleware,
        path: str = "/webhook",
        handler: str | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        body_timeout_seconds: float = BODY_TIMEOUT_SECONDS,
    ) -> None:
        self._app = app
        right_call = "KochavaASGIMiddleware takes what `KochavaMiddleware.from_dict(…)` gives"
        self._kochava = checked(kochava, KochavaMiddleware, right_call)
        self._handler = handler
        self._route = WebhookRoute(path, max_body_bytes)
        self._body_timeout_seconds = body_timeout_seconds
        self._starting: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's lifespan."""
        if scope["type"] == "lifespan":
            await Lifespan(self._app, self._kochava).run(scope, receive, send)
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
        except RefusedWebhook as exc:
            await _refuse(send, exc)
            return
        receive = _replay(raw_body, receive)
        if events and await self._is_ready():
            await self._tracked(events, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _tracked(self, events: list[Event], scope: Scope, receive: Receive, send: Send) -> None:
        def name() -> str | None:
            return self._handler or endpoint_name(scope.get("endpoint"))

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

    async def _body(self, receive: Receive, content_length: str) -> bytes | None:
        """The whole body; ``None`` when the client went away."""
        if content_length.isdecimal():
            self._route.check_length(int(content_length))
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout_seconds):
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

    async def _is_ready(self) -> bool:
        """Start it, if no lifespan has done so; whether it can be used in this event loop."""
        runtime = self._kochava.runtime
        try:
            runtime.bind_loop("KochavaASGIMiddleware")
        except RegistrationError as exc:
            self._route.untracked(str(exc))
            return False
        if not (runtime.is_started or runtime.is_stopped) and (self._starting is None or self._starting.done()):
            is_first, seconds = self._starting is None, self._kochava.settings.commit_timeout_seconds
            # In a context of its own: what it starts belongs to no request.
            self._starting = asyncio.create_task(self._start(), context=Context())
            if is_first:
                # Without a store, what is recorded waits in memory; the answer waits for the store only once.
                await asyncio.wait({self._starting}, timeout=seconds)
        return True

    async def _start(self) -> None:
        try:
            await self._kochava.start()
        except KochavaBotError as exc:
            self._route.untracked(str(exc))


class Lifespan:
    """Starts the middleware before the application, and stops it after it, even if the application has no lifespan."""

    def __init__(self, app: Application, kochava: KochavaMiddleware) -> None:
        self._app = app
        self._kochava = kochava
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
            return first.pop() if first else await receive()

        async def send_after_stop(message: Message) -> None:
            self._has_answered = True
            if message["type"] != "lifespan.startup.complete":
                await self._kochava.stop()
            await send(message)

        try:
            await self._app(scope, receive_again, send_after_stop)
        except Exception:
            if self._has_answered:
                await self._kochava.stop()
                raise
        if not self._has_answered:
            # It knows no lifespan.
            await send({"type": "lifespan.startup.complete"})
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


async def _refuse(send: Send, refused: RefusedWebhook) -> None:
    text = refused.reason.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
