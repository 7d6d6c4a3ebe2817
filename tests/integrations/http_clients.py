"""The HTTP clients of the integrations, called in the same way: once as they are, and once with the middleware."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from typing import Any

import aiohttp
import attrs
import httpx
import requests

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.integrations.aiohttp_client import client_middleware
from kochava_bot_middleware.integrations.httpx import AsyncKochavaTransport, KochavaTransport
from kochava_bot_middleware.integrations.requests import instrument

Post = Callable[
    [KochavaMiddleware | None, list[str], str, dict[str, Any]], Awaitable[tuple[int, bytes, dict[str, str]]]
]
"""Sends one request, and gives status, content and headers of the answer; without a middleware when it is ``None``."""


@attrs.frozen
class Client:
    """A library, and how it sends."""

    name: str
    library: str
    post: Post

    def __str__(self) -> str:
        return self.name

    def report(self) -> None:
        """Print what is tested."""
        print(f"{self.name}: {self.library} {version(self.library)}")


async def _httpx_async(
    kochava: KochavaMiddleware | None, hosts: list[str], url: str, request: dict[str, Any]
) -> tuple[int, bytes, dict[str, str]]:
    transport = None if kochava is None else AsyncKochavaTransport(kochava, hosts=hosts)
    async with httpx.AsyncClient(transport=transport) as client:
        if "parts" in request:
            request = {"content": _later(request["parts"])}
        if "text" in request:
            request = {"content": request["text"], "headers": request["headers"]}
        answer = await client.post(url, **request)
        return answer.status_code, answer.content, dict(answer.headers)


async def _httpx_sync(
    kochava: KochavaMiddleware | None, hosts: list[str], url: str, request: dict[str, Any]
) -> tuple[int, bytes, dict[str, str]]:
    if "parts" in request:
        request = {"content": iter(request["parts"])}
    if "text" in request:
        request = {"content": request["text"], "headers": request["headers"]}

    def post() -> tuple[int, bytes, dict[str, str]]:
        transport = None if kochava is None else KochavaTransport(kochava, hosts=hosts)
        with httpx.Client(transport=transport) as client:
            answer = client.post(url, **request)
            return answer.status_code, answer.content, dict(answer.headers)

    return await asyncio.to_thread(post)


async def _requests(
    kochava: KochavaMiddleware | None, hosts: list[str], url: str, request: dict[str, Any]
) -> tuple[int, bytes, dict[str, str]]:
    if "parts" in request:
        request = {"data": iter(request["parts"])}
    if "text" in request:
        request = {"data": request["text"], "headers": request["headers"]}

    def post() -> tuple[int, bytes, dict[str, str]]:
        with requests.Session() as session:
            if kochava is not None:
                instrument(session, kochava, hosts=hosts)
            answer = session.post(url, timeout=20, **request)
            return answer.status_code, answer.content, dict(answer.headers)

    return await asyncio.to_thread(post)


async def _aiohttp(
    kochava: KochavaMiddleware | None, hosts: list[str], url: str, request: dict[str, Any]
) -> tuple[int, bytes, dict[str, str]]:
    middlewares = () if kochava is None else (client_middleware(kochava, hosts=hosts),)
    if "parts" in request:
        request = {"data": _later(request["parts"])}
    if "text" in request:
        request = {"data": request["text"], "headers": request["headers"]}
    if "files" in request:
        form = aiohttp.FormData(request["data"])
        for name, (filename, content, content_type) in request["files"].items():
            form.add_field(name, content, filename=filename, content_type=content_type)
        request = {"data": form}
    async with aiohttp.ClientSession(middlewares=middlewares) as session, session.post(url, **request) as answer:
        return answer.status, await answer.read(), dict(answer.headers)


async def _later(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


CLIENTS = (
    Client("httpx.AsyncClient", "httpx", _httpx_async),
    Client("httpx.Client", "httpx", _httpx_sync),
    Client("requests.Session", "requests", _requests),
    Client("aiohttp.ClientSession", "aiohttp", _aiohttp),
)
