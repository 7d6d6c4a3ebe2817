"""`KochavaClient`: sends one request to Kochava and returns its answer, or how it failed."""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol

import aiohttp
import attrs
from yarl import URL

from ..proxies import ENVIRONMENT, Proxies
from ..time_limit import LimitedWork, TimeLimit
from .wire import WireRequest

READ_BYTES = 65_536
"""Bytes of the body of an answer that are read."""

_WANTS_CREDENTIALS = 407
_PROXY_REFUSED = "refused by the proxy"


@attrs.define(kw_only=True)
class Answer:
    """
    The answer to a request.

    Attributes:
        status: HTTP status.
        start: The first `READ_BYTES` bytes of the body.
        complete: Whether all of these were received; the connection may have broken before.
        retry_after: The header ``Retry-After`` as received; ``None`` when missing.
    """

    status: int
    start: bytes = attrs.field(default=b"", repr=False)
    complete: bool = True
    retry_after: str | None = None


@attrs.frozen(kw_only=True)
class Failure:
    """
    A request without an answer.

    Attributes:
        reason: One constant phrase.
        ambiguous: The request may have been received: it was sent, but got no answer.
    """

    reason: str
    ambiguous: bool


class RequestSender(Protocol):
    """Sends requests, like `KochavaClient`."""

    async def send(self, request: WireRequest) -> Answer | Failure:
        """Send the request once."""


class KochavaClient:
    """
    A `RequestSender` with one aiohttp session, opened by the first request. Network errors are not raised.

    Redirects are not followed, since credentials would be sent along; cookies are not kept. *proxy* is a setting of
    `Proxies`.
    """

    def __init__(self, *, timeout_seconds: float = 10.0, proxy: str = ENVIRONMENT) -> None:
        self._timeout_seconds = timeout_seconds
        self._time_limit = TimeLimit(timeout_seconds)
        self._proxies = Proxies(proxy)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: WireRequest) -> Answer | Failure:
        session = self._session if self._session is not None else self._open()
        try:
            url = URL(request.url, encoded=True)
            with self._time_limit.work() as work:
                response = await session.request(
                    request.method,
                    url,
                    headers=request.headers,
                    data=request.body,
                    allow_redirects=False,
                    proxy=self._proxies.address_for(url),
                )
                content = response.content
                if content.is_eof():
                    # The usual answer, which came at once. Its connection is free again.
                    start, complete = content.read_nowait(READ_BYTES), True
                else:
                    async with response:
                        start, complete = await _read_start(response, work)
            if response.status == _WANTS_CREDENTIALS:
                return Failure(reason=_PROXY_REFUSED, ambiguous=False)
            return Answer(
                status=response.status,
                start=start,
                complete=complete,
                retry_after=response.headers.get("Retry-After", "")[:100] or None,
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            return _failure(exc)

    async def close(self) -> None:
        """Close all connections. Idempotent; a later request opens a new session."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            # Half of the time for connecting, so that the error shows whether the request was sent. `TimeLimit` ends
            # the whole: aiohttp's own timer costs a tenth of a request.
            timeout=aiohttp.ClientTimeout(total=None, connect=self._timeout_seconds / 2),
            # The worker limits concurrency; a wait for a free connection would count as a failure.
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp repeats a GET when its connection breaks, and has no public option for it. A ping would count twice:
        # the worker decides whether there is another attempt.
        session._retry_connection = False  # noqa: SLF001
        self._session = session
        return session


async def _read_start(response: aiohttp.ClientResponse, work: LimitedWork) -> tuple[bytes, bool]:
    """The start of the body, and whether it is complete. What is read to its end leaves its connection for others."""
    chunks: list[bytes] = []
    length = 0
    try:
        while length < READ_BYTES:
            chunk = await response.content.readany()
            if not chunk:
                return b"".join(chunks), True
            chunks.append(chunk)
            length += len(chunk)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return b"".join(chunks), False
    except asyncio.CancelledError:
        if not work.is_late:
            raise
        return b"".join(chunks), False
    response.close()
    return b"".join(chunks)[:READ_BYTES], True


def _failure(exc: Exception) -> Failure:
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return Failure(reason="host name not found", ambiguous=False)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError() | ssl.SSLError():
            return Failure(reason="TLS failed", ambiguous=False)
        case aiohttp.ConnectionTimeoutError():
            return Failure(reason="connecting timed out", ambiguous=False)
        case aiohttp.ClientProxyConnectionError():
            return Failure(reason="no connection to the proxy", ambiguous=False)
        case aiohttp.ClientHttpProxyError():
            return Failure(reason=_PROXY_REFUSED, ambiguous=False)
        case aiohttp.ClientConnectorError():
            return Failure(reason="connection refused", ambiguous=False)
        case TimeoutError():
            return Failure(reason="no answer in time", ambiguous=True)
        case aiohttp.InvalidURL() | ValueError():
            return Failure(reason="unusable address", ambiguous=False)
        case _:
            return Failure(reason="connection broke", ambiguous=True)
