"""
The main job, from a signed webhook to Kochava, over real HTTP.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from .conftest import SMARTLINK, MakeShop, Shop


def greeting_shop(make_shop: MakeShop) -> Shop:
    """
    The bot of the README.
    """
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
    """Every handled message reaches Kochava, keyed by the person's id."""
    shop = greeting_shop(make_shop)
    await shop.open()
    person = shop.messenger.person()

    await person.says("hello")
    await shop.delivered()

    (event,) = shop.kochava.events
    assert ("Message", {"fb_user_id": person.user_id}) == (event.name, event.device_ids)
    assert [] == shop.kochava.rejections


async def test_a_greeting_delivered_and_answered_is_one_impression_and_one_click(make_shop: MakeShop) -> None:
    """The delivery proves it shown, the tap is the step into the bot."""
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
    """The person lands where the author meant, and Kochava saw the tap."""
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
    assert "https://shop.example/shoes" == tap.visit.final_url
    (click,) = shop.kochava.smartlink_clicks
    assert (person.user_id, "greet") == (click.params["fb_user_id"], click.params["creative_id"])
