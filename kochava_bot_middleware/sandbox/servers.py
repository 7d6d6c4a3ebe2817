"""
What both local servers have in common: they start on a free port of this machine, can go down and come back on the
same port, and misbehave on demand.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Middleware

from ..clock import Clock
from .faults import Fault, Faults, Handler, Misdeed

LOOPBACK = "127.0.0.1"


class LocalServer:
    """
    An HTTP server on 127.0.0.1, used as ``async with``.

    A subclass gives its routes in `application`, which is called again at each `up`; all it remembers is on the
    instance and survives `down`.

    Args:
        clock: Tells the time of records and makes the waits of `slow`.
    """

    def __init__(self, *, clock: Clock) -> None:
        self.clock = clock
        self.faults = Faults(clock)
        self._runner: web.AppRunner | None = None
        self._placeholder: socket.socket | None = None
        self._port = 0

    def application(self) -> web.Application:
        """A fresh application with the routes of this server."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """
        Address without a slash at the end, such as ``http://127.0.0.1:40123``. Known from `start` on, also when down.
        """
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def is_up(self) -> bool:
        """Whether connections are accepted."""
        return self._runner is not None

    async def start(self) -> None:
        """Take a free port and listen."""
        await self.up()

    async def stop(self) -> None:
        """Stop listening and give the port back."""
        await self.down()
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None

    async def up(self) -> None:
        """Listen, on the same port as before. Does nothing while up."""
        if self._runner is not None:
            return
        application = self.application()
        application.middlewares.append(_spoiling(self.faults))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None
        listener = _bound(self._port)
        self._port = listener.getsockname()[1]
        await web.SockSite(runner, listener).start()
        self._runner = runner

    async def down(self) -> None:
        """
        Close the listening socket and every connection: whoever connects is refused. Does nothing while down.

        Requests that are being handled are still answered, so none is recorded whose sender cannot know it; those that
        hang are not. While down, the port stays bound, so nobody else can be given it.
        """
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        for site in runner.sites:
            await site.stop()
        self._placeholder = _bound(self._port)
        self.faults.clear()
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
        Give this answer to the next requests without looking at them.

        Args:
            status: HTTP status.
            headers: Such as ``Retry-After``.
            body: Bytes of the answer.
            times: How many requests; ``None`` for all until `behave`.
            path: Only requests whose path starts so.
        """
        self.faults.add(
            Fault(misdeed=Misdeed.ANSWER, status=status, headers=headers or {}, body=body, times=times, path=path)
        )

    def slow(self, seconds: float, *, times: int | None = 1, path: str = "/") -> None:
        """Handle the next requests only after *seconds* of the clock."""
        self.faults.add(Fault(misdeed=Misdeed.SLOW, seconds=seconds, times=times, path=path))

    def hang(self, *, times: int | None = 1, path: str = "/") -> None:
        """Neither handle nor answer the next requests until `behave`, `down` or `stop`."""
        self.faults.add(Fault(misdeed=Misdeed.HANG, times=times, path=path))

    def reset(self, *, times: int | None = 1, path: str = "/") -> None:
        """Handle and record the next requests, but reset the connection in the middle of the answer."""
        self.faults.add(Fault(misdeed=Misdeed.RESET, times=times, path=path))

    def behave(self) -> None:
        """Forget all faults that were still to come."""
        self.faults.clear()

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


def _spoiling(faults: Faults) -> Middleware:
    @web.middleware
    async def spoil(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await faults.around(request, handler)

    return spoil


def _bound(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, port))
    listener.setblocking(False)
    return listener
