"""
A middleware of your own: it sees each event before its handler, and each message before Facebook.

Run it with a bot.toml in the working directory: python own_middleware.py
"""

import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from aiohttp import web

from kochava_bot_middleware import Event, KochavaMiddleware, MessengerBot, Outgoing, Reply
from kochava_bot_middleware.settings import from_environment, from_toml


class Polite:
    """Times the handlers, and thanks in every text."""

    async def receive(self, event: Event, call_next: Callable[[Event], Awaitable[Any]]) -> Any:
        began = time.perf_counter()
        try:
            return await call_next(event)
        finally:
            print(f"{event.kind} took {time.perf_counter() - began:.3f} s", flush=True)

    async def send(self, outgoing: Outgoing, call_next: Callable[[Outgoing], Awaitable[Any]]) -> Any:
        message = outgoing.body.get("message")
        if isinstance(message, str):  # some senders write it as JSON
            message = json.loads(message)
        if message is not None and "text" in message:
            thanks = {**message, "text": f"{message['text']} Thank you!"}
            outgoing = attrs.evolve(outgoing, body={**outgoing.body, "message": thanks})
        return await call_next(outgoing)


settings = from_environment(os.environ, over=from_toml("bot.toml"))
bot = MessengerBot.from_dict(settings["bot"])
bot.add_middleware(Polite())  # the first added is the outermost, in both directions
bot.add_middleware(KochavaMiddleware.from_dict(settings["kochava"]))


@bot.on_message()
async def answer(event: Event, reply: Reply) -> None:
    await reply.text("Got it.")


if __name__ == "__main__":
    web.run_app(bot.app())
