"""
Flask and pymessenger, with a middleware for synchronous programs.
Run it with a bot.toml in the working directory: python flask_pymessenger.py
"""

import logging
from typing import Any

from flask import Flask, request
from pymessenger.bot import Bot

from kochava_bot_middleware import Event, Kind, SyncKochava, WebhookError
from kochava_bot_middleware.integrations.pymessenger import instrument
from kochava_bot_middleware.settings import from_toml

facebook, settings = from_toml("bot.toml")["bot"], from_toml("bot.toml")["kochava"]
kochava = SyncKochava.from_dict({**settings, "app_secret": facebook["app_secret"]})
bot = instrument(Bot(facebook["page_access_token"], api_version="26.0"), kochava)
bot.graph_url = f"{facebook['graph_url']}/v26.0"
app = Flask(__name__)

SHOP = {"type": "web_url", "title": "Shop", "url": "https://shop.example"}  # will be a SmartLink
SOCKS = {"type": "postback", "title": "Buy socks", "payload": "BUY"}


@kochava.greeting
def greet(event: Event) -> None:
    bot.send_button_message(event.user_id, "Welcome!", [SHOP, SOCKS])


@kochava.event("Purchase", data={"currency": "USD", "sum": 100})
def sell(event: Event) -> None:
    bot.send_text_message(event.user_id, "Thank you!")


@app.post("/webhook")
def receive() -> Any:
    try:
        events = kochava.parse(request.get_data(), dict(request.headers))
    except WebhookError as exc:
        return str(exc), exc.status
    for event in events:
        try:
            with kochava.handling(event):  # what is tracked and sent within belongs to this event
                if event.kind in (Kind.MESSAGE, Kind.POSTBACK):
                    (sell if getattr(event, "payload", None) == "BUY" else greet)(event)
        except Exception as exc:  # noqa: BLE001 - its text may quote a person
            logging.error("the handler of a %s raised %s", event.kind, type(exc).__name__)  # noqa: LOG015
    return "EVENT_RECEIVED"


@app.get("/webhook")
def verify() -> Any:
    is_right = request.args.get("hub.verify_token") == facebook["verify_token"]
    return request.args.get("hub.challenge", "") if is_right else ("", 403)


if __name__ == "__main__":
    app.run(port=8080)
