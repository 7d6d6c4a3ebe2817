"""
Calls of the Graph API over HTTP, repeated after a failure.

A call is repeated only when nothing can have been delivered, since a message cannot be recalled.
"""

from __future__ import annotations

import asyncio
import enum
import json
import logging
import random
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
import attrs
import orjson
from yarl import URL

from ...clock import Clock
from ...exceptions import RateLimitedError, SendError, TemporarySendError
from ...proxies import ENVIRONMENT, NONE, Proxies
from ..links.copy_on_write import members_of
from ..uploads import Upload
from .errors import CONVERSATION_GAP, error_from_answer, is_refusal, is_transient, no_answer, not_sent
from .pace import UsagePace

FAULT_WAITS: Final = (0.5, 2.0)
"""Seconds before the second and third try after a failed connection or a temporary error."""

RATE_WAITS: Final = (1.0, 4.0)
"""Seconds before the second and third try after "too many calls"; longer if Facebook asks for longer."""

JITTER: Final = 0.5
"""Each wait is longer by a random share up to this one, so that failed calls are not repeated at the same time."""

MAX_WAIT_SECONDS: Final = 30.0
"""If Facebook asks for a longer wait, the error is raised at once."""

MEDIA_TIMEOUT_SECONDS: Final = 90.0
"""Minimum timeout of a call with media: Facebook may take 75 s to fetch or receive a video before it answers."""

_MAX_CONNECT_SECONDS: Final = 5.0

_REPEATABLE_CODES: Final = frozenset({1200})
# Limits for one person or one kind of message, which last for hours.
_LASTING_RATE_CODES: Final = frozenset({9, CONVERSATION_GAP})
_LASTING_SUBCODES: Final = frozenset({2018022, 2018354, CONVERSATION_GAP})

_NOT_JSON: Final = object()

logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class GraphCall:
    """One call; *path* is below the version. With an *upload* it is a multipart form with the members of `body`."""

    method: str
    path: str
    params: Mapping[str, str] = attrs.field(factory=dict)
    body: Any = attrs.field(default=None, repr=False)
    upload: Upload | None = None

    @property
    def delivers(self) -> bool:
        """Whether it may have had an effect when no answer arrives."""
        return self.method != "GET"

    @property
    def carries_media(self) -> bool:
        """Whether Facebook receives or fetches a file before it answers."""
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
        proxy: str = ENVIRONMENT,
    ) -> None:
        self.base_url = base_url
        self._pace = UsagePace(clock)
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._rng = rng
        self._sessions = SessionPerLoop(session)
        # A given session has the proxy of its owner.
        self._proxies = Proxies(proxy if session is None else NONE)

    async def call(self, call: GraphCall, *, access_token: str, proof: str | None = None) -> Any:
        """Make the call, repeat it where nothing can have been delivered, and return the decoded answer."""
        repeatable = call.upload is None or call.upload.start is not None
        tries = 0
        while True:
            await self._pace.wait()
            tries += 1
            try:
                return await self._exchange(call, access_token, proof)
            except SendError as error:
                wait = seconds_until_retry(error, tries, self._rng) if repeatable else None
                if wait is None:
                    raise
                logger.info("graph_call_repeated: in %.1f s, after %s", wait, error)
            await self._clock.sleep(wait)

    async def close(self) -> None:
        """Close the sessions that were opened here."""
        await self._sessions.close()

    async def _exchange(self, call: GraphCall, access_token: str, proof: str | None) -> Any:
        params = dict(call.params) if proof is None else {**call.params, "appsecret_proof": proof}
        session = await self._sessions.current()
        url = URL(f"{self.base_url}/{call.path}")
        async with _encoded(call) as (data, content_type):
            try:
                async with session.request(
                    call.method,
                    url,
                    params=params,
                    data=data,
                    headers={"Authorization": f"Bearer {access_token}", **content_type},
                    timeout=self._timeout_of(call),
                    allow_redirects=False,
                    proxy=self._proxies.address_for(url),
                ) as response:
                    content = await response.read()
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as exc:
                raise not_sent(type(exc).__name__) from _cause(exc)
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as exc:
                raise no_answer(type(exc).__name__, delivers=call.delivers) from _cause(exc)
        retry_after_seconds = self._pace.observe(response.headers)
        # Facebook repeats a malformed token in its answer.
        answer = _decoded(content.replace(access_token.encode() or b"\0", b"[token]"))
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
        # Shorter than the total, so that a failed connection is distinguished from a missing answer.
        connect = min(_MAX_CONNECT_SECONDS, total / 2)
        return aiohttp.ClientTimeout(total=total, connect=connect)


def seconds_until_retry(error: SendError, tries: int, rng: random.Random) -> float | None:
    """How long to wait after so many *tries* before the call is repeated; ``None`` when it must not be."""
    waits = RATE_WAITS if isinstance(error, RateLimitedError) else FAULT_WAITS
    if tries > len(waits) or not _not_delivered(error):
        return None
    asked = error.retry_after_seconds or 0.0
    if asked > MAX_WAIT_SECONDS:
        return None
    wait = waits[tries - 1]
    return max(wait, asked) + rng.random() * JITTER * wait


def _not_delivered(error: SendError) -> bool:
    if isinstance(error, RateLimitedError):
        return error.code not in _LASTING_RATE_CODES and error.subcode not in _LASTING_SUBCODES
    if not isinstance(error, TemporarySendError):
        return False
    turned_away = error.status == 408 or (
        error.status == 503 and error.code is None and error.retry_after_seconds is not None
    )
    return error.status is None or turned_away or error.code in _REPEATABLE_CODES or is_transient(error.body)


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
        form.append_payload(part)
        yield form, {}


def to_json(value: Any) -> str:
    """
    JSON text of a body. Mappings of any class and instances of attrs and data classes become objects, the latter
    without their fields that are ``None``; enums become their values.
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
    msg = f"a body for the Graph API cannot contain a {type(value).__name__}"
    raise TypeError(msg)


def _decoded(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return _NOT_JSON


def _cause(exc: BaseException) -> BaseException | None:
    """The cause to show in a traceback; aiohttp's errors about an answer contain the request with its headers."""
    return None if isinstance(exc, aiohttp.ClientResponseError) else exc


class SessionPerLoop:
    """
    One HTTP session for each event loop, opened when first used: a session belongs to the loop that created it.

    A *given* session is used in every loop instead; its owner closes it.
    """

    def __init__(self, given: aiohttp.ClientSession | None = None) -> None:
        self._given = given
        self._lock = threading.Lock()
        self._own: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}

    async def current(self) -> aiohttp.ClientSession:
        """The session of the running loop. After `close` a new one is opened."""
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        with self._lock:
            session = self._own.get(loop)
            ended = []
            if session is None or session.closed:
                ended = self._take_ended()
                session = self._own[loop] = aiohttp.ClientSession()
        for each in ended:
            await each.close()
        return session

    async def close(self) -> None:
        """Close every session opened here, each in its own loop."""
        here = asyncio.get_running_loop()
        with self._lock:
            ended = self._take_ended()
            # A loop that neither runs nor is closed keeps its session: it may run again.
            reachable = {loop: self._own.pop(loop) for loop in list(self._own) if loop.is_running()}
        for session in ended:
            await session.close()
        for loop, session in reachable.items():
            if loop is here:
                await session.close()
            else:
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(session.close(), loop))

    def _take_ended(self) -> list[aiohttp.ClientSession]:
        """Remove the sessions whose loop is closed, as after `asyncio.run`; these can be closed in any loop."""
        return [self._own.pop(loop) for loop in list(self._own) if loop.is_closed()]
