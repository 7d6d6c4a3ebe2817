"""The same small bot on each web framework, on a server of its own: once as it is, and once with the middleware."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import attrs
import django
import fastapi
import flask
import uvicorn
from aiohttp import web
from django.conf import settings as django_settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kochava_bot_middleware import KochavaMiddleware, SyncKochava
from kochava_bot_middleware.integrations.aiohttp import setup
from kochava_bot_middleware.integrations.asgi import KochavaASGIMiddleware
from kochava_bot_middleware.integrations.wsgi import KochavaWSGIMiddleware

SAMPLE = {"id": "123", "name": "Shoes", "currency": "USD", "sum": 100}
"""The data of the purchase in Kochava's documentation."""

ANSWER = "EVENT_RECEIVED ✓"


def greeting_to(user_id: str) -> dict[str, Any]:
    shop = {"type": "web_url", "title": "Shop", "url": "https://shop.example/"}
    buy = {"type": "postback", "title": "Buy", "payload": "BUY"}
    payload = {"template_type": "button", "text": "Welcome!", "buttons": [shop, buy]}
    return {"recipient": {"id": user_id}, "message": {"attachment": {"type": "template", "payload": payload}}}


@attrs.define
class Bot:
    """What all hosts do: START is answered with a greeting, BUY is a purchase."""

    sent: list[Any] = attrs.field(factory=list)

    async def handle(self, raw_body: bytes, kochava: KochavaMiddleware | None) -> None:
        for user_id, payload in steps_of(raw_body):
            if payload == "START":
                body = greeting_to(user_id)
                await (self.call(body) if kochava is None else kochava.send(body, self.call, greeting=True))
            elif payload == "BUY" and kochava is not None:
                await kochava.track("Purchase", SAMPLE, user_id=user_id)

    def handle_sync(self, raw_body: bytes, kochava: SyncKochava | None) -> None:
        for user_id, payload in steps_of(raw_body):
            if payload == "START":
                body = greeting_to(user_id)
                _ = self.answer(body) if kochava is None else kochava.send(body, self.answer, greeting=True)
            elif payload == "BUY" and kochava is not None:
                kochava.track("Purchase", SAMPLE, user_id=user_id)

    async def call(self, body: Any) -> Any:
        return self.answer(body)

    def answer(self, body: Any) -> Any:
        """What Facebook does."""
        self.sent.append(body)
        return {"recipient_id": body["recipient"]["id"], "message_id": "m_greeting"}


def steps_of(raw_body: bytes) -> Iterable[tuple[str, str]]:
    """Person and payload of each postback."""
    for entry in json.loads(raw_body)["entry"]:
        for item in entry["messaging"]:
            if "postback" in item:
                yield item["sender"]["id"], item["postback"]["payload"]


Serve = Callable[[Bot, KochavaMiddleware | None], AbstractAsyncContextManager[int]]


@attrs.frozen
class Host:
    """
    A framework.

    Attributes:
        library: Its distribution.
        handler: What it says the endpoint is called.
        serve: Serves a bot; gives the port.
    """

    name: str
    library: str
    handler: str | None
    serve: Serve

    def __str__(self) -> str:
        return self.name

    def report(self) -> None:
        """Print what is tested."""
        print(f"{self.name}: {self.library} {version(self.library)}")


# Servers


@asynccontextmanager
async def asgi_server(app: Any) -> AsyncIterator[int]:
    config = uvicorn.Config(app, port=0, log_level="error", server_header=False, date_header=False, ws="none")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done(), "the server did not start"
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


class _Threading(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@asynccontextmanager
async def wsgi_server(app: Any) -> AsyncIterator[int]:
    server = make_server("127.0.0.1", 0, app, _Threading, _Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()


@asynccontextmanager
async def aiohttp_server(app: web.Application) -> AsyncIterator[int]:
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


# Hosts


def _fastapi(bot: Bot, kochava: KochavaMiddleware | None) -> AbstractAsyncContextManager[int]:
    app = fastapi.FastAPI()
    if kochava is not None:
        app.add_middleware(KochavaASGIMiddleware, kochava=kochava)
    router = fastapi.APIRouter()

    @router.post("/webhook")
    async def webhook(request: fastapi.Request) -> fastapi.Response:
        await bot.handle(await request.body(), kochava)
        return fastapi.Response(ANSWER)

    app.include_router(router)
    return asgi_server(app)


def _fastapi_in_thread(bot: Bot, kochava: KochavaMiddleware | None) -> AbstractAsyncContextManager[int]:
    app = fastapi.FastAPI()

    def webhook(body: Any = fastapi.Body()) -> str:  # noqa: B008 - that is how FastAPI says it
        bot.handle_sync(json.dumps(body).encode(), None if kochava is None else kochava.sync)
        return ANSWER

    app.add_api_route("/webhook", webhook, methods=["POST"])
    return asgi_server(app if kochava is None else KochavaASGIMiddleware(app, kochava=kochava))


def _starlette(bot: Bot, kochava: KochavaMiddleware | None) -> AbstractAsyncContextManager[int]:
    async def webhook(request: Request) -> Response:
        await bot.handle(await request.body(), kochava)
        return Response(ANSWER)

    app = Starlette(routes=[Route("/webhook", webhook, methods=["POST"])])
    return asgi_server(app if kochava is None else KochavaASGIMiddleware(app, kochava=kochava))


def _aiohttp(bot: Bot, kochava: KochavaMiddleware | None) -> AbstractAsyncContextManager[int]:
    async def webhook(request: web.Request) -> web.Response:
        await bot.handle(await request.read(), kochava)
        return web.Response(text=ANSWER)

    app = web.Application()
    app.router.add_post("/webhook", webhook)
    if kochava is not None:
        setup(app, kochava)
    return aiohttp_server(app)


@asynccontextmanager
async def _flask(bot: Bot, kochava: KochavaMiddleware | None) -> AsyncIterator[int]:
    sync = None if kochava is None else SyncKochava(kochava)
    app = flask.Flask(__name__)

    @app.post("/webhook")
    def webhook() -> str:
        bot.handle_sync(flask.request.get_data(), sync)
        return ANSWER

    if sync is not None:
        app.wsgi_app = KochavaWSGIMiddleware(app.wsgi_app, kochava=sync)  # type: ignore[method-assign]
    async with wsgi_server(app) as port:
        yield port
    if sync is not None:
        await asyncio.to_thread(sync.stop)


@attrs.define
class _DjangoSite:
    """What the views of Django find: it has one set of them in a process."""

    bot: Bot = attrs.field(factory=Bot)
    kochava: Any = None


_site = _DjangoSite()


def _django_view(request: HttpRequest) -> HttpResponse:
    _site.bot.handle_sync(request.body, _site.kochava)
    return HttpResponse(ANSWER)


async def _django_async_view(request: HttpRequest) -> HttpResponse:
    await _site.bot.handle(request.body, _site.kochava)
    return HttpResponse(ANSWER)


urlpatterns = [path("webhook", _django_view), path("asgi/webhook/", _django_async_view)]


def set_up_django() -> None:
    if not django_settings.configured:
        django_settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], MIDDLEWARE=[], USE_TZ=True)
        django.setup()


@asynccontextmanager
async def _django_wsgi(bot: Bot, kochava: KochavaMiddleware | None) -> AsyncIterator[int]:
    set_up_django()
    _site.bot, _site.kochava = bot, None if kochava is None else SyncKochava(kochava)
    app: Any = get_wsgi_application()
    if kochava is not None:
        app = KochavaWSGIMiddleware(app, kochava=_site.kochava)
    async with wsgi_server(app) as port:
        yield port
    if kochava is not None:
        await asyncio.to_thread(_site.kochava.stop)


@asynccontextmanager
async def _django_asgi(bot: Bot, kochava: KochavaMiddleware | None) -> AsyncIterator[int]:
    set_up_django()
    _site.bot, _site.kochava = bot, kochava
    app: Any = get_asgi_application()
    if kochava is not None:
        app = KochavaASGIMiddleware(app, kochava=kochava, path="/asgi/webhook", handler="messenger.views.webhook")
    async with asgi_server(app) as port:
        yield port


HOSTS = [
    Host("FastAPI", "fastapi", "webhook", _fastapi),
    Host("FastAPI in threads", "fastapi", "webhook", _fastapi_in_thread),
    Host("Starlette", "starlette", "webhook", _starlette),
    Host("aiohttp.web", "aiohttp", "webhook", _aiohttp),
    Host("Flask", "flask", "webhook", _flask),
    Host("Django WSGI", "django", None, _django_wsgi),
    Host("Django ASGI", "django", "messenger.views.webhook", _django_asgi),
]
