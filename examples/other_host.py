"""
Without `MessengerBot`: any code that gets the webhook and sends by itself can use the middleware alone.

Here it is a bare aiohttp handler; in FastAPI or Django it is the same four lines.
Run it with a bot.toml in the working directory: python other_host.py
"""

import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from kochava_bot_middleware import AsyncBot, Event, Kind, KochavaMiddleware
from kochava_bot_middleware.messenger.parse import parse_webhook
from kochava_bot_middleware.messenger.signature import verify_signature

settings = tomllib.loads(Path("bot.toml").read_text(encoding="utf-8"))
facebook = settings["bot"]
kochava = KochavaMiddleware.from_dict(settings["kochava"])
sender = AsyncBot(facebook["page_access_token"], graph_url=facebook["graph_url"])
sender.add_middleware(kochava)


async def handle(event: Event) -> None:
    if event.kind is Kind.MESSAGE and event.user_id is not None:
        buttons = [{"type": "web_url", "title": "Shop", "url": "https://shop.example"}]
        await sender.send_button_message(event.user_id, "Have a look:", buttons)


async def webhook(request: web.Request) -> web.Response:
    raw = await request.read()
    verify_signature(raw, request.headers.get("X-Hub-Signature-256"), [facebook["app_secret"]])
    for event in parse_webhook(raw):
        await kochava.receive(event, handle)
    return web.Response(text="EVENT_RECEIVED")


async def lifetime(_app: web.Application) -> AsyncIterator[None]:
    await kochava.start()
    yield
    await kochava.stop()
    await sender.close()


app = web.Application()
app.router.add_post("/webhook", webhook)
app.cleanup_ctx.append(lifetime)

if __name__ == "__main__":
    web.run_app(app)
