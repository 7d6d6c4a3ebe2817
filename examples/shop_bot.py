"""
A shop: greets, shows its website through a SmartLink, and sells.

Run it with a bot.toml in the working directory: python shop_bot.py
"""

import os
from typing import Any

from aiohttp import web

from kochava_bot_middleware import Event, KochavaMiddleware, MessengerBot, Reply
from kochava_bot_middleware.settings import from_environment, from_toml

settings = from_environment(os.environ, over=from_toml("bot.toml"))
bot = MessengerBot.from_dict(settings["bot"])
kochava = KochavaMiddleware.from_dict(settings["kochava"])
bot.add_middleware(kochava)

PRICES = {"SHOES": 100, "SOCKS": 5}


@bot.on_postback("GET_STARTED")
@kochava.greeting
async def greet(event: Event, reply: Reply) -> None:
    await reply.buttons(
        "What do you want to do next?",
        [
            {"type": "web_url", "title": "Show Website", "url": "https://shop.example/shoes"},
            {"type": "postback", "title": "Start Chatting", "payload": "CHAT"},
        ],
        creative="two_buttons",
    )


@bot.on_postback("CHAT")
async def chat(event: Event, reply: Reply) -> None:
    goods = [{"content_type": "text", "title": name.title(), "payload": name} for name in PRICES]
    await reply.quick_replies("What would you like?", goods)


def purchase(event: Any, _result: object) -> dict[str, object]:
    name = event.quick_reply_payload
    return {"id": event.key, "name": name, "currency": "USD", "sum": PRICES[name]}


@bot.on_quick_reply(lambda event: event.quick_reply_payload in PRICES)
@kochava.event("Purchase", data=purchase)
async def buy(event: Event, reply: Reply) -> None:
    await reply.text("Thank you!")


if __name__ == "__main__":
    web.run_app(bot.app())
