"""
The bot of the demo, a small shop. It is an ordinary bot and uses nothing of the sandbox.

``python -m kochava_bot_middleware.sandbox.demo_bot bot.toml`` serves it on a free port, prints one line with its
address, and ends on SIGTERM, SIGINT, or when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ..bot import MessengerBot
from ..messenger.events import Event
from ..messenger.reply import Reply
from ..middleware import KochavaMiddleware
from ..settings import from_toml

WEBSITE = "https://shop.example/shoes"

READY = "listening on "
"""The beginning of the line with the address."""

VIDEO = "https://www.facebook.com/exampleshop/videos/10150001"

MENU = [
    {"type": "web_url", "title": "Show Website", "url": WEBSITE},
    {"type": "postback", "title": "Watch the video", "payload": "VIDEO"},
    {"type": "postback", "title": "Talk to us", "payload": "CHAT"},
]

_BUY = re.compile(r"^BUY:")
_SIZE = re.compile(r"^SIZE:")


def make_demo_bot(settings: Mapping[str, Any]) -> MessengerBot:
    """Create the bot from the tables ``bot`` and ``kochava``."""
    bot = MessengerBot.from_dict(settings.get("bot", {}))
    kochava = KochavaMiddleware.from_dict(settings.get("kochava", {}))
    bot.add_middleware(kochava)

    @bot.on_postback("GET_STARTED")
    @kochava.greeting
    async def greet(_event: Event, reply: Reply) -> None:
        website = {"type": "web_url", "title": "Show Website", "url": WEBSITE}
        chat = {"type": "postback", "title": "Start Chatting", "payload": "CHAT"}
        await reply.buttons("What do you want to do next?", [website, chat], creative="two_buttons")

    @bot.on_postback("CHAT")
    async def chat(_event: Event, reply: Reply) -> None:
        await reply.text("Hello! What are you looking for?")

    @bot.on_quick_reply(_SIZE)
    async def size(_event: Event, reply: Reply) -> None:
        await reply.text("We have them in your size.")

    @bot.on_postback("VIDEO")
    async def video(_event: Event, reply: Reply) -> None:
        more = {"type": "web_url", "title": "All colours", "url": f"{WEBSITE}/colours"}
        await reply.media([{"media_type": "video", "url": VIDEO, "buttons": [more]}])

    @bot.on_message("STOP")
    async def stop(event: Event, reply: Reply) -> None:
        assert event.user_id is not None
        await kochava.opt_out(event.user_id)
        await reply.text("You are not counted any more. Write START to change that.")

    @bot.on_message("START")
    async def restart(event: Event, reply: Reply) -> None:
        assert event.user_id is not None
        await kochava.opt_in(event.user_id)
        await reply.text("Welcome back!")

    @bot.on_postback(_BUY)
    @kochava.event("Purchase", data=_purchase)
    async def buy(_event: Event, reply: Reply) -> None:
        await reply.text("Thank you!")

    @bot.on_message()
    @kochava.event("Question", data=lambda event, _result: {"id": event.mid})
    async def answer(event: Any, reply: Reply) -> None:
        details = {"type": "web_url", "title": "Details", "url": f"{WEBSITE}/{event.mid}"}
        buy_them = {"type": "postback", "title": "Buy", "payload": f"BUY:{event.mid}"}
        sizes = [{"content_type": "text", "title": n, "payload": f"SIZE:{n}:{event.mid}"} for n in ("41", "42", "43")]
        card = {"title": "Shoes", "subtitle": "100 USD", "buttons": [details, buy_them]}
        payload = {"template_type": "generic", "elements": [card]}
        await reply.raw({"attachment": {"type": "template", "payload": payload}, "quick_replies": sizes})

    return bot


def _purchase(event: Any, _result: Any) -> dict[str, Any]:
    return {"id": event.mid, "name": "Shoes", "currency": "USD", "sum": 100}


async def serve(bot: MessengerBot) -> None:
    """Serve *bot* until a signal or the end of the standard input, then stop it."""
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    # The parent process has the other end of the pipe, so the bot ends when the demo is killed.
    loop.add_reader(sys.stdin.fileno(), _read_end, end)
    runner = web.AppRunner(bot.app(), access_log=None)
    await runner.setup()
    profile = {
        "get_started": {"payload": "GET_STARTED"},
        "persistent_menu": [{"locale": "default", "call_to_actions": MENU}],
    }
    try:
        await bot.page().set_messenger_profile(profile)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        print(f"{READY}http://{host}:{port}/webhook", flush=True)
        await end.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
        await runner.cleanup()


def _read_end(end: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        end.set()


def main(path: str) -> None:
    """Serve the bot with the settings file at *path*."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(serve(make_demo_bot(from_toml(path))))


if __name__ == "__main__":
    main(sys.argv[1])
