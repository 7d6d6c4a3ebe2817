"""
The client of aiohttp: what a session sends to people passes the middleware.

Example:
    ```python
    async with aiohttp.ClientSession(middlewares=(client_middleware(kochava),)) as session:
        await session.post("https://graph.facebook.com/v26.0/me/messages", json=body)
    ```

Its links become SmartLinks, and a greeting is watched. Everything else passes byte for byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import aiohttp
from aiohttp import ClientRequest, ClientResponse
from aiohttp.base_protocol import BaseProtocol
from aiohttp.payload import BytesPayload
from yarl import URL

from ..messenger.http_request import GRAPH_HOSTS, Change, GraphRequest, GraphRequests
from ..middleware import KochavaMiddleware
from .senders import AsyncSender

try:
    from aiohttp import ClientHandlerType, ClientMiddlewareType
except ImportError as exc:
    msg = f"middlewares of a client need aiohttp 3.12 or newer, this is {aiohttp.__version__}: pip install -U aiohttp"
    raise ImportError(msg, name="aiohttp") from exc


def client_middleware(kochava: KochavaMiddleware, *, hosts: Collection[str] = GRAPH_HOSTS) -> ClientMiddlewareType:
    """
    For ``ClientSession(middlewares=(…,))``.

    Args:
        hosts: The hosts of the Graph API.

    Raises:
        RegistrationError: *kochava* is no `KochavaMiddleware`, or *hosts* are no names of hosts.
    """
    sender = AsyncSender(kochava, hosts)

    async def middleware(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        read = await _read(sender.requests, request)
        if read is None:
            return await handler(request)

        async def call(change: Change | None) -> _Answer:
            if change is None:
                return _Answer(await handler(request))
            url, body = request.url, request.body
            if change.content is not None:
                await _replace(request, change.content)
            if change.query is not None:
                request.url = _with_query(url, change.query)
            try:
                return _Answer(await handler(request))
            finally:
                # A middleware around this one may send it again.
                request.url = url
                if change.content is not None:
                    await _replace(request, await body.as_bytes() if body else b"")

        return (await sender.send(read, call)).response

    return middleware


class _Answer:
    """An answer that is read for the middleware, and can be read once more by the caller."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.status = response.status

    async def json(self) -> Any:
        """The decoded answer. An answer that breaks off does so for the caller, too."""
        content = await self.response.read()
        limit = max(len(content), 1)
        loop = asyncio.get_running_loop()
        stream = aiohttp.StreamReader(BaseProtocol(loop), limit, loop=loop)
        stream.feed_data(content)
        stream.feed_eof()
        self.response.content = stream
        return await self.response.json(content_type=None)


async def _read(requests: GraphRequests, request: ClientRequest) -> GraphRequest | None:
    url, body = request.url, request.body
    if not (isinstance(body, BytesPayload) or not body) or "Content-Encoding" in request.headers:
        return None
    if url.host is None or not requests.may_read(request.method, url.host, url.port, url.path):
        return None
    content = await body.as_bytes() if body else b""
    return requests.read(url.host, url.path, request.headers.get("Content-Type"), content, url.raw_query_string)


def _with_query(url: URL, query: str) -> URL:
    """The address with a query that is encoded already."""
    return URL(str(url).replace(f"?{url.raw_query_string}", f"?{query}", 1), encoded=True)


async def _replace(request: ClientRequest, content: bytes) -> None:
    """Give the request another body; its headers stay as they are, and where they are, but for the length."""
    headers = list(request.headers.items())
    await request.update_body(BytesPayload(content, content_type=request.headers.get("Content-Type")))
    request.headers.clear()
    for name, value in headers:
        request.headers.add(name, str(len(content)) if name.lower() == "content-length" else value)
