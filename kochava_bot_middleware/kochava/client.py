"""
The one door to Kochava: a request goes out, an answer or the way it failed comes back. Never raises for the network.
"""

from __future__ import annotations

import ssl
from typing import Protocol

import aiohttp
import attrs
from yarl import URL

from .wire import WireRequest

KEPT_BYTES = 512
"""How much of an answer's body is kept."""

_DRAINED_BYTES = 65_536


@attrs.frozen(kw_only=True)
class Answer:
    """
    What came back.

    Attributes:
        status: HTTP status.
        start: The first `KEPT_BYTES` bytes of the body.
        complete: Whether the body came to its end; a broken connection may have cut it.
        retry_after: The header ``Retry-After`` as it came; ``None`` when missing.
    """

    status: int
    start: bytes = attrs.field(default=b"", repr=False)
    complete: bool = True
    retry_after: str | None = None


@attrs.frozen(kw_only=True)
class Failure:
    """
    No answer came.

    Attributes:
        reason: One constant phrase.
        ambiguous: The request may have arrived: it left, but nothing is known of its fate.
    """

    reason: str
    ambiguous: bool


class RequestSender(Protocol):
    """What the worker needs of `KochavaClient`."""

    async def send(self, request: WireRequest) -> Answer | Failure:
        """Send it once and tell what came of it."""


class KochavaClient:
    """
    A `RequestSender` over one shared aiohttp session, made by the first request in the running loop.

    Redirects are not followed, since credentials would travel along; cookies are not kept.
    """

    def __init__(self, *, timeout_seconds: float = 10.0) -> None:
        self._timeout_seconds = timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: WireRequest) -> Answer | Failure:
        """See `RequestSender.send`."""
        session = self._session if self._session is not None else self._open()
        try:
            async with session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
            ) as response:
                start, complete = await _read_start(response)
                return Answer(
                    status=response.status,
                    start=start,
                    complete=complete,
                    retry_after=response.headers.get("Retry-After", "")[:100] or None,
                )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            return _failure(exc)

    async def close(self) -> None:
        """Let go of all connections. Idempotent; a later request opens a new session."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            # Half of the time for connecting, so that the error tells whether the request had left.
            timeout=aiohttp.ClientTimeout(total=self._timeout_seconds, connect=self._timeout_seconds / 2),
            # How many go at a time is for the worker to say; a wait for a free connection would pass for a failure.
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp repeats a GET by itself when its connection is cut, without a public switch for it; a ping would count
        # twice. Whether there is another attempt is for the worker to say.
        session._retry_connection = False  # noqa: SLF001
        self._session = session
        return session


async def _read_start(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The body's start, and whether its end was seen. A short rest is read and thrown away to keep the connection."""
    chunks: list[bytes] = []
    length = 0
    try:
        while length < _DRAINED_BYTES:
            chunk = await response.content.readany()
            if not chunk:
                return b"".join(chunks)[:KEPT_BYTES], True
            if length < KEPT_BYTES:
                chunks.append(chunk)
            length += len(chunk)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return b"".join(chunks)[:KEPT_BYTES], length >= KEPT_BYTES
    response.close()
    return b"".join(chunks)[:KEPT_BYTES], True


def _failure(exc: Exception) -> Failure:
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return Failure(reason="host name not found", ambiguous=False)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
            return Failure(reason="TLS failed", ambiguous=False)
        case aiohttp.ConnectionTimeoutError():
            return Failure(reason="connecting timed out", ambiguous=False)
        case aiohttp.ClientConnectorError():
            return Failure(reason="connection refused", ambiguous=False)
        case TimeoutError():
            return Failure(reason="no answer in time", ambiguous=True)
        case aiohttp.InvalidURL() | ValueError():
            return Failure(reason="unusable address", ambiguous=False)
        case _:
            return Failure(reason="connection broke", ambiguous=True)
