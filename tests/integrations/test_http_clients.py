"""What HTTP clients send with the middleware equals what they send without it, but for links and lengths."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from kochava_bot_middleware import KochavaMiddleware
from tests.integrations.http_clients import CLIENTS, Client
from tests.integrations.wire import ANSWER, Wire, wire_server

URL = "https://shop.example/socks?size=42&colour=blü"
SMARTLINK = f"https://acme.smart.link/ab12cd34e?site_id=bot&url={quote(URL, safe='')}&sub_site_id=messenger"
SETTINGS = {
    "kochava_app_id": "koapp",
    "store": "memory://",
    "mode": "dry_run",
    "smartlinks": {"default": "https://acme.smart.link/ab12cd34e?site_id=bot&url={url}", "user_param": None},
}
JSON = {"Content-Type": "application/json"}


def body_with(url: str) -> dict[str, Any]:
    """A message with a button."""
    payload = {
        "template_type": "button",
        "text": "Grüß Gott 👋 1 < 2 & 3",
        "buttons": [{"type": "web_url", "url": url, "title": "Söcks"}],
    }
    return {
        "recipient": {"id": "5551"},
        "message": {"attachment": {"type": "template", "payload": payload}},
    }


def form_with(url: str) -> dict[str, str]:
    """The same as fields of a form."""
    body = body_with(url)
    return {"recipient": json.dumps(body["recipient"]), "access_token": "t", "message": json.dumps(body["message"])}


def batch_with(url: str) -> list[dict[str, str]]:
    """The same in a batch, whose bodies are forms."""
    form = "&".join(f"{name}={quote(value)}" for name, value in form_with(url).items())
    return [{"method": "POST", "relative_url": "me/messages", "body": form}]


def menu_with(url: str) -> dict[str, Any]:
    """Of the Page, so that it is for many people."""
    return {"persistent_menu": [{"locale": "default", "call_to_actions": [{"type": "web_url", "url": url}]}]}


def by_hand(url: str) -> bytes:
    """JSON as no library of Python writes it."""
    return json.dumps(body_with(url), indent=3, ensure_ascii=False).replace("/", "\\/").encode()


def with_text(url: str) -> dict[str, str]:
    """JSON within JSON, as pymessenger writes it."""
    body = body_with(url)
    return {"recipient": json.dumps(body["recipient"]), "message": json.dumps(body["message"], ensure_ascii=False)}


BODY = body_with(URL)
MESSAGES = "/v26.0/me/messages"

SPELLINGS: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "json": (MESSAGES, lambda url: {"json": body_with(url)}),
    "json with a token in the query": ("/1001/messages?access_token=t%20x", lambda url: {"json": body_with(url)}),
    "json written by hand": ("/me/messages/", lambda url: {"text": by_hand(url), "headers": {**JSON, "X-My": "1"}}),
    "json of no type": (MESSAGES, lambda url: {"text": json.dumps(body_with(url)).encode(), "headers": {}}),
    "json whose message is text": (MESSAGES, lambda url: {"json": with_text(url)}),
    "form": (MESSAGES, lambda url: {"data": form_with(url)}),
    "parameters of the address": (MESSAGES, lambda url: {"params": form_with(url)}),
    "menu": ("/v26.0/me/messenger_profile", lambda url: {"json": menu_with(url)}),
    "batch": ("/", lambda url: {"json": {"batch": batch_with(url)}}),
    "batch as a form": ("/v26.0", lambda url: {"data": {"batch": json.dumps(batch_with(url))}}),
}


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Facebook."""
    with wire_server() as server:
        yield server


@pytest.fixture
async def kochava() -> AsyncIterator[KochavaMiddleware]:
    """The middleware."""
    async with KochavaMiddleware.from_dict(SETTINGS) as middleware:
        yield middleware


@pytest.fixture(params=CLIENTS, ids=str)
def client(request: pytest.FixtureRequest) -> Client:
    """Each client."""
    client: Client = request.param
    client.report()
    return client


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_only_links_and_lengths_differ(
    client: Client, wire: Wire, kochava: KochavaMiddleware, spelling: str
) -> None:
    """What is sent equals what the client itself makes of the SmartLink."""
    path, request_with = SPELLINGS[spelling]
    expected = await client.post(None, wire.hosts, wire.url + path, request_with(SMARTLINK))
    without = wire.taken()

    assert expected == await client.post(kochava, wire.hosts, wire.url + path, request_with(URL))
    assert without == wire.taken()
    assert (200, ANSWER) == expected[:2]
    assert 1 == kochava.counts.links_rewritten


UNTOUCHED: dict[str, tuple[str, dict[str, Any]]] = {
    "another path": ("/v26.0/me/feed", {"json": BODY}),
    "no json": (MESSAGES, {"text": b'{"message": ' + URL.encode(), "headers": JSON}),
    "no text": (MESSAGES, {"text": b"\xff\xfe" * 100, "headers": JSON}),
    "a list": (MESSAGES, {"json": [BODY]}),
    "no link": (MESSAGES, {"text": b'{ "message": {"text" : "1 < 2"}}', "headers": JSON}),
    "a stream": (MESSAGES, {"parts": [json.dumps(BODY).encode()[:20], json.dumps(BODY).encode()[20:]]}),
    "compressed": (
        MESSAGES,
        {"text": json.dumps(BODY).encode(), "headers": {**JSON, "Content-Encoding": "x-mine"}},
    ),
    "an upload": (
        MESSAGES,
        {"data": {"recipient": '{"id": "5551"}', "message": '{"attachment": {"type": "image", "payload": {}}}'},
         "files": {"filedata": ("a.png", b"\x89PNG\r\n" * 1000, "image/png")}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNTOUCHED)
async def test_everything_else_is_sent_byte_for_byte(
    client: Client, wire: Wire, kochava: KochavaMiddleware, kind: str
) -> None:
    """What is no send, and what is not understood."""
    path, request = UNTOUCHED[kind]
    expected = await client.post(None, wire.hosts, wire.url + path, request)
    without = wire.taken().with_boundary("b")

    assert expected == await client.post(kochava, wire.hosts, wire.url + path, request)
    assert without == wire.taken().with_boundary("b")


async def test_another_host_is_untouched(client: Client, wire: Wire, kochava: KochavaMiddleware) -> None:
    """By default, the hosts are Facebook's."""
    await client.post(kochava, ["graph.facebook.com"], wire.url + MESSAGES, {"json": BODY})

    assert BODY == json.loads(wire.taken().body)


async def test_an_error_of_facebook_is_the_callers(client: Client, wire: Wire, kochava: KochavaMiddleware) -> None:
    """With its status and text."""
    wire.status, wire.answer = 400, b'{"error": {"code": 100}}'
    status, content, _ = await client.post(kochava, wire.hosts, wire.url + MESSAGES, {"json": BODY})

    assert (400, wire.answer) == (status, content)


async def test_an_answer_that_breaks_off_raises_what_it_raises_without_the_middleware(
    client: Client, wire: Wire
) -> None:
    """A greeting's, which is read for the middleware."""
    wire.is_whole = False
    raised = []
    greeting = {"impression_url": "http://127.0.0.1:1/?campaign_id=kogreet"}
    async with KochavaMiddleware.from_dict({**SETTINGS, "greeting": greeting}) as kochava:

        @kochava.greeting
        async def greet(middleware: KochavaMiddleware | None) -> None:
            await client.post(middleware, wire.hosts, wire.url + MESSAGES, {"json": BODY})

        item = {"sender": {"id": "5551"}, "recipient": {"id": "1"}, "timestamp": 1, "postback": {"payload": "HI"}}
        webhook = {"object": "page", "entry": [{"id": "1", "time": 1, "messaging": [item]}]}
        async with kochava.handling(*kochava.parse(webhook)):
            for each in (None, kochava):
                with pytest.raises(Exception) as error:
                    await greet(each)
                raised.append(error.type)
    assert raised[0] is raised[1]


async def test_a_send_within_a_send_acts_once(client: Client, wire: Wire, kochava: KochavaMiddleware) -> None:
    """`kochava.send` whose call uses an instrumented client."""

    async def call(body: Any) -> Any:
        return await client.post(kochava, wire.hosts, wire.url + MESSAGES, {"json": body})

    await kochava.send(BODY, call)

    assert body_with(SMARTLINK) == json.loads(wire.taken().body)
    assert 1 == kochava.counts.links_rewritten


async def test_the_callers_body_is_not_changed(client: Client, wire: Wire, kochava: KochavaMiddleware) -> None:
    """It may be sent to another person next."""
    before = json.dumps(BODY)
    await client.post(kochava, wire.hosts, wire.url + MESSAGES, {"json": BODY})

    assert before == json.dumps(BODY)


async def test_many_sends_at_once_keep_apart(client: Client, wire: Wire, kochava: KochavaMiddleware) -> None:
    """Each person gets their own message."""
    bodies = [{**BODY, "recipient": {"id": str(number)}} for number in range(8)]
    await asyncio.gather(*(client.post(kochava, wire.hosts, wire.url + MESSAGES, {"json": body}) for body in bodies))

    sent = [json.loads(each.body) for each in wire.received]
    assert [{**body_with(SMARTLINK), "recipient": body["recipient"]} for body in bodies] == sorted(
        sent, key=lambda body: int(body["recipient"]["id"])
    )
    assert 8 == kochava.counts.links_rewritten
