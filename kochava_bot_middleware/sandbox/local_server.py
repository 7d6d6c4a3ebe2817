"""
What both local servers share: a port of this machine, going down and coming back on it, faults on demand, and those who
watch their requests.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

import attrs
from aiohttp import web

from ..clock import Clock

LOOPBACK = "127.0.0.1"

CONTENT: ContextVar[Any] = ContextVar("content", default=None)
"""What the handler of the current request read its body as, for `Exchange.content`."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@attrs.define(kw_only=True, eq=False)
class ServerFault:
    """A fault that the next *times* requests to *path* meet: *answer* answers in place of the handler, or calls it."""

    answer: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]
    times: int | None
    path: str


class PortTaken(OSError):
    """Another program listens on *port*; `free_port` is one that is free."""

    def __init__(self, port: int, free_port: int) -> None:
        super().__init__(f"port {port} of {LOOPBACK} is taken; {free_port} is free")
        self.port = port
        self.free_port = free_port


@attrs.frozen(kw_only=True)
class Exchange:
    """
    One request to a local server, and its answer; faults included.

    Attributes:
        at: When the request came, in seconds since the epoch.
        method: HTTP method.
        path: As sent, with the query.
        body: Of the request; empty for multipart bodies.
        content: What the server read the body as; ``None`` where it does not say.
        status: HTTP status; ``None`` when the connection was reset.
        answer: Body of the answer.
        seconds: Until the answer was ready.
    """

    at: float
    method: str
    path: str
    body: bytes = attrs.field(repr=False)
    content: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    status: int | None
    answer: bytes = attrs.field(repr=False)
    seconds: float


class LocalServer:
    """
    An HTTP server on 127.0.0.1, used as ``async with``.

    A subclass defines its routes in `application`, which is called again at each `up`; all it remembers is on the
    instance and survives `down`.

    Attributes:
        watchers: Each is called with every exchange, once its answer is ready.

    Args:
        clock: Gives the times of records and makes the waits of `slow`.
        port: 0 takes a free one.
    """

    def __init__(self, *, clock: Clock, port: int = 0) -> None:
        self.clock = clock
        self.watchers: list[Callable[[Exchange], None]] = []
        self._faults: list[ServerFault] = []
        self._released = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._placeholder: socket.socket | None = None
        self._port = port

    def application(self) -> web.Application:
        """A new application with the routes of this server."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Address without a slash at the end, such as ``http://127.0.0.1:40123``. Set by `start`, kept while down."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def is_up(self) -> bool:
        """Whether connections are accepted."""
        return self._runner is not None

    async def start(self) -> None:
        """As `up`, for the first time."""
        await self.up()

    async def stop(self) -> None:
        """Stop listening and release the port."""
        await self.down()
        self._free_port()

    async def up(self) -> None:
        """
        Listen, on the same port as before. Does nothing while up.

        Raises:
            PortTaken: Another program listens there.
        """
        if self._runner is not None:
            return
        application = self.application()
        application.middlewares[:0] = [self._watched, self._apply_faults]
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        self._free_port()
        listener = bind_loopback(self._port)
        await runner.setup()
        self._port = listener.getsockname()[1]
        await web.SockSite(runner, listener).start()
        self._runner = runner

    async def down(self) -> None:
        """
        Close the listening socket and every connection: connecting is refused. Does nothing while down.

        Requests that are being handled are still answered, so none is recorded whose sender cannot know it; those that
        hang are not. While down, the port stays bound, so that no other process gets it.
        """
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        for site in runner.sites:
            await site.stop()
        self._placeholder = bind_loopback(self._port)
        self.behave()
        await runner.cleanup()

    def answer_with(
        self,
        status: int,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        times: int | None = 1,
        path: str = "/",
    ) -> None:
        """
        Give this answer to the next requests without handling them.

        Args:
            status: HTTP status.
            headers: Such as ``Retry-After``.
            body: Bytes of the answer.
            times: How many requests; ``None`` for all until `behave`.
            path: Only requests whose path starts so.
        """

        async def answer(request: web.Request, _handler: Handler) -> web.StreamResponse:
            await request.read()
            return web.Response(status=status, headers=headers, body=body)

        self._faults.append(ServerFault(answer=answer, times=times, path=path))

    def slow(self, seconds: float, *, times: int | None = 1, path: str = "/") -> None:
        """Handle the next requests only after *seconds* of the clock."""

        async def wait(request: web.Request, handler: Handler) -> web.StreamResponse:
            await self.clock.sleep(seconds)
            return await handler(request)

        self._faults.append(ServerFault(answer=wait, times=times, path=path))

    def hang(self, *, times: int | None = 1, path: str = "/") -> None:
        """Neither handle nor answer the next requests until `behave`, `down` or `stop`."""

        async def hang(_request: web.Request, _handler: Handler) -> web.StreamResponse:
            await self._released.wait()
            return web.Response(status=503)

        self._faults.append(ServerFault(answer=hang, times=times, path=path))

    def reset(self, *, times: int | None = 1, path: str = "/") -> None:
        """Handle and record the next requests, but reset the connection in the middle of the answer."""

        async def cut(request: web.Request, handler: Handler) -> web.StreamResponse:
            await handler(request)
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"suc')
            if request.transport is not None:
                request.transport.abort()
            return response

        self._faults.append(ServerFault(answer=cut, times=times, path=path))

    def behave(self) -> None:
        """Clear all faults; requests that hang are answered 503."""
        self._faults.clear()
        self._released.set()
        self._released = asyncio.Event()

    @web.middleware
    async def _watched(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.watchers:
            return await handler(request)
        at, began = self.clock.now(), self.clock.monotonic()
        body = b"" if request.content_type.startswith("multipart/") else await request.read()
        failure: web.HTTPException | None = None
        # The requests of one connection share a context.
        CONTENT.set(None)
        try:
            response = await handler(request)
        except web.HTTPException as exc:
            # Such as 404, for a path that there is not.
            response = failure = exc
        answer = response.body if isinstance(response, web.Response) else None
        exchange = Exchange(
            at=at,
            method=request.method,
            path=request.raw_path,
            body=body,
            content=CONTENT.get(),
            status=response.status if isinstance(response, web.Response) else None,
            answer=answer if isinstance(answer, bytes) else b"",
            seconds=self.clock.monotonic() - began,
        )
        for watcher in self.watchers:
            watcher(exchange)
        if failure is not None:
            raise failure
        return response

    @web.middleware
    async def _apply_faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        for fault in self._faults:
            if request.path.startswith(fault.path):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._faults.remove(fault)
                return await fault.answer(request, handler)
        return await handler(request)

    def _free_port(self) -> None:
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


def bind_loopback(port: int) -> socket.socket:
    """A socket of 127.0.0.1 with this port, 0 for a free one, that does not listen yet."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as exc:
        listener.close()
        if exc.errno != errno.EADDRINUSE:
            raise
        with bind_loopback(0) as free:
            raise PortTaken(port, free.getsockname()[1]) from None
    listener.setblocking(False)
    return listener
