"""The main job, from a signed webhook to Kochava, over real HTTP."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from .conftest import APP_ID, SMARTLINK, MakeShop, Shop


def greeting_shop(make_shop: MakeShop) -> Shop:
    """The bot of the README."""
    shop = make_shop()
    bot, kochava = shop.bot, shop.middleware

    @bot.on_postback("GET_STARTED")
    @kochava.greeting
    async def greet(event: Any, reply: Any) -> None:
        await reply.buttons(
            "What do you want to do next?",
            [
                {"type": "web_url", "title": "Show Website", "url": "https://shop.example/shoes"},
                {"type": "postback", "title": "Start Chatting", "payload": "CHAT"},
            ],
        )

    @bot.on_postback("CHAT")
    async def chat(event: Any, reply: Any) -> None:
        await reply.text("Hello!")

    @bot.on_postback("BUY")
    @kochava.event("Purchase", data={"id": "123", "name": "Shoes", "currency": "USD", "sum": 100})
    async def buy(event: Any, reply: Any) -> None:
        await reply.text("Thank you!")

    return shop


async def test_a_handled_message_becomes_an_event(make_shop: MakeShop) -> None:
    """It reaches Kochava with the user's id."""
    shop = greeting_shop(make_shop)
    await shop.open()
    person = shop.messenger.person()

    await person.says("hello")
    await shop.delivered()

    (event,) = shop.kochava.events
    assert ("Message", {"fb_user_id": person.user_id}) == (event.name, event.device_ids)
    assert [] == shop.kochava.rejections


async def test_a_greeting_delivered_and_answered_is_one_impression_and_one_click(make_shop: MakeShop) -> None:
    """The delivery receipt makes it shown, and the tap is the click."""
    shop = greeting_shop(make_shop)
    await shop.open()
    person = shop.messenger.person()

    await person.gets_started()
    await person.next_message()
    await shop.delivered(2)
    await person.taps("Start Chatting")
    await person.says("one more")
    await shop.delivered(5)

    assert (1, 1) == (len(shop.kochava.impressions), len(shop.kochava.clicks))
    assert [person.user_id] * 2 == [
        record.params["fb_user_id"] for record in (*shop.kochava.impressions, *shop.kochava.clicks)
    ]


async def test_a_url_button_leads_through_the_smartlink_to_its_target(make_shop: MakeShop) -> None:
    """The user lands at the original address, and Kochava counts the click."""
    shop = greeting_shop(make_shop)
    await shop.open()
    person = shop.messenger.person()

    await person.gets_started()
    message = await person.next_message()
    tap = await person.taps("Show Website")
    await shop.delivered(2)

    url = message.buttons[0]["url"]
    assert url.startswith(SMARTLINK)
    assert ["https://shop.example/shoes"] == parse_qs(urlsplit(url).query)["url"]
    assert tap.visit is not None
    assert tap.visit is not None
    assert "https://shop.example/shoes" == tap.visit.landed
    (click,) = shop.kochava.smartlink_clicks
    assert (person.user_id, "messenger") == (click.params["fb_user_id"], click.params["sub_site_id"])


async def test_the_request_of_a_purchase_is_kochavas_sample(make_shop: MakeShop) -> None:
    """Each field is that of the sample on Kochava's bot page, except user, app and time."""
    shop = greeting_shop(make_shop)
    await shop.open()
    person = shop.messenger.person()

    await person.taps({"type": "postback", "title": "Buy", "payload": "BUY"})
    await shop.delivered()

    sample = {
        "data": {
            "device_ids": {"fb_user_id": person.user_id},
            "event_name": "Purchase",
            "event_data": {"id": "123", "name": "Shoes", "currency": "USD", "sum": 100},
        },
        "action": "event",
        "kochava_app_id": APP_ID,
    }
    (event,) = shop.kochava.events
    body = {**event.body, "data": dict(event.body["data"])}
    assert isinstance(body["data"].pop("usertime"), int)
    assert sample == body
    assert list(sample) == list(body)


async def test_the_sample_message_is_sent_with_a_smartlink_and_otherwise_unchanged(make_shop: MakeShop) -> None:
    """The message on Kochava's bot page, sent by `reply.buttons`."""
    shop = make_shop()
    buttons = [
        {"type": "web_url", "url": "https://PLACE_SMARTLINK_URL_HERE", "title": "Show Website"},
        {"type": "postback", "title": "Start Chatting", "payload": "USER_DEFINED_PAYLOAD"},
    ]

    @shop.bot.on_message()
    async def ask(event: Any, reply: Any) -> None:
        await reply.buttons("What do you want to do next?", buttons)

    await shop.open()
    person = shop.messenger.person()
    await person.says("hi")
    message = await person.next_message()

    url = message.body["message"]["attachment"]["payload"]["buttons"][0]["url"]
    assert url.startswith(SMARTLINK + "?url=https%3A%2F%2FPLACE_SMARTLINK_URL_HERE&")
    assert {
        "recipient": {"id": person.user_id},
        "messaging_type": "RESPONSE",
        "message": {
            "attachment": {
                "type": "template",
                "payload": {
                    "template_type": "button",
                    "text": "What do you want to do next?",
                    "buttons": [{**buttons[0], "url": url}, buttons[1]],
                },
            }
        },
    } == message.body


async def test_events_recorded_while_kochava_is_down_arrive_in_order_when_it_is_up(make_shop: MakeShop) -> None:
    """The bot keeps answering, and nothing is missing afterwards."""
    shop = make_shop(
        kochava_settings={"delivery": {"retry_waits_seconds": [0.05], "probe_waits_seconds": [0.05], "ramp_seconds": 0}}
    )

    @shop.bot.on_message()
    @shop.middleware.event("Said", data=lambda event, _result: {"id": event.text})
    async def answer(event: Any, reply: Any) -> None:
        await reply.text("ok")

    await shop.open()
    person = shop.messenger.person()
    await shop.kochava.down()
    for number in range(5):
        await person.says(str(number))
        await person.next_message()
    await shop.kochava.up()
    await shop.delivered(5)

    assert ["0", "1", "2", "3", "4"] == [event.event_data["id"] for event in shop.kochava.events]


async def chat_of_twenty(shop: Shop) -> None:
    """Twenty users start, are greeted, and tap a button."""

    async def chat() -> None:
        person = shop.messenger.person()
        await person.gets_started()
        await person.next_message()
        await person.taps("Start Chatting")

    before = len(shop.kochava.records)
    await asyncio.gather(*(chat() for _ in range(20)))
    await shop.delivered(before + 80)


async def test_nothing_blocks_the_event_loop(make_shop: MakeShop, caplog: pytest.LogCaptureFixture) -> None:
    """The whole path with asyncio's slow-callback debug at 50 ms; a busy machine gets three attempts."""
    shop = greeting_shop(make_shop)
    await shop.open()
    # A full garbage collection walks all that the test session has loaded; that is no call of ours.
    gc.collect()
    gc.freeze()
    loop = asyncio.get_running_loop()
    loop.slow_callback_duration = 0.05
    loop.set_debug(True)
    try:
        for _ in range(3):
            caplog.clear()
            with caplog.at_level(logging.WARNING, logger="asyncio"):
                await chat_of_twenty(shop)
            slow = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
            if not slow:
                break
    finally:
        loop.set_debug(False)
        gc.unfreeze()

    assert [] == slow
