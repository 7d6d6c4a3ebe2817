"""
Tracks the webhook of an ``aiohttp.web`` application.

Example:
    ```python
    app = web.Application()
    app.router.add_post("/webhook", webhook)
    setup(app, kochava)
    ```

A `MessengerBot` is added to an application with `MessengerBot.add_to`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import StreamReader, web

from ..chain import checked
from ..messenger.events import Event
from ..middleware import KochavaMiddleware
from .webhook_route import BODY_TIMEOUT_SECONDS, MAX_BODY_BYTES, RefusedWebhook, WebhookRoute, endpoint_name

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def setup(
    app: web.Application,
    kochava: KochavaMiddleware,
    *,
    path: str = "/webhook",
    max_body_bytes: int = MAX_BODY_BYTES,
    body_timeout_seconds: float = BODY_TIMEOUT_SECONDS,
) -> None:
    """
    Record the events of each webhook, and what its handler sends and tracks; other requests pass untouched.

    All is committed before the answer leaves. *kochava* starts and stops with *app*.

    Args:
        path: Of the webhook.
        max_body_bytes: A larger webhook is answered 413.
        body_timeout_seconds: A webhook that takes longer to arrive is answered 408.
    """
    checked(kochava, KochavaMiddleware, "`setup` takes what `KochavaMiddleware.from_dict(…)` gives")
    route = WebhookRoute(path=path, max_body_bytes=max_body_bytes, body_timeout_seconds=body_timeout_seconds)

    @web.middleware
    async def track(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not route.matches(request.method, request.path):
            return await handler(request)
        try:
            raw_body = await _body(request, route)
            events = route.events_of(kochava.parse, raw_body, request.headers)
        except RefusedWebhook as exc:
            response = web.Response(status=exc.status, text=exc.reason)
            # What was not read yet must not be taken for another request.
            response.force_close()
            return response
        _replay(request, raw_body)
        return await (_tracked(kochava, events, request, handler) if events else handler(request))

    async def started(_app: web.Application) -> AsyncIterator[None]:
        async with kochava:
            yield

    # The outermost: what another middleware refuses, its answer shows.
    app.middlewares.insert(0, track)
    app.cleanup_ctx.insert(0, started)


async def _tracked(
    kochava: KochavaMiddleware, events: list[Event], request: web.Request, handler: Handler
) -> web.StreamResponse:
    name = endpoint_name(request.match_info.handler)
    async with kochava.handling_together(events, handler=name) as call:
        try:
            response = await handler(request)
        except web.HTTPException as exc:
            call.answered(exc.status)
            raise
        call.answered(response.status)
        return response


async def _body(request: web.Request, route: WebhookRoute) -> bytes:
    """The whole body. Not `request.read`, whose limit is that of the application, and which its handler will meet."""
    route.check_length(request.content_length or 0)
    body = bytearray()
    try:
        async with asyncio.timeout(route.body_timeout_seconds):
            # Not `request.content`, which the request would remember.
            async for part in request._payload.iter_any():  # noqa: SLF001
                body += part
                route.check_length(len(body))
    except TimeoutError:
        raise route.refused(408, "the body did not arrive in time") from None
    except web.RequestPayloadError:
        raise route.refused(400, "the body cannot be read") from None
    return bytes(body)


def _replay(request: web.Request, raw_body: bytes) -> None:
    """Let the handler read the body as if nobody had. Of aiohttp itself, only `unread_data` could, which is leaving."""
    stream = StreamReader(request.protocol, len(raw_body) + 1, loop=asyncio.get_running_loop())
    stream.feed_data(raw_body)
    stream.feed_eof()
    request._payload = stream  # noqa: SLF001
