"""What the page's stream says about what both local servers saw."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from kochava_bot_middleware.sandbox.web.observation import SandboxObservation
from kochava_bot_middleware.sandbox.web.page_events import BODY_LIMIT, EventLog
from kochava_bot_middleware.sandbox.web.smartlinks import LinkReader
from tests.sandbox.recording_bot import TOKEN, RecordingBot

SHOP = "https://shop.example/shoes?colour=green&size=42"
SMARTLINK = "https://acme.smart.link/ab12cd34e?url=https%3A%2F%2Fshop.example%2Fshoes%3Fcolour%3Dgreen%26size%3D42&x=1"


@pytest.fixture
def log(messenger: LocalMessenger, kochava: LocalKochava) -> EventLog:
    """What is seen."""
    messenger.hosts["acme.smart.link"] = kochava.url
    log = EventLog(messenger.clock)
    SandboxObservation(messenger, kochava, log).begin()
    return log


def seen(log: EventLog, kind: str) -> list[dict[str, Any]]:
    """The events of a kind."""
    events = [json.loads(text) for text in log.after(0)[0]]
    return [event for event in events if event["kind"] == kind]


async def send(client: aiohttp.ClientSession, messenger: LocalMessenger, message: dict[str, Any]) -> None:
    """Send as a bot does."""
    body = {"recipient": {"id": "5"}, "message": message}
    async with client.post(f"{messenger.url}/v23.0/me/messages?access_token={TOKEN}", json=body) as answer:
        await answer.read()


def buttons(url: str) -> dict[str, Any]:
    """A button template with one URL button."""
    button = {"type": "web_url", "title": "Shoes", "url": url}
    return {
        "attachment": {"type": "template", "payload": {"template_type": "button", "text": "?", "buttons": [button]}}
    }


async def test_message_has_each_changed_link_before_and_after(
    client: aiohttp.ClientSession, messenger: LocalMessenger, log: EventLog
) -> None:
    """In the list of links, and in the lines of the whole body, of which only that one has two forms."""
    await messenger.person("5").says("hello")
    await send(client, messenger, buttons(SMARTLINK))
    (event,) = seen(log, "message")
    assert [{"title": "Shoes", "before": SHOP, "after": SMARTLINK}] == event["detail"]["links"]
    (pair,) = [line for line in event["detail"]["lines"] if isinstance(line, list)]
    assert [SHOP in pair[0], SMARTLINK in pair[1]] == [True, True]
    assert ("5", 200) == (event["user"], event["status"])


async def test_address_that_is_no_smartlink_is_not_marked(
    client: aiohttp.ClientSession, messenger: LocalMessenger, log: EventLog
) -> None:
    """It is sent as it was written."""
    await messenger.person("5").says("hello")
    await send(client, messenger, buttons(SHOP))
    (event,) = seen(log, "message")
    assert [] == event["detail"]["links"]


async def test_refused_message_names_the_rule(
    client: aiohttp.ClientSession, messenger: LocalMessenger, log: EventLog
) -> None:
    """As Facebook words it."""
    await messenger.person("5").says("hello")
    await send(client, messenger, {"text": "x" * 2001})
    (event,) = seen(log, "refused")
    assert "must be less than or equal to 1999" in event["detail"]["reason"]
    assert (400, False) == (event["status"], event["good"])


async def test_large_body_is_cut_and_its_size_said(
    client: aiohttp.ClientSession, messenger: LocalMessenger, log: EventLog
) -> None:
    """The event stays small."""
    await send(client, messenger, {"text": "x" * 1_000_000})
    (event,) = seen(log, "refused")
    assert event["detail"]["cut"] > 1_000_000
    assert len(json.dumps(event)) < BODY_LIMIT


async def test_request_to_kochava_has_its_verdict(
    client: aiohttp.ClientSession, kochava: LocalKochava, log: EventLog
) -> None:
    """Accepted, refused with the reason, or failed."""
    data = {"device_ids": {"fb_user_id": "5"}, "event_name": "Purchase", "event_data": {"sum": 100}}
    body = {"data": data, "action": "event", "kochava_app_id": "kodemo1"}
    for status, sent in ((200, body), (400, {**body, "action": "fly"}), (503, body)):
        if status == 503:
            kochava.answer_with(503)
        async with client.post(f"{kochava.url}/track/json", json=sent, headers={"User-Agent": "Unknown"}) as answer:
            assert status == answer.status
    events = seen(log, "kochava")
    assert [200, 400, 503] == [event["status"] for event in events]
    assert ["accepted", "failed with 503"] == [events[0]["title"], events[2]["title"]]
    assert events[1]["title"].startswith("refused: ")
    assert ("event", "Purchase", "5") == (events[0]["detail"]["record"], events[0]["detail"]["name"], events[0]["user"])


async def test_body_that_is_not_json_is_shown_as_it_came(
    client: aiohttp.ClientSession, kochava: LocalKochava, log: EventLog
) -> None:
    """With the reason why Kochava refuses it."""
    async with client.post(f"{kochava.url}/track/json", data=b"{not json") as answer:
        await answer.read()
    (event,) = seen(log, "kochava")
    assert ("{not json", 400) == (event["detail"]["text"], event["status"])


async def test_person_who_writes_is_seen_before_and_after_the_bot_answers(
    messenger: LocalMessenger, log: EventLog
) -> None:
    """Both events have the id of the message."""
    await messenger.person("5").says("hello")
    (act,), (webhook,) = seen(log, "action"), seen(log, "webhook")
    assert "hello" == act["detail"]["said"]
    assert act["detail"]["mid"] == webhook["detail"]["mid"]
    assert (200, 1) == (webhook["status"], webhook["detail"]["attempts"])


@pytest.mark.parametrize("url", ["https://[broken", "https://acme.smart.link/unknown?url=https://a.example/", "x://"])
def test_address_that_leads_nowhere_stays(url: str) -> None:
    """Also one that cannot be read."""
    body = {"text": f"See {url}", "numbers": [1, None]}
    assert (body, []) == LinkReader({"/ab12cd34e": "{url}"}, {"acme.smart.link": ""}).before(body)


async def test_refused_message_belongs_to_the_person_it_was_for(
    client: aiohttp.ClientSession, messenger: LocalMessenger, log: EventLog
) -> None:
    """So that it is shown in their chat."""
    await messenger.person("5").says("hello")
    await send(client, messenger, {"text": "x" * 2001})
    (event,) = seen(log, "refused")
    assert "5" == event["user"]


@pytest.mark.parametrize("multipart", [False, True])
async def test_form_is_shown_as_what_it_says(
    client: aiohttp.ClientSession, messenger: LocalMessenger, log: EventLog, multipart: bool
) -> None:
    """Without the token, also when the call before it on the same connection was JSON."""
    await messenger.person("5").says("hello")
    await send(client, messenger, {"text": "as JSON"})
    fields = {"recipient": '{"id":"5"}', "message": '{"text":"as a form"}', "access_token": TOKEN}
    form = aiohttp.MultipartWriter("form-data")
    for name, value in fields.items():
        form.append(value).set_content_disposition("form-data", name=name)
    data: Any = form if multipart else fields
    async with client.post(f"{messenger.url}/v23.0/me/messages", data=data) as answer:
        assert 200 == answer.status
    event = seen(log, "message")[-1]
    assert {"text": "as a form"} == event["detail"]["message"]
    assert TOKEN not in json.dumps(event)


async def test_call_of_a_path_that_there_is_not_is_shown(
    client: aiohttp.ClientSession, messenger: LocalMessenger, log: EventLog
) -> None:
    """Such as one without a version."""
    async with client.post(f"{messenger.url}/messages", data=b"{}") as answer:
        assert 404 == answer.status
    (event,) = seen(log, "refused")
    assert ("/messages", 404) == (event["detail"]["path"], event["status"])
    assert event["title"].startswith("there is no such path")


@pytest.mark.parametrize(("status", "said"), [(500, "answered 500, not 200"), (204, "answered 204, not 200")])
async def test_wrong_answer_of_the_bot_is_shown_with_what_facebook_does(
    messenger: LocalMessenger, bot: RecordingBot, log: EventLog, status: int, said: str
) -> None:
    """When it fails for the first time, and when it is given up."""
    bot.statuses = [status] * 3
    await messenger.person("5").says("hello")
    first, end = seen(log, "webhook")
    assert (f"The bot {said}: Facebook tries again", True) == (first["detail"]["failure"], first["detail"]["retried"])
    assert f"The bot {said}, at the last of 3 attempts. After 15 minutes" in end["detail"]["failure"]
    assert "after an hour it sends no more webhooks of this Page" in end["detail"]["failure"]
    assert [False, False] == [first["good"], end["good"]]


async def test_bot_that_is_not_there_is_shown(messenger: LocalMessenger, bot: RecordingBot, log: EventLog) -> None:
    """It gave no answer."""
    await bot.down()
    await messenger.person("5").says("hello")
    assert "The bot gave no answer in time: Facebook tries again" == seen(log, "webhook")[0]["detail"]["failure"]
