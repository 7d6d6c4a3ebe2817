"""
Without `MessengerBot`: any code that gets the webhook and sends by itself can use the middleware alone.
Run it with a bot.toml in the working directory: python other_host.py
"""

import logging
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from kochava_bot_middleware import AsyncBot, Event, Kind, KochavaMiddleware
from kochava_bot_middleware.inbox.webhook import Webhook
from kochava_bot_middleware.settings import Secret, from_toml

settings = from_toml("bot.toml")
facebook = settings["bot"]
kochava = KochavaMiddleware.from_dict(settings["kochava"])
sender = AsyncBot(facebook["page_access_token"], graph_url=facebook["graph_url"])
sender.add_middleware(kochava)


async def handle(event: Event) -> None:
    if event.kind is Kind.MESSAGE and event.user_id is not None:
        shop = {"type": "web_url", "title": "Shop", "url": "https://shop.example"}
        await sender.send_button_message(event.user_id, "Have a look:", [shop])


async def accept(events: Sequence[Event]) -> None:
    for event in events:
        try:
            async with kochava.handling(event):
                await handle(event)
        except Exception as exc:  # noqa: BLE001 - of handlers; its text may quote a person
            logging.error("the handler of a %s raised %s", event.kind, type(exc).__name__)  # noqa: LOG015


secret, verify_token = Secret(facebook["app_secret"]), Secret(facebook["verify_token"])
webhook = Webhook(accept, app_secrets=[secret], verify_token=verify_token, max_body_bytes=2**20)


async def serve(request: web.Request) -> web.Response:
    is_get = request.method == "GET"
    answer = webhook.verify(request.query) if is_get else await webhook.receive(await request.read(), request.headers)
    return web.Response(status=answer.status, text=answer.text)


async def lifetime(_app: web.Application) -> AsyncIterator[None]:
    await kochava.start()
    yield
    await kochava.stop()
    await sender.close()


app = web.Application()
app.router.add_route("*", "/webhook", serve)
app.cleanup_ctx.append(lifetime)

if __name__ == "__main__":
    web.run_app(app)
