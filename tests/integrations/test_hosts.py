"""Each web framework, at its installed version, on a real server: the same bot without and with the middleware."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.testing import LocalKochava
from tests.integrations.web_hosts import HOSTS, SAMPLE, Bot, Host, greeting_to
from tests.integrations.webhooks import PAGE_ID, signature_of

PERSON = "5551"

NOW = int(time.time() * 1000) + 4 * 3_600_000
"""Read and tapped after everything that a test sends, however long after this the test begins."""


def webhook(*items: dict[str, Any]) -> bytes:
    common = {"sender": {"id": PERSON}, "recipient": {"id": PAGE_ID}}
    messaging = [{**common, "timestamp": NOW + number, **item} for number, item in enumerate(items)]
    return json.dumps({"object": "page", "entry": [{"id": PAGE_ID, "time": 1, "messaging": messaging}]}).encode()


START = webhook({"postback": {"mid": "m_start", "title": "Start", "payload": "START"}})
SHOWN = webhook({"delivery": {"mids": ["m_greeting"], "watermark": NOW}})
BUY = webhook(
    {"read": {"watermark": NOW}},
    {"timestamp": NOW + 60_000, "postback": {"mid": "m_buy", "title": "Buy", "payload": "BUY"}},
)


async def answer_to(host: Host, port: int, body: bytes, signature: str | None = None) -> bytes:
    """The answer as it comes, without the date."""
    target = b"/asgi/webhook/" if host.name == "Django ASGI" else b"/webhook"
    lines = [
        b"POST %b HTTP/1.1" % target,
        b"Host: bot.example",
        b"Connection: close",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"X-Hub-Signature-256: %b" % (signature or signature_of(body)).encode(),
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\r\n".join([*lines, b"", body]))
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    return re.sub(rb"\r\ndate: [^\r]*", b"", answer, flags=re.IGNORECASE)


@pytest.fixture
async def server() -> AsyncIterator[LocalKochava]:
    """Kochava."""
    async with LocalKochava(app_ids=["koapp"]) as local:
        yield local


@asynccontextmanager
async def serving(host: Host, server: LocalKochava | None) -> AsyncIterator[tuple[int, Bot]]:
    """The bot on *host*: with the middleware, if there is a Kochava."""
    host.report()
    bot, kochava = Bot(), None
    if server is not None:
        settings = {
            "kochava_app_id": "koapp",
            "app_secret": "s",
            "store": "memory://",
            "smartlinks": {"default": "https://acme.smart.link/ab12cd34e?url={url}"},
            **server.settings(),
        }
        kochava = KochavaMiddleware.from_dict(settings)
    async with host.serve(bot, kochava) as port:
        yield port, bot


@pytest.mark.parametrize("host", HOSTS, ids=str)
async def test_the_answers_are_equal_byte_for_byte(host: Host, server: LocalKochava) -> None:
    """Also to what is no webhook, which the endpoint cannot read."""
    bodies = [START, SHOWN, BUY, b"no JSON"]
    async with serving(host, None) as (port, _):
        plain = [await answer_to(host, port, body) for body in bodies]
    async with serving(host, server) as (port, _):
        assert plain == [await answer_to(host, port, body) for body in bodies]
    assert b" 200 OK" in plain[0]


@pytest.mark.parametrize("host", HOSTS, ids=str)
async def test_only_links_of_what_it_sends_are_changed(host: Host, server: LocalKochava) -> None:
    """The body is otherwise equal."""
    async with serving(host, server) as (port, bot):
        await answer_to(host, port, START)
    (sent,) = bot.sent
    button = sent["message"]["attachment"]["payload"]["buttons"][0]
    assert button["url"].startswith("https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example%2F&")
    button["url"] = "https://shop.example/"
    assert greeting_to(PERSON) == sent


@pytest.mark.parametrize("host", HOSTS, ids=str)
async def test_kochava_has_the_purchase_one_impression_and_one_click(host: Host, server: LocalKochava) -> None:
    """Though each webhook comes twice."""
    async with serving(host, server) as (port, _):
        for body in (START, START, SHOWN, SHOWN, BUY, BUY):
            await answer_to(host, port, body)
        await server.wait_until(lambda: bool(server.clicks) and len(server.events) >= 2, within_seconds=20)
    purchases = [record for record in server.events if record.name == "Purchase"]
    assert [SAMPLE] == [record.event_data for record in purchases]
    assert {"fb_user_id": PERSON}.items() <= purchases[0].device_ids.items()
    assert ([], 1, 1) == (server.rejections, len(server.impressions), len(server.clicks))


@pytest.mark.parametrize("host", HOSTS, ids=str)
async def test_the_endpoint_is_the_handler(host: Host, server: LocalKochava) -> None:
    """As its framework knows it."""
    async with serving(host, server) as (port, _):
        await answer_to(host, port, START)
        await server.wait_until(lambda: bool(server.events), within_seconds=20)
    (record,) = server.events
    assert (host.handler, True) == (record.event_data.get("handler"), record.event_data["handled"])


@pytest.mark.parametrize("host", HOSTS, ids=str)
async def test_a_wrong_signature_never_reaches_the_endpoint(host: Host, server: LocalKochava) -> None:
    """Which would have sent a greeting."""
    async with serving(host, server) as (port, bot):
        answer = await answer_to(host, port, START, signature_of(START, "guess"))
    assert b" 403 " in answer.partition(b"\r\n")[0]
    assert ([], []) == (bot.sent, server.records)
