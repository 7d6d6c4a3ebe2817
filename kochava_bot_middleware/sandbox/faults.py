"""Misbehaviour on demand: what a local server shall do wrong with its next requests."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Mapping

import attrs
from aiohttp import web

from ..clock import Clock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Misdeed(enum.Enum):
    """How a request is spoiled."""

    ANSWER = "answer"
    """Not looked at; a prepared answer is given."""

    SLOW = "slow"
    """Handled as usual, after a wait."""

    HANG = "hang"
    """Not looked at, and never answered until `Faults.clear` or the end of the server."""

    RESET = "reset"
    """Handled and recorded, but the connection is reset in the middle of the answer."""


@attrs.frozen(kw_only=True)
class Fault:
    """
    One prepared misdeed.

    Attributes:
        misdeed: What happens.
        times: How many requests it spoils; ``None`` for all until `Faults.clear`.
        path: Only requests whose path starts so.
        status: Of an `ANSWER`.
        headers: Of an `ANSWER`.
        body: Of an `ANSWER`.
        seconds: Wait of `SLOW`.
    """

    misdeed: Misdeed
    times: int | None = 1
    path: str = "/"
    status: int = 500
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    seconds: float = 0.0


class Faults:
    """
    The faults still to come, oldest first.

    Attributes:
        started: How many requests were spoiled so far.
    """

    def __init__(self, clock: Clock) -> None:
        self.started = 0
        self._clock = clock
        self._waiting: list[Fault] = []
        self._released = asyncio.Event()

    def add(self, fault: Fault) -> None:
        """Let *fault* happen after those added before it."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """Behave well again; requests that hang are answered 503."""
        self._waiting.clear()
        self._released.set()
        self._released = asyncio.Event()

    async def around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Handle *request*, spoiled by the next fault that fits its path."""
        fault = self._next(request.path)
        if fault is None:
            return await handler(request)
        self.started += 1
        if fault.misdeed is Misdeed.ANSWER:
            await request.read()
            return web.Response(status=fault.status, headers=fault.headers, body=fault.body)
        if fault.misdeed is Misdeed.HANG:
            await self._released.wait()
            return web.Response(status=503)
        if fault.misdeed is Misdeed.SLOW:
            await self._clock.sleep(fault.seconds)
            return await handler(request)
        await handler(request)
        return await _reset(request)

    def _next(self, path: str) -> Fault | None:
        for index, fault in enumerate(self._waiting):
            if not path.startswith(fault.path):
                continue
            if fault.times is None:
                return fault
            if fault.times > 1:
                self._waiting[index] = attrs.evolve(fault, times=fault.times - 1)
            else:
                del self._waiting[index]
            return fault
        return None


async def _reset(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"suc')
    if request.transport is not None:
        request.transport.abort()
    return response
