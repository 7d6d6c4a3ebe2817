"""
Without `MessengerBot`: any code that gets the webhook and sends by itself can use the middleware alone.
Run it with a bot.toml in the working directory: python other_host.py
"""

import logging
from typing import Any

import aiohttp
from aiohttp import web

from kochava_bot_middleware import Event, Kind, KochavaMiddleware, WebhookError
from kochava_bot_middleware.settings import from_toml

facebook, settings = from_toml("bot.toml")["bot"], from_toml("bot.toml")["kochava"]
kochava = KochavaMiddleware.from_dict({**settings, "app_secret": facebook["app_secret"]})


async def call(body: Any) -> Any:
    url, token = f"{facebook['graph_url']}/v26.0/me/messages", facebook["page_access_token"]
    async with aiohttp.request("POST", url, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
        return await answer.json()


async def handle(event: Event) -> None:
    if event.kind is Kind.MESSAGE:
        shop = {"type": "web_url", "title": "Shop", "url": "https://shop.example"}  # will be a SmartLink
        template = {"template_type": "button", "text": "Have a look:", "buttons": [shop]}
        message = {"attachment": {"type": "template", "payload": template}}
        await kochava.send({"recipient": {"id": event.user_id}, "message": message}, call)


async def receive(request: web.Request) -> web.Response:
    try:
        events = kochava.parse(await request.read(), request.headers)
    except WebhookError as exc:
        return web.Response(status=exc.status, text=str(exc))
    for event in events:
        try:
            async with kochava.handling(event):  # what is tracked and sent within belongs to this event
                await handle(event)
        except Exception as exc:  # noqa: BLE001 - its text may quote a person
            logging.error("the handler of a %s raised %s", event.kind, type(exc).__name__)  # noqa: LOG015
    return web.Response(text="EVENT_RECEIVED")


async def verify(request: web.Request) -> web.Response:
    is_right = request.query.get("hub.verify_token") == facebook["verify_token"]
    return web.Response(text=request.query.get("hub.challenge")) if is_right else web.Response(status=403)


app = web.Application()
app.add_routes([web.get("/webhook", verify), web.post("/webhook", receive)])
app.on_startup.append(lambda _app: kochava.start())
app.on_cleanup.append(lambda _app: kochava.stop())

if __name__ == "__main__":
    web.run_app(app)
