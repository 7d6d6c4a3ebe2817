"""Who may use the page's server: its own page, and nobody who lets a browser do it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.sandbox.local_server import PortTaken
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from kochava_bot_middleware.sandbox.web.page_server import PageServer
from kochava_bot_middleware.sandbox.web.sandbox import Sandbox


@pytest.fixture
async def server() -> AsyncIterator[PageServer]:
    """The page of a sandbox without a bot."""
    messenger = LocalMessenger(app_secret="secret", verify_token="verify", page_tokens={"token": "1001"})
    kochava = LocalKochava(app_ids=["app"])
    async with messenger, kochava, PageServer(Sandbox(messenger=messenger, kochava=kochava)) as page:
        yield page


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost:1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
@pytest.mark.parametrize("path", ["", "api/stream", "assets/main.js"])
async def test_nothing_is_read_by_another_origin(
    server: PageServer, client: aiohttp.ClientSession, headers: dict[str, str], path: str
) -> None:
    """Also not under a name that somebody lets point to 127.0.0.1."""
    async with client.get(f"{server.url}{path}", headers=headers) as answer:
        assert 403 == answer.status
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Content-Type": "application/json"},
        {"Origin": "{own}", "Content-Type": "text/plain"},
        {"Origin": "{own}", "Content-Type": "application/json", "Host": "evil.example"},
        {"Origin": "{own}", "Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "application/json"},
    ],
)
async def test_no_command_is_taken_from_another_origin(
    server: PageServer, client: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    """A form of another page could only send other types of bodies."""
    own = server.url.rstrip("/")
    sent = {name: text.format(own=own) for name, text in headers.items()}
    async with client.post(f"{server.url}api/person", data=b"{}", headers=sent) as answer:
        assert 403 == answer.status
    assert {} == server.state.played


async def test_link_from_elsewhere_opens_the_page(server: PageServer, client: aiohttp.ClientSession) -> None:
    """In a tab of its own, from a chat or a terminal in the browser; never in a frame."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    async with client.get(server.url, headers=headers) as answer:
        assert 200 == answer.status
    async with client.get(server.url, headers={**headers, "Sec-Fetch-Dest": "iframe"}) as answer:
        assert 403 == answer.status


async def test_own_page_may_command(server: PageServer, client: aiohttp.ClientSession) -> None:
    """A person is added."""
    async with client.post(f"{server.url}api/person", json={}, headers={"Origin": server.url.rstrip("/")}) as answer:
        assert 200 == answer.status
        assert [(await answer.json())["user"]] == list(server.state.played)


@pytest.mark.parametrize(
    ("command", "body", "status", "reason"),
    [
        ("fly", "{}", 404, "no such command"),
        ("person", "[]", 400, "must be a JSON object"),
        ("person", "{", 400, "must be a JSON object"),
        ("say", '{"user": "1", "text": "x"}', 409, "nobody has the id"),
        ("say", '{"user": 1}', 409, "user: wanted a text"),
        ("kill", "{}", 409, "not run by the sandbox"),
        ("kochava", '{"to": "sideways"}', 409, "sideways"),
        ("redeliver", "{}", 409, "no webhook was delivered yet"),
    ],
)
async def test_command_that_cannot_be_done_says_why(
    server: PageServer, client: aiohttp.ClientSession, command: str, body: str, status: int, reason: str
) -> None:
    """As JSON."""
    headers = {"Origin": server.url.rstrip("/"), "Content-Type": "application/json"}
    async with client.post(f"{server.url}api/{command}", data=body, headers=headers) as answer:
        assert status == answer.status
        assert reason in (await answer.json())["error"]


async def test_taken_port_names_a_free_one(server: PageServer) -> None:
    """The free one is not the taken one."""
    port = int(server.url.split(":")[2].rstrip("/"))
    second = PageServer(Sandbox(messenger=LocalMessenger(app_secret="s", verify_token="v", page_tokens={"t": "1"}),
                                kochava=LocalKochava(app_ids=["app"])), port=port)  # fmt: skip
    with pytest.raises(PortTaken, match=f"port {port} of 127.0.0.1 is taken") as caught:
        await second.start()
    assert caught.value.free_port not in (0, port)
