"""
Transports for httpx: what a client sends to people through them passes the middleware.

Example:
    ```python
    client = httpx.AsyncClient(transport=AsyncKochavaTransport(kochava))
    await client.post("https://graph.facebook.com/v26.0/me/messages", json=body)
    ```

Its links become SmartLinks, and a greeting is watched. Everything else passes byte for byte.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Self

from ..messenger.http_request import GRAPH_HOSTS, Change, GraphRequest, GraphRequests
from ..middleware import KochavaMiddleware
from ..sync import SyncKochava
from .senders import AsyncSender, BlockingSender

try:
    import httpx
except ModuleNotFoundError as exc:
    msg = "these transports need a library: pip install httpx"
    raise ModuleNotFoundError(msg, name="httpx") from exc


class AsyncKochavaTransport(httpx.AsyncBaseTransport):
    """
    A transport for `httpx.AsyncClient`.

    Args:
        inner: What sends; `httpx.AsyncHTTPTransport` by default. It is closed with this.
        hosts: The hosts of the Graph API.

    Raises:
        RegistrationError: *kochava* is no `KochavaMiddleware`, or *hosts* are no names of hosts.
    """

    def __init__(
        self,
        kochava: KochavaMiddleware,
        inner: httpx.AsyncBaseTransport | None = None,
        *,
        hosts: Collection[str] = GRAPH_HOSTS,
    ) -> None:
        self._sender = AsyncSender(kochava, hosts)
        self._inner = inner or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        read = _read(self._sender.requests, request)
        if read is None:
            return await self._inner.handle_async_request(request)

        async def call(change: Change | None) -> _Answer:
            return _Answer(await self._inner.handle_async_request(_changed(request, change)))

        return (await self._sender.send(read, call)).response()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def aclose(self) -> None:
        """Close what sends."""
        await self._inner.aclose()


class KochavaTransport(httpx.BaseTransport):
    """
    A transport for `httpx.Client`.

    Args:
        inner: What sends; `httpx.HTTPTransport` by default. It is closed with this.
        hosts: The hosts of the Graph API.

    Raises:
        RegistrationError: *kochava* is no middleware, or *hosts* are no names of hosts.
    """

    def __init__(
        self,
        kochava: KochavaMiddleware | SyncKochava,
        inner: httpx.BaseTransport | None = None,
        *,
        hosts: Collection[str] = GRAPH_HOSTS,
    ) -> None:
        self._sender = BlockingSender(kochava, hosts)
        self._inner = inner or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request."""
        read = _read(self._sender.requests, request)
        if read is None:
            return self._inner.handle_request(request)

        def call(change: Change | None) -> _Answer:
            answer = _Answer(self._inner.handle_request(_changed(request, change)))
            # In this thread: it is watched in another one, which must not wait for a connection.
            answer.read()
            return answer

        return self._sender.send(read, call).response()

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def close(self) -> None:
        """Close what sends."""
        self._inner.close()


class _Answer:
    """An answer that is read for the middleware, and can be read once more by the client."""

    def __init__(self, response: httpx.Response) -> None:
        self.status_code = response.status_code
        self._response = response
        self._content: bytes | None = None
        self._error: Exception | None = None

    def response(self) -> httpx.Response:
        """For the client. Raises what was raised when it was read."""
        if self._error is not None:
            raise self._error
        if self._content is None:
            return self._response
        return httpx.Response(
            self.status_code,
            headers=self._response.headers,
            stream=httpx.ByteStream(self._content),
            extensions=self._response.extensions,
        )

    def read(self) -> None:
        """Read it."""
        stream = self._response.stream
        assert isinstance(stream, httpx.SyncByteStream)
        try:
            self._content = b"".join(stream)
        finally:
            self._response.close()

    async def _aread(self) -> None:
        stream = self._response.stream
        assert isinstance(stream, httpx.AsyncByteStream)
        try:
            self._content = b"".join([chunk async for chunk in stream])
        except Exception as exc:  # noqa: BLE001 - raised for the client
            self._error = exc
        finally:
            await self._response.aclose()

    def json(self) -> Any:
        """The decoded answer, to be awaited unless it was read."""
        return self._decoded_later() if self._content is None else self._decoded()

    async def _decoded_later(self) -> Any:
        await self._aread()
        return self._decoded()

    def _decoded(self) -> Any:
        return httpx.Response(self.status_code, headers=self._response.headers, content=self._content).json()


def _read(requests: GraphRequests, request: httpx.Request) -> GraphRequest | None:
    url = request.url
    if not isinstance(request.stream, httpx.ByteStream) or "content-encoding" in request.headers:
        return None
    if not requests.may_read(request.method, url.host, url.port, url.path):
        return None
    content = b"".join(request.stream)
    return requests.read(url.host, url.path, request.headers.get("content-type"), content, url.query.decode("latin-1"))


def _changed(request: httpx.Request, change: Change | None) -> httpx.Request:
    if change is None:
        return request
    url, content = request.url, change.content
    if content is None:
        assert isinstance(request.stream, httpx.ByteStream)
        content = b"".join(request.stream)
        url = url.copy_with(query=(change.query or "").encode())
    headers = [
        (name, str(len(content)).encode() if name.lower() == b"content-length" else value)
        for name, value in request.headers.raw
    ]
    changed = httpx.Request(
        request.method, url, headers=headers, stream=httpx.ByteStream(content), extensions=request.extensions
    )
    # Transports beneath may look at `content`.
    changed.read()
    return changed
