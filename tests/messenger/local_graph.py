"""A local Graph API that records requests and returns prepared answers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from typing import Any, Self

import attrs
from aiohttp import web
from aiohttp.test_utils import TestServer

from kochava_bot_middleware.messenger.send_api import AsyncBot

TOKEN = "EAAtest0token"
SECRET = "app-secret"


@attrs.define(kw_only=True)
class SeenRequest:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    peer: Any
    content: bytes
    fields: dict[str, Any]

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@attrs.define
class SentFile:
    """The file of a multipart request."""

    filename: str
    content_type: str
    content: bytes = attrs.field(repr=False)

    @classmethod
    def of(cls, value: Any) -> Any:
        if not isinstance(value, web.FileField):
            return value
        return cls(value.filename, value.content_type, value.file.read())


@attrs.define
class Answer:
    """A prepared answer; `hang_up` closes the connection instead."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    hang_up: bool = False


class NoJitter(random.Random):
    """Returns the smallest random number, for the shortest waits."""

    def random(self) -> float:
        return 0.0


@attrs.define
class LocalGraph:
    """The server. Prepared answers are used in order; after that every call succeeds."""

    server: TestServer
    seen: list[SeenRequest] = attrs.field(factory=list)
    answers: list[Answer] = attrs.field(factory=list)
    bots: list[AsyncBot] = attrs.field(factory=list)

    @classmethod
    async def start(cls) -> Self:
        app = web.Application(client_max_size=1 << 26)
        graph = cls(TestServer(app))
        app.router.add_route("*", "/{path:.*}", graph.handle)
        await graph.server.start_server()
        return graph

    async def stop(self) -> None:
        for bot in self.bots:
            await bot.close()
        await self.server.close()

    @property
    def url(self) -> str:
        return str(self.server.make_url("")).rstrip("/")

    def bot(self, **arguments: Any) -> AsyncBot:
        """A bot for this server, closed together with it."""
        bot = AsyncBot(TOKEN, graph_url=self.url, **{"rng": NoJitter(), **arguments})
        self.bots.append(bot)
        return bot

    def will_refuse(self, code: int, subcode: int | None = None, *, status: int = 400, **error: Any) -> None:
        """Prepare an error of the Graph API."""
        fault = {"message": "secret text", "type": "OAuthException", "code": code, "fbtrace_id": "Trace1", **error}
        if subcode is not None:
            fault["error_subcode"] = subcode
        self.answers.append(Answer({"error": fault}, status))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        fields: dict[str, Any] = {}
        content = b""
        if request.content_type == "multipart/form-data":
            form = await request.post()
            fields = {name: await asyncio.to_thread(SentFile.of, value) for name, value in form.items()}
        else:
            content = await request.read()
        self.seen.append(
            SeenRequest(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                headers=request.headers.copy(),
                peer=request.transport and request.transport.get_extra_info("peername"),
                content=content,
                fields=fields,
            )
        )
        answer = self.answers.pop(0) if self.answers else Answer({"recipient_id": "1", "message_id": "m_1"})
        if answer.hang_up:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(answer.body, bytes):
            return web.Response(body=answer.body, status=answer.status, headers=answer.headers)
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)


class StillClock:
    """A clock that advances only during `sleep`, at once."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.sleeps: list[float] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(round(seconds, 6))
        self.time += seconds


class Watcher:
    """A send middleware that records what it is given."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def send(self, outgoing: Any, call_next: Any) -> Any:
        self.seen.append(outgoing)
        return await call_next(outgoing)
