"""
Which failed calls of the Graph API are made again, and after how long.

A call is repeated only when nothing can have been delivered: a second message cannot be taken back.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import json
import logging
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import attrs
import orjson

from ...clock import Clock
from ...exceptions import RateLimitedError, SendError, TemporarySendError
from ..links.containers import members_of
from ..uploads import Upload
from .errors import GraphFault, error_from_answer, is_refusal, no_answer, not_sent
from .pace import UsagePace
from .sessions import SessionPerLoop

FAULT_WAITS: Final = (0.5, 2.0)
"""Seconds before the second and third try after a connection that failed or a passing fault."""

RATE_WAITS: Final = (1.0, 4.0)
"""Seconds before the second and third try after "too many calls"; longer if Facebook asks for longer."""

JITTER: Final = 0.5
"""A wait is longer by up to this share, so that those who failed together do not come again together."""

LONGEST_WAIT_SECONDS: Final = 30.0
"""A caller is not held longer than this: if Facebook asks for more, the error is raised at once."""

_REPEATABLE_CODES: Final = frozenset({1200})
_REPEATABLE_RATE_CODES: Final = frozenset({4, 17, 32, 613, 80001, 80006, None})
# Limits for one person or one kind of message, which last for hours.
_LASTING_SUBCODES: Final = frozenset({2018022, 2018354})


def seconds_until_retry(error: SendError, tries: int, rng: random.Random) -> float | None:
    """
    How long to wait before the call is made again; ``None`` when it must not be.

    Args:
        error: What the last try ended with.
        tries: How many there were.
        rng: For the jitter.
    """
    waits = RATE_WAITS if isinstance(error, RateLimitedError) else FAULT_WAITS
    if tries > len(waits) or not _undelivered(error):
        return None
    asked = error.retry_after_seconds or 0.0 if isinstance(error, RateLimitedError) else 0.0
    if asked > LONGEST_WAIT_SECONDS:
        return None
    wait = waits[tries - 1]
    return max(wait, asked) + rng.random() * JITTER * wait


def _undelivered(error: SendError) -> bool:
    if isinstance(error, RateLimitedError):
        return error.code in _REPEATABLE_RATE_CODES and error.subcode not in _LASTING_SUBCODES
    if not isinstance(error, TemporarySendError):
        return False
    if error.status is None:
        return True
    return error.code in _REPEATABLE_CODES or GraphFault.of(error.body).transient


logger = logging.getLogger(__name__)

MEDIA_TIMEOUT_SECONDS: Final = 90.0
"""Least time for a call with media: Facebook fetches or takes in a video for up to 75 s before it answers."""

_LONGEST_CONNECT_SECONDS: Final = 5.0


@attrs.frozen(kw_only=True, repr=False)
class PageCredentials:
    """
    What one call proves itself with. Never prints.

    Attributes:
        access_token: Page or Instagram access token.
        app_secret: Adds ``appsecret_proof``, which Facebook demands when "Require App Secret" is on; ``None`` leaves it
            out.
    """

    access_token: str
    app_secret: str | None = None

    @property
    def appsecret_proof(self) -> str | None:
        """HMAC-SHA256 of the token under the app secret, in hexadecimal."""
        if self.app_secret is None:
            return None
        return hmac.new(self.app_secret.encode(), self.access_token.encode(), hashlib.sha256).hexdigest()


@attrs.frozen(kw_only=True)
class GraphCall:
    """
    One call, as it goes onto the wire.

    Attributes:
        method: HTTP method.
        path: Path below the version, such as ``me/messages``.
        params: Query parameters.
        body: JSON object; ``None`` sends no body.
        upload: A file; makes the request a multipart form with the members of `body` as fields.
    """

    method: str
    path: str
    params: Mapping[str, str] = attrs.field(factory=dict)
    body: Any = attrs.field(default=None, repr=False)
    upload: Upload | None = None

    @property
    def delivers(self) -> bool:
        """Whether something may have happened when no answer comes."""
        return self.method != "GET"

    @property
    def repeatable(self) -> bool:
        """Whether the request can be made a second time."""
        return self.upload is None or self.upload.replayable

    @property
    def carries_media(self) -> bool:
        """Whether Facebook has to take in a file or fetch one before it answers."""
        message = self.body.get("message") if isinstance(self.body, Mapping) else None
        if isinstance(message, str):
            message = _decoded(message.encode())
        attachment = message.get("attachment") if isinstance(message, Mapping) else None
        payload = attachment.get("payload") if isinstance(attachment, Mapping) else None
        return self.upload is not None or (isinstance(payload, Mapping) and "url" in payload)


class Graph:
    """The Graph API at one address."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_seconds: float,
        clock: Clock,
        rng: random.Random,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self.base_url = base_url
        self.pace = UsagePace(clock)
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._rng = rng
        self._sessions = SessionPerLoop(session)

    async def call(self, call: GraphCall, credentials: PageCredentials) -> Any:
        """
        Make the call, again where nothing can have been delivered, and return the decoded answer.

        Raises:
            SendError: One of its subclasses, by what the caller can do.
            TypeError: The body holds something that is not JSON.
        """
        tries = 0
        while True:
            await self.pace.turn()
            tries += 1
            try:
                return await self._exchange(call, credentials)
            except SendError as error:
                wait = seconds_until_retry(error, tries, self._rng) if call.repeatable else None
                if wait is None:
                    raise
                logger.info("Graph API call is made again in %.1f s: %s", wait, error)
            await self._clock.sleep(wait)

    async def close(self) -> None:
        """Close the sessions that were opened here."""
        await self._sessions.close()

    async def _exchange(self, call: GraphCall, credentials: PageCredentials) -> Any:
        headers = {"Authorization": f"Bearer {credentials.access_token}"}
        proof = credentials.appsecret_proof
        params = dict(call.params) if proof is None else {**call.params, "appsecret_proof": proof}
        session = await self._sessions.current()
        async with _encoded(call) as (data, content_type):
            try:
                async with session.request(
                    call.method,
                    f"{self.base_url}/{call.path}",
                    params=params,
                    data=data,
                    headers={**headers, **content_type},
                    timeout=self._timeout_of(call),
                    allow_redirects=False,
                ) as response:
                    content = await response.read()
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as exc:
                raise not_sent(type(exc).__name__) from _presentable(exc)
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as exc:
                raise no_answer(type(exc).__name__, delivers=call.delivers) from _presentable(exc)
        retry_after_seconds = self.pace.observe(response.headers)
        # Facebook quotes a malformed token in its answer.
        answer = _decoded(content.replace(credentials.access_token.encode() or b"\0", b"[token]"))
        if answer is _NOT_JSON or is_refusal(response.status, answer):
            raise error_from_answer(
                response.status,
                None if answer is _NOT_JSON else answer,
                delivers=call.delivers,
                retry_after_seconds=retry_after_seconds,
            )
        return answer

    def _timeout_of(self, call: GraphCall) -> aiohttp.ClientTimeout:
        total = max(self._timeout_seconds, MEDIA_TIMEOUT_SECONDS) if call.carries_media else self._timeout_seconds
        # Shorter than the whole, so that a connection that never came about is told from an answer that never came.
        connect = min(_LONGEST_CONNECT_SECONDS, total / 2)
        return aiohttp.ClientTimeout(total=total, connect=connect)


@asynccontextmanager
async def _encoded(call: GraphCall) -> AsyncIterator[tuple[Any, dict[str, str]]]:
    if call.upload is None:
        yield (None, {}) if call.body is None else (to_json(call.body).encode(), {"Content-Type": "application/json"})
        return
    form = aiohttp.MultipartWriter("form-data")
    for name, value in call.body.items():
        field = form.append(value if isinstance(value, str) else to_json(value))
        field.set_content_disposition("form-data", name=name)
    async with call.upload.opened() as part:
        part.set_content_disposition("form-data", name="filedata", filename=call.upload.filename)
        form.append_payload(part)
        yield form, {}


def to_json(value: Any) -> str:
    """
    JSON text of a body. Mappings of any class and instances of attrs and data classes become objects, the latter
    without their fields that are ``None``; enums become their values.

    Raises:
        TypeError: Something in it has no JSON form.
        ValueError: It holds a number that JSON does not know, or itself.
    """
    return json.dumps(value, default=_plain, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, enum.Enum):
        return value.value
    members = members_of(value)
    if members is not None:
        return {name: member for name, member in members.items() if member is not None}
    msg = f"a body for the Graph API cannot hold a {type(value).__name__}"
    raise TypeError(msg)


_NOT_JSON: Final = object()


def _decoded(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return _NOT_JSON


def _presentable(exc: BaseException) -> BaseException | None:
    """The cause to show in a traceback; aiohttp's errors about an answer print the request with its headers."""
    return None if isinstance(exc, aiohttp.ClientResponseError) else exc
