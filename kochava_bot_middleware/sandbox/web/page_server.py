"""
The server of the page, on this machine only.

``GET /`` and ``GET /assets/…`` are the page. ``GET /api/stream`` is a stream of server-sent events, each with one JSON
object of these members:

- ``reset``: true in the first one: the page forgets what it had, and ``samples`` has the chart so far;
- ``events``: what happened, oldest first: see `PageEvent`;
- ``skipped``: how many events came since the last object but are not kept any more;
- ``state``: see `PageState.read`; missing when it has not changed;
- ``sample``: one more point of the chart; missing when there is none.

``POST /api/…`` with a JSON object carries out a command of `PageCommands`; the answer is a JSON object, which has
``error`` when the command was refused.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from ..local_server import LOOPBACK, bind_loopback
from .commands import CommandRefused, PageCommands
from .observation import SandboxObservation
from .page_events import EventLog
from .page_state import PageState
from .same_origin import HEADERS, guard
from .sandbox import Sandbox

ASSETS = Path(__file__).parent / "assets"

BATCH_SECONDS = 0.1
"""The shortest time between two objects of a stream."""

STATE_SECONDS = 0.25
"""How often the state is read."""

SAMPLE_EVERY = 2
"""How many readings of the state make one sample of the chart."""

COMMAND_BYTES = 64 * 1024


class PageServer:
    """
    Serves the page of a sandbox; used as ``async with``.

    Attributes:
        log: What the page shows; more events may be added.
        commands: What the page can do.

    Args:
        sandbox: What is shown and driven; the servers must be running.
        port: 0 takes a free one.
    """

    def __init__(self, sandbox: Sandbox, *, port: int = 0) -> None:
        clock = sandbox.messenger.clock
        self.log = EventLog(clock)
        self.state = PageState(sandbox)
        self.commands = PageCommands(sandbox, self.state, self.log)
        self._clock = clock
        self._port = port
        self._observation = SandboxObservation(sandbox.messenger, sandbox.kochava, self.log)
        self._read: tuple[int, str] = (0, "null")
        self._sample: dict[str, Any] | None = None
        self._samples = 0
        self._ended = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Its address, such as ``http://127.0.0.1:40123/``."""
        return f"http://{LOOPBACK}:{self._port}/"

    async def start(self) -> None:
        """
        Watch the sandbox, and listen.

        Raises:
            PortTaken: Another program listens there.
        """
        listener = bind_loopback(self._port)
        self._port = listener.getsockname()[1]
        self._runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        self._observation.begin()
        self._reading = asyncio.create_task(self._read_states())

    async def stop(self) -> None:
        """End every stream, and stop listening."""
        self._ended.set()
        self.log.wake()
        await self.commands.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[guard(self._port)], client_max_size=COMMAND_BYTES)
        application.router.add_get("/", self._page)
        application.router.add_get("/api/stream", self._stream)
        application.router.add_post("/api/{command}", self._command)
        application.router.add_static("/assets", ASSETS)
        return application

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(ASSETS / "index.html")

    async def _command(self, request: web.Request) -> web.Response:
        command = self.commands.by_name.get(request.match_info["command"])
        if command is None:
            return web.json_response({"error": "there is no such command"}, status=404)
        try:
            arguments = await request.json()
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            return web.json_response({"error": "the body must be a JSON object"}, status=400)
        try:
            return web.json_response(await command(arguments))
        except CommandRefused as exc:
            return web.json_response({"error": str(exc)}, status=409)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        events, _ = self.log.after(0)
        seen, (version, state), sample = self.log.count, self._read, self._samples
        samples = list(self.state.samples)
        await response.write(_object(events, state=state, reset=True, samples=samples))
        while not self._ended.is_set():
            await self.log.wait()
            await self._clock.sleep(BATCH_SECONDS)
            events, skipped = self.log.after(seen)
            members: dict[str, Any] = {"skipped": skipped} if skipped else {}
            if sample != self._samples:
                members["sample"] = self._sample
            changed = self._read[1] if self._read[0] != version else None
            seen, version, sample = self.log.count, self._read[0], self._samples
            try:
                await response.write(_object(events, state=changed, **members))
            except ConnectionError:
                # The page was closed.
                break
        return response

    async def _read_states(self) -> None:
        number = 0
        while True:
            number += 1
            state = await self.state.read()
            text = json.dumps(state, separators=(",", ":"), default=str)
            if text != self._read[1]:
                self._read = (number, text)
                self.log.wake()
            if number % SAMPLE_EVERY == 0:
                self._sample = self.state.sample(state)
                self._samples += self._sample is not None
                self.log.wake()
            await self._clock.sleep(STATE_SECONDS)

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


def _object(events: list[str], *, state: str | None, **members: Any) -> bytes:
    """One object of the stream; events and state are JSON already."""
    parts = [f'"events":[{",".join(events)}]']
    if state is not None:
        parts.append(f'"state":{state}')
    parts += [f"{json.dumps(name)}:{json.dumps(value, default=str)}" for name, value in members.items()]
    return f"data: {{{','.join(parts)}}}\n\n".encode()
