"""What simulated users do becomes webhooks: signed, in order, and redelivered when unanswered."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import aiohttp
import pytest

from kochava_bot_middleware.sandbox.kochava.server import LocalKochava
from kochava_bot_middleware.sandbox.messenger.server import LocalMessenger
from kochava_bot_middleware.sandbox.messenger.webhooks import facebook_json
from tests.fakes import SleepNotingClock
from tests.sandbox.recording_bot import APP_SECRET, PAGE, TOKEN, MakeMessenger, RecordingBot

SHOES = "https://shop.example/shoes?size=42&color=r%26b"


async def send(client: aiohttp.ClientSession, messenger: LocalMessenger, message: dict[str, Any]) -> None:
    """Send a message of the bot to user 7."""
    body = {"recipient": {"id": "7"}, "message": message}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with client.post(messenger.url + "/v26.0/me/messages", json=body, headers=headers) as response:
        assert response.status == 200, await response.text()


def menu(url: str) -> dict[str, Any]:
    """A message with a URL button and a postback button."""
    buttons = [
        {"type": "web_url", "title": "Show Website", "url": url},
        {"type": "postback", "title": "Start Chatting", "payload": "CHAT"},
    ]
    payload = {"template_type": "button", "text": "What next?", "buttons": buttons}
    return {"attachment": {"type": "template", "payload": payload}}


async def test_a_webhook_is_signed_over_its_bytes(messenger: LocalMessenger, bot: RecordingBot) -> None:
    """HMAC-SHA256 under the app secret."""
    await messenger.person("7").says("grüße / 100% <b> a@b")
    expected = "sha256=" + hmac.new(APP_SECRET.encode(), bot.raw[0], hashlib.sha256).hexdigest()
    assert [expected] == bot.signatures
    assert bot.items[0]["message"]["text"] == "grüße / 100% <b> a@b"


def test_webhooks_are_escaped_as_facebook_does() -> None:
    """ASCII only, with slashes and some other characters escaped."""
    assert facebook_json({"t": "ä/<%@"}) == rb'{"t":"\u00e4\/\u003C\u0025\u0040"}'


async def test_a_message_has_the_form_of_facebooks(messenger: LocalMessenger, bot: RecordingBot, clock: Any) -> None:
    """Sender, recipient, milliseconds, id and text."""
    outcome = await messenger.person("7").says("hi")
    assert outcome is not None
    (item,) = bot.items
    expected = {
        "sender": {"id": "7"},
        "recipient": {"id": PAGE},
        "timestamp": int(clock.now() * 1000),
        "message": {"mid": outcome.webhook.mid, "text": "hi"},
    }
    assert expected == item


async def test_verification_needs_exactly_the_challenge(messenger: LocalMessenger, bot: RecordingBot) -> None:
    """A wrong token, or any other answer, is a failure."""
    assert await messenger.verify()
    assert not await messenger.verify(verify_token="other")
    bot.challenge_answer = "EVENT_RECEIVED"
    assert not await messenger.verify()


async def test_an_acknowledged_webhook_is_listed(messenger: LocalMessenger) -> None:
    """With item, user and message id."""
    await messenger.person("7").says("hi")
    (outcome,) = messenger.acknowledged
    assert ("message", "7", PAGE) == (outcome.webhook.kind, outcome.webhook.user_id, outcome.webhook.page_id)
    assert outcome.webhook.item["message"]["mid"] == outcome.webhook.mid
    assert (1, 200) == (outcome.attempts, outcome.status)


async def test_an_unanswered_webhook_is_redelivered(make_messenger: MakeMessenger, bot: RecordingBot) -> None:
    """Byte for byte, after growing waits."""
    bot.statuses = [500, 503]
    clock = SleepNotingClock()
    async with make_messenger(webhook_url=f"{bot.url}/webhook", clock=clock, retry_waits=(1.0, 5.0)) as messenger:
        said = asyncio.ensure_future(messenger.person("7").says("hi"))
        for number, wait in enumerate((1.0, 5.0), start=1):
            await clock.slept.wait()
            clock.slept.clear()
            assert number == len(bot.raw)
            await clock.advance(wait - 0.1)
            assert not clock.slept.is_set()
            await clock.advance(0.1)
        await said
    assert (1, 3) == (len(set(bot.raw)), len(bot.raw))
    assert [(True, 3)] == [(outcome.acknowledged, outcome.attempts) for outcome in messenger.acknowledged]


async def test_a_webhook_is_abandoned_after_the_last_attempt(messenger: LocalMessenger, bot: RecordingBot) -> None:
    """It is abandoned, with its last status."""
    bot.statuses = [500] * 3
    outcome = await messenger.person("7").says("hi")
    assert outcome is not None
    assert (False, 3, 500) == (outcome.acknowledged, outcome.attempts, outcome.status)
    assert ([], [outcome]) == (messenger.acknowledged, messenger.abandoned)


async def test_a_bot_that_is_down_or_does_not_answer_is_retried(
    make_messenger: MakeMessenger, bot: RecordingBot
) -> None:
    """A refused connection, and no answer in time."""
    async with make_messenger(webhook_url=f"{bot.url}/webhook", answer_within_seconds=0.05) as messenger:
        bot.hang()
        outcome = await messenger.person("7").says("slow")
        assert outcome is not None
        assert (True, 2) == (outcome.acknowledged, outcome.attempts)
        await bot.down()
        outcome = await messenger.person("7").says("down")
        assert outcome is not None
        assert (False, None) == (outcome.acknowledged, outcome.status)


async def test_webhooks_of_one_user_are_delivered_in_order(messenger: LocalMessenger, bot: RecordingBot) -> None:
    """The second waits until the first is settled, retries included."""
    bot.statuses = [500, 500]
    person = messenger.person("7")
    await asyncio.gather(*(person.says(str(number)) for number in range(3)))
    assert ["0", "0", "0", "1", "2"] == [item["message"]["text"] for item in bot.items]


@pytest.mark.parametrize("redelivery", ["afterwards", "at once"])
async def test_every_webhook_can_be_delivered_twice(
    make_messenger: MakeMessenger, bot: RecordingBot, redelivery: str
) -> None:
    """After its answer or at the same time; it is acknowledged once."""
    async with make_messenger(webhook_url=f"{bot.url}/webhook", redelivery=redelivery) as messenger:
        await messenger.person("7").says("hi")
    assert 2 == len(bot.raw)
    assert bot.raw[0] == bot.raw[1]
    assert len(messenger.acknowledged) == 1


async def test_some_webhooks_are_delivered_twice(make_messenger: MakeMessenger, bot: RecordingBot) -> None:
    """The same ones for the same seed."""
    counts = []
    for _ in range(2):
        bot.raw.clear()
        settings = {"redelivery": "afterwards", "redelivery_probability": 0.5, "seed": 4}
        async with make_messenger(webhook_url=f"{bot.url}/webhook", **settings) as messenger:
            for number in range(20):
                await messenger.person("7").says(str(number))
        counts.append([item["message"]["text"] for item in bot.items])
    assert counts[0] == counts[1]
    assert 20 < len(counts[0]) < 40


async def test_everything_acknowledged_can_be_redelivered(messenger: LocalMessenger, bot: RecordingBot) -> None:
    """Byte for byte; the list of acknowledged webhooks does not change."""
    await messenger.person("7").says("a")
    await messenger.person("8").says("b")
    assert await messenger.redeliver_everything() == [200, 200]
    assert bot.raw[:2] == bot.raw[2:]
    assert len(messenger.acknowledged) == 2


async def test_a_delivery_follows_each_message(
    messenger: LocalMessenger, bot: RecordingBot, client: aiohttp.ClientSession
) -> None:
    """With the message's id and a watermark that is not earlier than the message."""
    person = messenger.person("7")
    await person.says("hi")
    await send(client, messenger, {"text": "hello"})
    await messenger.settled()
    message = await person.next_message()
    delivery = bot.items[-1]["delivery"]
    assert [message.mid] == delivery["mids"]
    assert delivery["watermark"] >= int(message.at * 1000)


async def test_a_delivery_can_be_without_ids_and_an_echo_can_follow(
    make_messenger: MakeMessenger, bot: RecordingBot, client: aiohttp.ClientSession
) -> None:
    """The echo has the template as it was sent, from the Page to the user."""
    async with make_messenger(webhook_url=f"{bot.url}/webhook", echoes=True, delivery_mids=False) as messenger:
        await messenger.person("7").says("hi")
        await send(client, messenger, menu(SHOES))
        await messenger.settled()
    echo, delivery = bot.items[1:]
    assert (PAGE, "7", True) == (echo["sender"]["id"], echo["recipient"]["id"], echo["message"]["is_echo"])
    assert [menu(SHOES)["attachment"]] == echo["message"]["attachments"]
    assert ["watermark"] == list(delivery["delivery"])


async def test_webhooks_of_instagram_have_their_own_form(
    make_messenger: MakeMessenger, bot: RecordingBot, client: aiohttp.ClientSession
) -> None:
    """Another object, no delivery, and a read with a message id."""
    async with make_messenger(webhook_url=f"{bot.url}/webhook", instagram_ids={PAGE}) as messenger:
        person = messenger.person("7")
        await person.says("hi")
        await send(client, messenger, {"text": "hello"})
        await messenger.settled()
        await person.reads()
    assert b'"object":"instagram"' in bot.raw[0]
    assert [["message"], ["read"]] == [list(item)[3:] for item in bot.items]
    assert {"mid": person.inbox[0].mid} == bot.items[1]["read"]


async def test_a_tap_on_a_postback_button_is_a_postback(
    messenger: LocalMessenger, bot: RecordingBot, client: aiohttp.ClientSession
) -> None:
    """Found by its title."""
    person = messenger.person("7")
    await person.says("hi")
    await send(client, messenger, menu(SHOES))
    tap = await person.taps("Start Chatting")
    assert tap.visit is None
    assert ("CHAT", "Start Chatting") == (bot.items[-1]["postback"]["payload"], bot.items[-1]["postback"]["title"])


async def test_a_tap_on_a_smartlink_lands_on_the_original_address(
    messenger: LocalMessenger, bot: RecordingBot, client: aiohttp.ClientSession, kochava: LocalKochava
) -> None:
    """There is no webhook; only Kochava counts it."""
    person = messenger.person("7")
    await person.says("hi")
    link = f"{kochava.url}/ab12cd34e?url=https%3A%2F%2Fshop.example%2Fshoes%3Fsize%3D42%26color%3Dr%2526b"
    await send(client, messenger, menu(link))
    await messenger.settled()
    before = len(bot.raw)
    tap = await person.taps("Show Website")
    assert tap.visit is not None
    assert ((link, SHOES), None) == (tap.visit.steps, tap.visit.status)
    assert (before, 1) == (len(bot.raw), len(kochava.smartlink_clicks))


async def test_a_local_server_can_stand_in_for_a_host(messenger: LocalMessenger, kochava: LocalKochava) -> None:
    """So the host of a real SmartLink can be used."""
    messenger.hosts["acme.smart.link"] = kochava.url
    visit = await messenger.visit("https://acme.smart.link/shop1?path=/shoes")
    assert visit.landed == "https://shop.example/shoes"


async def test_other_hosts_are_never_requested(messenger: LocalMessenger) -> None:
    """The browser stops before them."""
    visit = await messenger.visit("https://unreachable.example/")
    assert (("https://unreachable.example/",), None) == (visit.steps, visit.status)


async def test_a_quick_reply_is_a_message(
    messenger: LocalMessenger, bot: RecordingBot, client: aiohttp.ClientSession
) -> None:
    """With title and payload."""
    person = messenger.person("7")
    await person.says("hi")
    reply = {"content_type": "text", "title": "Small", "payload": "S"}
    await send(client, messenger, {"text": "Size?", "quick_replies": [reply]})
    await person.taps_quick_reply("Small")
    message = bot.items[-1]["message"]
    assert ("Small", {"payload": "S"}) == (message["text"], message["quick_reply"])


async def test_get_started_has_the_referral(messenger: LocalMessenger, bot: RecordingBot) -> None:
    """In the postback; in an existing thread it is a webhook of its own."""
    person = messenger.person("7")
    await person.gets_started(ref="flyer")
    await person.comes_from(ad_id="6001")
    referral = {"source": "SHORTLINK", "type": "OPEN_THREAD", "ref": "flyer"}
    assert ("GET_STARTED", referral) == (bot.items[0]["postback"]["payload"], bot.items[0]["postback"]["referral"])
    assert {"source": "ADS", "type": "OPEN_THREAD", "ad_id": "6001"} == bot.items[1]["referral"]


async def test_reads_reactions_and_anything_else(
    messenger: LocalMessenger, bot: RecordingBot, client: aiohttp.ClientSession
) -> None:
    """Each with its own key."""
    person = messenger.person("7")
    await person.says("hi")
    await send(client, messenger, {"text": "hello"})
    await messenger.settled()
    await person.reads()
    await person.reacts()
    await person.does("optin", {"optin": {"ref": "box"}})
    read, reaction, optin = bot.items[-3:]
    assert read["read"]["watermark"] >= int(person.inbox[0].at * 1000)
    assert person.inbox[0].mid == reaction["reaction"]["mid"]
    assert {"ref": "box"} == optin["optin"]


async def test_webhook_without_an_object_under_its_kind_is_refused(
    messenger: LocalMessenger, bot: RecordingBot
) -> None:
    """The members must be under the name of the kind."""
    with pytest.raises(ValueError, match=r'must be \{"postback": \{…\}\}, got'):
        await messenger.person("7").does("postback", {"payload": "BUY"})
    assert [] == bot.items


async def test_waiting_for_a_message_times_out(messenger: LocalMessenger) -> None:
    """With a `TimeoutError` that says where to look."""
    with pytest.raises(TimeoutError, match=r"no further message reached 7 within 0\.01 s.*messenger\.refused"):
        await messenger.person("7").next_message(within_seconds=0.01)


async def test_unknown_buttons_cannot_be_tapped(messenger: LocalMessenger) -> None:
    """Neither by a title that was not sent, nor of a type that has no effect here."""
    person = messenger.person("7")
    with pytest.raises(LookupError):
        await person.taps("Buy")
    with pytest.raises(LookupError):
        await person.taps_quick_reply("Small")
    with pytest.raises(ValueError, match="phone_number"):
        await person.taps({"type": "phone_number", "title": "Call", "payload": "+49"})


async def test_without_an_address_nothing_is_delivered(make_messenger: MakeMessenger) -> None:
    """And no outcome is kept."""
    async with make_messenger() as messenger:
        assert await messenger.person("7").says("hi") is None
    assert ([], []) == (messenger.acknowledged, messenger.abandoned)
