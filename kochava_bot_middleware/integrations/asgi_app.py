"""
The webhook of a bot as an ASGI application, served alone or as a route of FastAPI, Starlette, Quart or Litestar.

Example:
    ```python
    app = FastAPI(lifespan=lifespan)  # the lifespan awaits bot.start() and bot.stop()
    app.add_route("/webhook", WebhookApp(bot))
    ```

Add it as a route rather than a mount: a mount serves ``/webhook/`` and redirects ``/webhook``.

Served alone, it starts and stops the bot in the lifespan.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from ..bot import MessengerBot
from ..inbox.webhook import WebhookAnswer

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class WebhookApp:
    """An ASGI application that answers Facebook's GET and POST requests, at any path."""

    def __init__(self, bot: MessengerBot) -> None:
        self._bot = bot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the server's lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await _answer(send, await self._serve(scope, receive))
        else:
            msg = f"a webhook is served over http, not {scope['type']}"
            raise RuntimeError(msg)

    async def _serve(self, scope: Scope, receive: Receive) -> WebhookAnswer:
        if scope["method"] in ("GET", "HEAD"):
            return self._bot.verify(dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)))
        if scope["method"] != "POST":
            return WebhookAnswer(status=405, text="a webhook accepts GET and POST")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            return await self._bot.receive_parts(_parts(receive), headers)
        except _Disconnected:
            return WebhookAnswer(status=400, text="the body was cut off")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self._bot.start()
        except Exception as exc:  # noqa: BLE001 - the protocol sends it as a message
            await send({"type": "lifespan.startup.failed", "message": str(exc)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._bot.stop()
        await send({"type": "lifespan.shutdown.complete"})


class _Disconnected(Exception):
    """The client went away."""


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    """The body as it arrives."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


async def _answer(send: Send, answer: WebhookAnswer) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if answer.status in (408, 413):
        # The rest of the body is not read.
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.text.encode()})
