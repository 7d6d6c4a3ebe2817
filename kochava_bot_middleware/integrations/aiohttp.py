"""
The webhook of a bot in an existing aiohttp application.

Example::

    app = web.Application()
    setup(app, bot)


    async def parcel_sent(request: web.Request) -> web.Response:
        await bot_of(request).page().send_text_message("…", "Your parcel was sent.")
        return web.Response()
"""

from __future__ import annotations

from aiohttp import web

from ..bot import MessengerBot

BOT = web.AppKey("kochava_bot_middleware.bot", MessengerBot)
"""The application key of the bot."""


def setup(app: web.Application, bot: MessengerBot, path: str = "/webhook") -> None:
    """Serve the webhook of *bot* at *path*; the bot starts and stops with *app*."""
    app[BOT] = bot
    bot.add_to(app, path)


def bot_of(request: web.Request) -> MessengerBot:
    """
    The bot of the application that serves *request*.

    Raises:
        RuntimeError: The application was not set up.
    """
    bot = request.config_dict.get(BOT)
    if bot is None:
        msg = "this application has no bot: call `setup(app, bot)` first"
        raise RuntimeError(msg)
    return bot
