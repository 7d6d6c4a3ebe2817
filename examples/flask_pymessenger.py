"""
Flask and pymessenger: `kochava`, the middleware of the webhook, and `instrument` are what makes the bot measurable.
Run it with a bot.toml in the working directory: python flask_pymessenger.py
"""

from typing import Any

from flask import Flask, request
from pymessenger.bot import Bot

from kochava_bot_middleware import SyncKochava
from kochava_bot_middleware.integrations.pymessenger import instrument
from kochava_bot_middleware.integrations.wsgi import KochavaWSGIMiddleware
from kochava_bot_middleware.settings import from_toml

facebook, settings = from_toml("bot.toml")["bot"], from_toml("bot.toml")["kochava"]
kochava = SyncKochava.from_dict({**settings, "app_secret": facebook["app_secret"]})  # so that it checks signatures
app = Flask(__name__)
app.wsgi_app = KochavaWSGIMiddleware(app.wsgi_app, kochava=kochava, path="/webhook")  # type: ignore[method-assign]
bot = instrument(Bot(facebook["page_access_token"], api_version="26.0"), kochava)
bot.graph_url = f"{facebook['graph_url']}/v26.0"

SHOP = {"type": "web_url", "title": "Shop", "url": "https://shop.example"}  # will be a SmartLink
SOCKS = {"type": "postback", "title": "Buy socks", "payload": "BUY"}


@kochava.greeting
def greet(user_id: str) -> None:
    bot.send_button_message(user_id, "Welcome!", [SHOP, SOCKS])


def sell(user_id: str) -> None:
    kochava.track("Purchase", {"currency": "USD", "sum": 100}, user_id=user_id)
    bot.send_text_message(user_id, "Thank you!")


@app.post("/webhook")
def receive() -> str:
    for entry in request.get_json()["entry"]:
        for item in entry.get("messaging", []):
            if "postback" in item or "text" in item.get("message", {}):
                is_order = item.get("postback", {}).get("payload") == "BUY"
                (sell if is_order else greet)(item["sender"]["id"])
    return "EVENT_RECEIVED"


@app.get("/webhook")
def verify() -> Any:
    is_right = request.args.get("hub.verify_token") == facebook["verify_token"]
    return request.args.get("hub.challenge", "") if is_right else ("", 403)


if __name__ == "__main__":
    app.run(port=8080)
