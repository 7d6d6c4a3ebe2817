"""
A web server of your own beside the bot: an order system tells it that a parcel left, and the bot tells the person.

Run it with a bot.toml in the working directory: python own_server.py
"""

import os

from aiohttp import web

from kochava_bot_middleware import Event, KochavaMiddleware, MessengerBot, Reply
from kochava_bot_middleware.settings import from_environment, from_toml

settings = from_environment(os.environ, over=from_toml("bot.toml"))
bot = MessengerBot.from_dict(settings["bot"])
kochava = KochavaMiddleware.from_dict(settings["kochava"])
bot.add_middleware(kochava)


@bot.on_message()
async def answer(event: Event, reply: Reply) -> None:
    await reply.text("Your order is on its way as soon as it is packed.")


async def parcel_left(request: web.Request) -> web.Response:
    order = await request.json()
    await bot.page().send_text_message(order["user_id"], "Your parcel left.", messaging_type="UPDATE")
    # Outside of handlers this call is the commit: when it returns, the event is durable. The id makes a repeated call
    # of the order system count once.
    await kochava.track("Parcel Left", {"order_id": order["id"]}, user_id=order["user_id"], id=order["id"])
    return web.Response(text="recorded")


app = web.Application()
app.router.add_post("/parcel-left", parcel_left)
bot.add_to(app, "/webhook")

if __name__ == "__main__":
    web.run_app(app)
