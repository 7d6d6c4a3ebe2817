"""The webhook of a bot in an existing aiohttp application."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from kochava_bot_middleware import MessengerBot
from kochava_bot_middleware.integrations.aiohttp import bot_of, setup

QUERY = {"hub.mode": "subscribe", "hub.verify_token": "verify", "hub.challenge": "42"}


def make_bot() -> MessengerBot:
    return MessengerBot.from_dict({"page_access_token": "t", "app_secret": "s", "verify_token": "verify"})


async def test_the_webhook_is_served_beside_the_other_routes_of_the_application() -> None:
    """Both answer."""
    app = web.Application()
    setup(app, make_bot(), "/facebook")

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="a page")

    app.router.add_get("/", page)
    async with TestClient(TestServer(app)) as client:
        answers = [await client.get("/facebook", params=QUERY), await client.get("/")]
        assert ["42", "a page"] == [await answer.text() for answer in answers]


async def test_a_handler_of_the_application_finds_the_bot() -> None:
    """Also in a sub-application."""
    app, inner = web.Application(), web.Application()
    bot = make_bot()
    found: list[MessengerBot] = []

    async def page(request: web.Request) -> web.Response:
        found.append(bot_of(request))
        return web.Response()

    inner.router.add_get("/", page)
    app.add_subapp("/inner", inner)
    setup(app, bot)
    async with TestClient(TestServer(app)) as client:
        await client.get("/inner/")

    assert [bot] == found


async def test_an_application_without_a_bot_says_what_to_do() -> None:
    """The message says how to add it."""
    app = web.Application()
    seen: list[str] = []

    async def page(request: web.Request) -> web.Response:
        with pytest.raises(RuntimeError, match=r"call `setup\(app, bot\)` first") as caught:
            bot_of(request)
        seen.append(str(caught.value))
        return web.Response()

    app.router.add_get("/", page)
    async with TestClient(TestServer(app)) as client:
        await client.get("/")

    assert 1 == len(seen)
