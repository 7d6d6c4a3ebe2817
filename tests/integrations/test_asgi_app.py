"""The webhook as an ASGI application, called with ASGI messages."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

import pytest

from kochava_bot_middleware import KochavaMiddleware, MessengerBot
from kochava_bot_middleware.integrations.asgi_app import Message, WebhookApp

BODY = json.dumps(
    {
        "object": "page",
        "entry": [{"id": "1", "messaging": [{"sender": {"id": "7"}, "message": {"mid": "m1", "text": "hi"}}]}],
    }
).encode()


def make_bot(**more: Any) -> MessengerBot:
    return MessengerBot.from_dict(
        {"page_access_token": "t", "app_secret": "s", "verify_token": "verify", "max_body_bytes": 1024, **more}
    )


def scope(method: str = "POST", *, query: str = "", body: bytes = BODY) -> dict[str, Any]:
    digest = hmac.new(b"s", body, hashlib.sha256).hexdigest()
    headers = [(b"x-hub-signature-256", f"sha256={digest}".encode())]
    return {"type": "http", "method": method, "query_string": query.encode(), "headers": headers}


async def ask(bot: MessengerBot, request: dict[str, Any], *parts: bytes) -> tuple[int, str]:
    """Status and text of one request whose body comes in *parts*."""
    messages: list[Message] = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)} for number, part in enumerate(parts, 1)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await WebhookApp(bot)(request, receive, send)
    return sent[0]["status"], sent[1]["body"].decode()


async def test_verification_answers_the_challenge() -> None:
    """As Facebook requests it when the callback is configured."""
    query = "hub.mode=subscribe&hub.verify_token=verify&hub.challenge=42"

    assert (200, "42") == await ask(make_bot(), scope("GET", query=query))


async def test_a_signed_body_in_parts_reaches_the_handler() -> None:
    """The signature is that of the whole body, however the server splits it."""
    bot = make_bot()
    texts: asyncio.Queue[str] = asyncio.Queue()

    @bot.on_message()
    async def note(event: Any, reply: Any) -> None:
        texts.put_nowait(event.text)

    await bot.start()
    try:
        assert (200, "EVENT_RECEIVED") == await ask(bot, scope(), BODY[:10], BODY[10:])
        assert "hi" == await asyncio.wait_for(texts.get(), 5)
    finally:
        await bot.stop()


@pytest.mark.parametrize(
    ("request_scope", "parts", "status"),
    [
        (scope(body=b"other"), [BODY], 403),
        (scope(body=b"x" * 1025), [b"x" * 1025], 413),
        (scope(body=b"{}"), [b"{}"], 400),
        (scope(), [], 400),
        (scope("PUT"), [BODY], 405),
    ],
    ids=["wrong signature", "too large", "no webhook", "cut off", "wrong method"],
)
async def test_bad_input_is_refused(request_scope: dict[str, Any], parts: list[bytes], status: int) -> None:
    """With the same answers as from aiohttp."""
    assert status == (await ask(make_bot(), request_scope, *parts))[0]


async def test_a_half_sent_webhook_is_dropped_after_a_time_out() -> None:
    """And so is its connection."""
    parts: list[Message] = [{"type": "http.request", "body": BODY[:10], "more_body": True}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not parts:
            await asyncio.get_running_loop().create_future()
        return parts.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    await asyncio.wait_for(WebhookApp(make_bot(body_timeout_seconds=0.01))(scope(), receive, send), 20)
    assert 408 == sent[0]["status"]
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_served_alone_it_starts_and_stops_the_bot(tmp_path: Any) -> None:
    """In the server's lifespan."""
    bot = make_bot()
    bot.add_middleware(
        KochavaMiddleware.from_dict({"kochava_app_id": "ko1", "store": f"sqlite:///{tmp_path / 'b.db'}"})
    )
    steps: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> Message:
        return steps.pop(0)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    await WebhookApp(bot)({"type": "lifespan"}, receive, send)

    assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == sent
    assert (tmp_path / "b.db").exists()


async def test_a_bot_that_cannot_start_says_why() -> None:
    """The server prints the message and exits."""
    bot = make_bot()
    bot.add_middleware(
        KochavaMiddleware.from_dict({"kochava_app_id": "ko1", "store": "sqlite:////no/such/folder/b.db"})
    )
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    await WebhookApp(bot)({"type": "lifespan"}, receive, send)

    assert "lifespan.startup.failed" == sent[0]["type"]
    assert "/no/such/folder" in sent[0]["message"]
