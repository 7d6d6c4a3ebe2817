"""
Without `MessengerBot`: any code that gets the webhook and sends by itself can use the middleware alone.

Here it is a bare aiohttp handler. A handler that raises is logged, and the next event is handled all the same.
Run it with a bot.toml in the working directory: python other_host.py
"""

import logging
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from kochava_bot_middleware import AsyncBot, Event, Kind, KochavaMiddleware, WebhookError
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


async def verify(request: web.Request) -> web.Response:
    if request.query.get("hub.verify_token") != facebook["verify_token"]:
        return web.Response(status=403)
    return web.Response(text=request.query.get("hub.challenge", ""))


async def webhook(request: web.Request) -> web.Response:
    raw = await request.read()
    try:
        verify_signature(raw, request.headers.get("X-Hub-Signature-256"), [facebook["app_secret"]])
        events = parse_webhook(raw)
    except WebhookError as exc:
        return web.Response(status=exc.status, text=str(exc))
    for event in events:
        try:
            await kochava.receive(event, handle)
        except Exception as exc:
            logging.error("handling a %s raised %s", event.kind, type(exc).__name__)  # its text may quote a person
    return web.Response(text="EVENT_RECEIVED")


async def lifetime(_app: web.Application) -> AsyncIterator[None]:
    await kochava.start()
    yield
    await kochava.stop()
    await sender.close()


app = web.Application()
app.add_routes([web.get("/webhook", verify), web.post("/webhook", webhook)])
app.cleanup_ctx.append(lifetime)

if __name__ == "__main__":
    web.run_app(app)
