"""
The web programs of hosts.md do what the page says. Those with an integration run on their real frameworks; for those
that show the core, frameworks and clients are stood in for by a few lines.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import aiohttp
import pytest

from kochava_bot_middleware import KochavaMiddleware, SyncKochava
from kochava_bot_middleware.settings import from_toml
from kochava_bot_middleware.testing import LocalKochava, signed_webhook
from tests.docs_pages import DOCS, blocks_of
from tests.integrations.web_hosts import aiohttp_server, asgi_server, set_up_django, wsgi_server

SMARTLINKS = {"default": "https://acme.smart.link/ab12cd34e?url={url}"}


def program(*texts: str) -> str:
    """The snippet that has all of *texts*."""
    (block,) = (block for block in blocks_of(DOCS / "hosts.md") if all(text in block.text for text in texts))
    return block.text


class HttpClient:
    """What the clients of both programs have in common: it notes bodies, and answers as Facebook does."""

    sent: list[Any]

    def __init__(self, **_options: Any) -> None:
        type(self).sent = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def post(self, url: str, *, json: Any) -> Any:
        type(self).sent.append((url, json))
        return Answer()


class Answer:
    status_code = 200

    def json(self) -> Any:
        return {"recipient_id": "5551", "message_id": "m_1"}


class FakeFastAPI:
    """Routes, and a lifespan."""

    def __init__(self, *, lifespan: Callable[..., Any]) -> None:
        self.lifespan = lifespan
        self.routes: dict[str, Any] = {}
        self.state = ModuleType("state")

    def post(self, path: str) -> Callable[..., Any]:
        return lambda function: self.routes.setdefault(path, function)


class FakeResponse:
    def __init__(self, text: str = "", status_code: int = 200) -> None:
        self.text = text
        self.status_code = status_code


class FakeRequest:
    def __init__(self, app: Any, raw_body: bytes, headers: Mapping[str, str]) -> None:
        self.app = app
        self.headers = headers
        self._raw_body = raw_body

    async def body(self) -> bytes:
        return self._raw_body

    def get_data(self) -> bytes:
        return self._raw_body


class FakeFlask(FakeFastAPI):
    def __init__(self, _name: str) -> None:
        super().__init__(lifespan=lambda _app: None)


def module(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    made = ModuleType(name)
    vars(made).update(members)
    monkeypatch.setitem(sys.modules, name, made)


@pytest.fixture
async def kochava() -> AsyncIterator[LocalKochava]:
    """Kochava."""
    async with LocalKochava(app_ids=["koapp"]) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kochava: LocalKochava) -> Path:
    """The working directory, with the settings file that both programs read."""
    settings = {"app_secret": "s", "kochava_app_id": "koapp", "store": f"sqlite:///{tmp_path}/bot.db"}
    wire = kochava.settings()["wire"]
    lines = ["[bot]", 'page_access_token = "t"', 'graph_url = "https://graph.facebook.com"', "[kochava]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    lines += ["[kochava.smartlinks]", f"default = {json.dumps(SMARTLINKS['default'])}", "[kochava.wire]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in wire.items() if isinstance(value, str)]
    lines += ["[kochava.greeting]", f'impression_url = "{kochava.url}/track/impression?campaign_id=kogreet"']
    (tmp_path / "bot.toml").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_the_fastapi_program_records_and_rewrites(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kochava: LocalKochava
) -> None:
    """A webhook that comes twice, and one with a wrong signature."""
    module(monkeypatch, "httpx", AsyncClient=HttpClient)
    module(monkeypatch, "fastapi", FastAPI=FakeFastAPI, Request=FakeRequest, Response=FakeResponse)
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(program("from fastapi import", "import httpx"), "hosts.md", "exec"), names)
    app = names["app"]
    body, headers = signed_webhook("s", text="hi")
    async with app.lifespan(app):
        for _ in range(2):
            answer = await app.routes["/webhook"](FakeRequest(app, body, headers))
            assert ("EVENT_RECEIVED", 200) == (answer.text, answer.status_code)
        refused = await app.routes["/webhook"](FakeRequest(app, body + b" ", headers))
        assert 403 == refused.status_code
        assert 0 == await names["kochava"].flush(timeout_seconds=10)
    assert ["Message"] == [event.name for event in kochava.events]
    (url, sent), _ = HttpClient.sent
    assert "https://graph.facebook.com/v26.0/me/messages" == url
    assert sent["message"]["attachment"]["payload"]["buttons"][0]["url"].startswith("https://acme.smart.link/ab12cd34e")


async def test_the_flask_program_records(folder: Path, monkeypatch: pytest.MonkeyPatch, kochava: LocalKochava) -> None:
    """Its requests are handled by threads."""
    sent: list[Any] = []

    def post(url: str, **options: Any) -> Answer:
        sent.append((url, options["json"], threading.current_thread()))
        return Answer()

    module(monkeypatch, "requests", post=post)
    flask = ModuleType("flask")
    vars(flask).update(Flask=FakeFlask)
    monkeypatch.setitem(sys.modules, "flask", flask)
    body, headers = signed_webhook("s", text="hi")
    vars(flask)["request"] = FakeRequest(None, body, headers)
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(program("from flask import", "import requests"), "hosts.md", "exec"), names)
    answer = await asyncio.to_thread(names["app"].routes["/webhook"])
    assert "EVENT_RECEIVED" == answer
    vars(flask)["request"] = names["request"] = FakeRequest(None, body, {})
    assert ("", 403) == await asyncio.to_thread(names["app"].routes["/webhook"])
    assert 0 == await asyncio.to_thread(names["kochava"].flush)
    await asyncio.to_thread(names["kochava"].stop)
    assert ["Question"] == [event.name for event in kochava.events]
    assert [{"recipient": {"id": json.loads(body)["entry"][0]["messaging"][0]["sender"]["id"]},
             "message": {"text": "Hello!"}}] == [each for _, each, _ in sent]  # fmt: skip


async def posted(server: AbstractAsyncContextManager[int]) -> int:
    """The status of the answer to a signed webhook."""
    body, headers = signed_webhook("s", text="hi")
    async with (
        server as port,
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/webhook", data=body, headers=headers) as answer,
    ):
        return answer.status


@pytest.mark.parametrize(
    ("texts", "serve"),
    [
        (("from fastapi import", "KochavaASGIMiddleware"), asgi_server),
        (("from flask import", "KochavaWSGIMiddleware"), wsgi_server),
        (("from aiohttp import web", "setup(app, kochava)"), aiohttp_server),
    ],
    ids=["FastAPI", "Flask", "aiohttp.web"],
)
async def test_a_program_with_an_integration_records(
    folder: Path, kochava: LocalKochava, texts: tuple[str, ...], serve: Callable[..., Any]
) -> None:
    """The question replaces the automatic event, so both belong to one event."""
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(program(*texts), "hosts.md", "exec"), names)
    assert 200 == await posted(serve(names["app"]))
    await kochava.received(1, within_seconds=20)
    if isinstance(names["kochava"], SyncKochava):
        await asyncio.to_thread(names["kochava"].stop)
    assert ["Question"] == [event.name for event in kochava.events]


@pytest.mark.parametrize(("name", "serve"), [("wsgi", wsgi_server), ("asgi", asgi_server)])
async def test_a_django_project_records(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kochava: LocalKochava, name: str, serve: Callable[..., Any]
) -> None:
    """Its views need not know of it."""
    set_up_django()
    made: Any = (SyncKochava if name == "wsgi" else KochavaMiddleware).from_dict(from_toml("bot.toml")["kochava"])
    module(monkeypatch, "mysite")
    module(monkeypatch, "mysite.tracking", kochava=made)
    names: dict[str, Any] = {"__name__": f"mysite.{name}"}
    exec(compile(program(f"from django.core.{name}"), "hosts.md", "exec"), names)
    assert 200 == await posted(serve(names["application"]))
    await kochava.received(1, within_seconds=20)
    if isinstance(made, SyncKochava):
        await asyncio.to_thread(made.stop)
    assert ["messenger.views.webhook"] == [event.event_data["handler"] for event in kochava.events]
