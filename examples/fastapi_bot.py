"""
A bot on FastAPI that sends with httpx: the middleware is one line at the webhook, and `kochava.send` at the sender.
Run it with a bot.toml in the working directory: python fastapi_bot.py
"""

from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

from kochava_bot_middleware import KochavaMiddleware
from kochava_bot_middleware.integrations.asgi import KochavaASGIMiddleware
from kochava_bot_middleware.settings import from_toml

facebook, settings = from_toml("bot.toml")["bot"], from_toml("bot.toml")["kochava"]
kochava = KochavaMiddleware.from_dict({**settings, "app_secret": facebook["app_secret"]})
app = FastAPI()
app.add_middleware(KochavaASGIMiddleware, kochava=kochava, path="/webhook")


@app.get("/webhook")
async def verify(request: Request) -> Response:
    is_right = request.query_params.get("hub.verify_token") == facebook["verify_token"]
    return Response(request.query_params.get("hub.challenge")) if is_right else Response(status_code=403)


@app.post("/webhook")
async def webhook(request: Request) -> Response:
    for entry in (await request.json())["entry"]:
        for item in entry.get("messaging", ()):
            if "text" in item.get("message", {}) and not item["message"].get("is_echo"):
                await greet(item["sender"]["id"])
            elif "postback" in item:
                await kochava.track("Purchase", {"currency": "USD", "sum": 5}, user_id=item["sender"]["id"])
    return Response("EVENT_RECEIVED")


async def greet(user_id: str) -> None:
    shop = {"type": "web_url", "title": "Shop", "url": "https://shop.example"}  # will be a SmartLink
    socks = {"type": "postback", "title": "Socks", "payload": "SOCKS"}
    template = {"template_type": "button", "text": "Welcome!", "buttons": [shop, socks]}
    message = {"attachment": {"type": "template", "payload": template}}
    await kochava.send({"recipient": {"id": user_id}, "message": message}, call, greeting=True)


async def call(body: Any) -> Any:
    url, token = f"{facebook['graph_url']}/v26.0/me/messages", facebook["page_access_token"]
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        return await client.post(url, json=body)


if __name__ == "__main__":
    uvicorn.run(app, port=8080)
