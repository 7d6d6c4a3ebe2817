"""Requests through a proxy: of the environment or of the settings."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from kochava_bot_middleware import BotSettings, KochavaMiddleware, KochavaSettings, MessengerBot
from kochava_bot_middleware.exceptions import SettingsError, TemporarySendError
from kochava_bot_middleware.kochava.client import Answer, Failure, KochavaClient
from kochava_bot_middleware.kochava.wire import WireRequest
from kochava_bot_middleware.messenger.send_api import AsyncBot
from kochava_bot_middleware.proxies import Proxies
from kochava_bot_middleware.settings import from_mapping
from kochava_bot_middleware.telemetry.prometheus import Metrics
from tests.proxy_server import VARIABLES, ProxyServer

HTTP = URL("http://graph.example/v26.0/me/messages")
HTTPS = URL("https://graph.example/v26.0/me/messages")
EVENT = WireRequest(method="POST", url="http://kochava.example/track/json", headers={}, body=b"{}")
SECRET_URL = "http://user:hun%40ter2@proxy.example:3128"


CHILD = """
import asyncio
from kochava_bot_middleware.kochava.client import KochavaClient
from kochava_bot_middleware.kochava.wire import WireRequest

async def main():
    client = KochavaClient(timeout_seconds=10)
    url = "https://kochava.example/track/json?private"
    print(await client.send(WireRequest(method="POST", url=url, headers={}, body=b"{}")))
    await client.close()

asyncio.run(main())
"""
"""A process of its own, since aiohttp reads the certificates to be trusted when it is imported."""


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


async def _answer(_request: web.Request) -> web.Response:
    return web.json_response({"success": "1", "message_id": "m_1"})


@pytest.fixture
async def proxy() -> AsyncIterator[ProxyServer]:
    """A proxy beyond which one server answers everything."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _answer)
    async with TestServer(app) as server:
        names = dict.fromkeys(["graph.example", "kochava.example"], server.port or 0)
        async with ProxyServer(names).running() as proxy:
            yield proxy


async def deliver(request: WireRequest = EVENT, **arguments: Any) -> Answer | Failure:
    client = KochavaClient(timeout_seconds=5, **arguments)
    try:
        return await client.send(request)
    finally:
        await client.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_records_go_through_the_proxy_of_the_environment(
    proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Kochava has a name that only the proxy knows."""
    monkeypatch.setenv(variable, proxy.url)

    answer = await deliver()

    assert isinstance(answer, Answer)
    assert (200, ["POST http://kochava.example/track/json"]) == (answer.status, proxy.seen)


async def test_sends_and_uploads_go_through_the_proxy_of_the_environment(
    proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does every call of the Graph API."""
    monkeypatch.setenv("http_proxy", proxy.url)
    async with AsyncBot("token", graph_url="http://graph.example") as bot:
        assert "m_1" == (await bot.send_text_message("7", "hi"))["message_id"]
        await bot.send_image("7", b"pixels")
        await bot.get_user_profile("7")

    messages = "POST http://graph.example/v26.0/me/messages"
    assert [messages, messages] == proxy.seen[:2]
    assert proxy.seen[2].startswith("GET http://graph.example/v26.0/7?")


@pytest.mark.parametrize("observer", [None, Metrics()])
async def test_bot_has_a_proxy_for_facebook_and_one_for_kochava(proxy: ProxyServer, observer: Any) -> None:
    """The settings of each, also where requests are observed."""
    kochava = {"wire": {"base_url": "http://kochava.example"}, "delivery": {"proxy": proxy.url}}
    settings = {"kochava_app_id": "koapp", "store": "memory://", **kochava}
    middleware = KochavaMiddleware.from_dict(settings, observer=observer)
    facebook = {"graph_url": "http://graph.example", "proxy": proxy.url}
    bot = MessengerBot.from_dict({"page_access_token": "t", "app_secret": "s", "verify_token": "v", **facebook})
    bot.add_middleware(middleware)
    await bot.start()
    await bot.page().send_text_message("7", "hi")
    await middleware.track("Purchase", user_id="7")
    async with asyncio.timeout(20):
        while len(proxy.seen) < 2:
            await asyncio.sleep(0.01)
    await bot.stop()

    asked = [request.partition("?")[0] for request in proxy.seen]
    assert ["POST http://graph.example/v26.0/me/messages", "POST http://kochava.example/track/json"] == asked


async def test_session_that_is_given_has_its_own_proxy(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner decides."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with aiohttp.ClientSession(proxy=proxy.url) as session:
        await AsyncBot("token", graph_url="http://graph.example", session=session).send_text_message("7", "hi")
    assert ["POST http://graph.example/v26.0/me/messages"] == proxy.seen


async def test_proxy_gets_its_credentials(proxy: ProxyServer) -> None:
    """Those of its address, without percent-encoding; the other side does not get them."""
    proxy.credentials = "user:hun@ter2"
    address = f"http://user:hun%40ter2@127.0.0.1:{proxy.port}"

    assert isinstance(await deliver(proxy=address), Answer)
    refused = await deliver(proxy=f"http://127.0.0.1:{proxy.port}")
    assert Failure(reason="refused by the proxy", ambiguous=False) == refused


async def test_https_is_tunnelled(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Host and port are all that the proxy learns."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("kochava.example").configure_cert(context)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", _answer)
    secure = TestServer(app, scheme="https")
    await secure.start_server(ssl=context)
    proxy.ports = {"kochava.example": secure.port or 0}
    environ = {**os.environ, "HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, env=environ, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[1]
    )
    printed, _ = await child.communicate()
    await secure.close()

    assert b"status=200" in printed
    assert ["CONNECT kochava.example:443"] == proxy.seen


async def test_tunnel_that_the_proxy_refuses_sent_nothing(proxy: ProxyServer) -> None:
    """Neither Kochava nor Facebook got anything, so both may be tried again."""
    proxy.credentials = "user:right"
    wrong = f"http://user:wrong-secret@127.0.0.1:{proxy.port}"
    request = WireRequest(method="POST", url="https://kochava.example/track/json", headers={}, body=b"{}")

    assert Failure(reason="refused by the proxy", ambiguous=False) == await deliver(request, proxy=wrong)
    async with AsyncBot("token", graph_url="https://graph.example", proxy=wrong) as bot:
        with pytest.raises(TemporarySendError) as caught:
            await bot.send_text_message("7", "hi")
    assert "wrong-secret" not in repr(caught.value) + str(caught.value)


async def test_proxy_that_is_down_is_named_as_the_cause() -> None:
    """Not Kochava."""
    failure = await deliver(proxy="http://127.0.0.1:9")
    assert Failure(reason="no connection to the proxy", ambiguous=False) == failure


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000", "http://127.9.9.9", "http://localhost:1", "http://[::1]:1", "http://[::ffff:127.0.0.1]"],
)
@pytest.mark.parametrize("setting", ["environment", SECRET_URL])
def test_this_machine_is_reached_directly(monkeypatch: pytest.MonkeyPatch, url: str, setting: str) -> None:
    """The local servers of tests and of the demo are on it."""
    monkeypatch.setenv("HTTP_PROXY", SECRET_URL)
    assert Proxies(setting).address_for(URL(url)) is None


@pytest.mark.parametrize(
    ("excepted", "is_direct"),
    [
        ("graph.example", True),
        (".example", True),
        ("example", True),
        ("*.example", True),
        ("*", True),
        ("other.example, GRAPH.EXAMPLE", True),
        ("other.example GRAPH.EXAMPLE", True),
        ("other.example\t.example\n", True),
        ("graph.example.", True),
        (".example.:443", True),
        ("graph.example:443", True),
        ("graph.example:80", False),
        ("raph.example", False),
        ("graph.example.com", False),
        ("10.0.0.0/8", False),
        ("", False),
        (".", False),
        (" , ", False),
    ],
)
def test_no_proxy_names_hosts(monkeypatch: pytest.MonkeyPatch, excepted: str, is_direct: bool) -> None:
    """And all below them, at one port or any."""
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", excepted)
    assert is_direct is (Proxies().address_for(HTTPS) is None)


@pytest.mark.parametrize(
    ("excepted", "host", "is_direct"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("2001:db8::/32", "[2001:db8::1]", True),
        ("[2001:db8::1]:443", "[2001:db8::1]", True),
        ("10.0.0.0/8", "[2001:db8::1]", False),
        ("10.0.0.0/8", "[::ffff:10.1.2.3]", True),
        ("::ffff:0:0/96", "[::ffff:10.1.2.3]", True),
        ("10.0.0.0/8", "[::ffff:11.1.2.3]", False),
    ],
)
def test_no_proxy_names_addresses(monkeypatch: pytest.MonkeyPatch, excepted: str, host: str, is_direct: bool) -> None:
    """And networks."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", excepted)
    assert is_direct is (Proxies().address_for(URL(f"https://{host}/")) is None)


def test_each_scheme_has_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for all stands in where it is missing; a proxy may be named without its scheme."""
    monkeypatch.setenv("HTTPS_PROXY", "secure.example:3128")
    monkeypatch.setenv("ALL_PROXY", "http://all.example:3128")
    proxies = Proxies()
    assert URL("http://secure.example:3128") == proxies.address_for(HTTPS)
    assert URL("http://all.example:3128") == proxies.address_for(HTTP)


def test_the_final_dot_of_a_host_name_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same host."""
    monkeypatch.setenv("HTTPS_PROXY", SECRET_URL)
    monkeypatch.setenv("NO_PROXY", "example")
    for host in ("graph.example.", "localhost."):
        assert Proxies().address_for(URL(f"https://{host}/")) is None


def test_blanks_around_an_address_of_the_environment_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A variable of blanks alone is not set."""
    monkeypatch.setenv("http_proxy", " http://proxy.example:3128\n")
    monkeypatch.setenv("https_proxy", "  ")
    proxies = Proxies()
    assert URL("http://proxy.example:3128") == proxies.address_for(HTTP)
    assert proxies.address_for(HTTPS) is None
    assert [] == caplog.messages


def test_none_is_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says."""
    monkeypatch.setenv("HTTPS_PROXY", SECRET_URL)
    assert Proxies("none").address_for(HTTPS) is None


def test_address_of_the_settings_is_for_both_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says, its exceptions included."""
    monkeypatch.setenv("NO_PROXY", "*")
    proxies = Proxies("http://own.example:3128")
    for url in (HTTP, HTTPS):
        assert URL("http://own.example:3128") == proxies.address_for(url)


@pytest.mark.parametrize(
    "written", ["socks5://user:hunter2@proxy.example:1080", "http://user:hunter2@:3128", "http://x:hunter2@p:port"]
)
def test_proxy_that_cannot_be_used_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, written: str
) -> None:
    """By its variable, without its credentials."""
    monkeypatch.setenv("HTTPS_PROXY", written)
    with caplog.at_level(logging.WARNING):
        assert Proxies().address_for(HTTPS) is None
    assert "proxy_left_out: HTTPS_PROXY is not the address of an HTTP proxy" in caplog.text
    assert "hunter2" not in caplog.text


SETTINGS: list[tuple[Any, str, dict[str, Any]]] = [
    (KochavaSettings, "delivery.proxy", {"kochava_app_id": "kotest", "delivery": {"proxy": ...}}),
    (BotSettings, "proxy", {"page_access_token": "t", "app_secret": "s", "verify_token": "v", "proxy": ...}),
]


def filled(values: dict[str, Any], proxy: str) -> dict[str, Any]:
    return {
        name: filled(value, proxy) if isinstance(value, dict) else proxy if value is ... else value
        for name, value in values.items()
    }


@pytest.mark.parametrize(("cls", "key", "values"), SETTINGS)
@pytest.mark.parametrize("wrong", ["", "socks5://user:hunter2@proxy.example:1080", "direct connection"])
def test_setting_is_an_address_or_a_word(cls: Any, key: str, values: dict[str, Any], wrong: str) -> None:
    """The error does not show the value, which may hold a password."""
    with pytest.raises(SettingsError, match="'environment', 'none' or the address of an HTTP proxy") as caught:
        from_mapping(cls, filled(values, wrong))
    assert key in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("cls", "key", "values"), SETTINGS)
def test_password_of_a_proxy_is_not_shown(cls: Any, key: str, values: dict[str, Any]) -> None:
    """Where settings are printed."""
    settings = from_mapping(cls, filled(values, SECRET_URL))
    assert key
    assert "proxy='http://proxy.example:3128'" in repr(settings)
    assert "ter2" not in repr(settings)
