"""
Waking other processes: a PUBLISH after something can be claimed, and a connection that subscribes.

Both are only for promptness. A notice may be lost, so a consumer also looks by itself now and then. There is one
channel a store, whatever its shards: in a cluster each server hands on to all others what is published.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ...clock import Clock, SystemClock
from ...incidents import Incidents
from ..notify import NotifyThrottle
from .address import RedisAddress
from .client import FAILURES, Client, ServerClient

logger = logging.getLogger(__package__)

FIRST_PAUSE_SECONDS = 0.1
"""How long to wait after a failed attempt to listen; twice as long each time."""

LONGEST_PAUSE_SECONDS = 10.0

REFUSED_SECONDS = 60.0
"""How long not to publish after the server did not permit it."""

LAST_NOTICE_SECONDS = 1.0
"""How long closing waits for the last notice."""

CANCEL_AGAIN_SECONDS = 0.1

QUIET_SECONDS = 30.0
"""See `RedisNotifier`."""

_LOST = (RedisConnectionError, RedisTimeoutError, OSError)


class RedisNotifier:
    """
    Notifies other processes that there is work, and calls the callbacks of this one when others do.

    What this process commits does not call its own callbacks.

    Args:
        client: What notices are published through, never two at a time.
        address: Of the server, for the connection that listens.
        name: Unlike that of any other store, so that its own notices are known.
        clock: For pauses. Not that of the store's times, which may be a test's.
        quiet_seconds: After so long without a notice the server is asked whether it still answers.
    """

    def __init__(
        self,
        client: Client,
        address: RedisAddress,
        *,
        name: str,
        clock: Clock | None = None,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._client = client
        self._address = address
        self._name = name.encode()
        self._clock = clock or SystemClock()
        self._quiet_seconds = quiet_seconds
        self._channel = channel_of(address)
        self._incidents = Incidents(self._clock, logger)
        self.throttle = NotifyThrottle(self._publish_soon, asyncio.get_running_loop().call_later)
        self._has_notice = False
        self._silent_until: float | None = None
        self._publishing: asyncio.Task[None] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._listening: asyncio.Task[None] | None = None
        self._is_subscribed = False
        self._was_tried = asyncio.Event()

    def on_append(self, callback: Callable[[], None]) -> None:
        """Call *callback* from now on."""
        self._callbacks.append(callback)
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen(), name="kochava-bot-listen")

    async def listening(self) -> bool:
        """Whether notices are received, once the first attempt to listen has ended."""
        if self._listening is None:
            return False
        await self._was_tried.wait()
        return self._is_subscribed

    async def close(self) -> None:
        """Publish what is to be published, and stop listening."""
        self.throttle.close()
        self._callbacks.clear()
        if self._publishing is not None:
            await asyncio.wait([self._publishing], timeout=LAST_NOTICE_SECONDS)
        tasks = {task for task in (self._listening, self._publishing) if task is not None}
        while tasks:
            for task in tasks:
                task.cancel()
            # While it connects redis-py swallows a cancellation, so one may not do.
            _, tasks = await asyncio.wait(tasks, timeout=CANCEL_AGAIN_SECONDS)

    def _publish_soon(self) -> None:
        if self._silent_until is not None and self._clock.monotonic() < self._silent_until:
            return
        self._has_notice = True
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.get_running_loop().create_task(self._publish(), name="kochava-bot-publish")

    async def _publish(self) -> None:
        while self._has_notice:
            self._has_notice = False
            (answer,) = await self._client.send([("PUBLISH", self._channel, self._name)])
            if isinstance(answer, _LOST):
                # A connection that the server closed meanwhile is replaced by a new one.
                (answer,) = await self._client.send([("PUBLISH", self._channel, self._name)])
            self._report(answer)

    def _report(self, answer: object) -> None:
        if isinstance(answer, NoPermissionError):
            self._silent_until = self._clock.monotonic() + REFUSED_SECONDS
            self._incidents.report("wake_ups_refused", self._channel, reason="PUBLISH is not permitted")
        elif not isinstance(answer, Exception):
            self._silent_until = None
            self._incidents.over("wake_ups_refused", self._channel)

    async def _listen(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._subscribe()
            except FAILURES as exc:
                # That the server is away is reported by each claim.
                if not isinstance(exc, _LOST):
                    self._incidents.report("wake_ups_unheard", self._channel, reason=type(exc).__name__)
            pause = FIRST_PAUSE_SECONDS if self._is_subscribed else min(2 * pause, LONGEST_PAUSE_SECONDS)
            self._is_subscribed = False
            self._was_tried.set()
            await self._clock.sleep(pause)

    async def _subscribe(self) -> None:
        """Listen until the connection is lost."""
        server = ServerClient(self._address)
        channel = server.redis.pubsub()
        try:
            await channel.subscribe(self._channel)
            awaits_answer = True
            while True:
                timeout = self._address.timeout_seconds if awaits_answer else self._quiet_seconds
                message = await channel.get_message(timeout=timeout)
                if message is not None:
                    awaits_answer = False
                    self._receive(message["type"], message["data"])
                elif awaits_answer:
                    return
                else:
                    awaits_answer = True
                    await channel.ping()
        finally:
            await channel.aclose()
            await server.close()

    def _receive(self, kind: str, data: object) -> None:
        if kind == "subscribe":
            self._is_subscribed = True
            self._was_tried.set()
            self._incidents.over("wake_ups_unheard", self._channel)
        # What came before the subscription is to be claimed too.
        if kind == "subscribe" or (kind == "message" and data != self._name):
            for callback in self._callbacks:
                callback()


def channel_of(address: RedisAddress) -> str:
    """The channel of the store's notices. Channels are common to all databases of a server."""
    return f"{address.prefix}:{address.database}:due"
