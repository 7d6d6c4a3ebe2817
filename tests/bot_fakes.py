"""What the tests of the bot share: a bot, signed webhooks, and middlewares that note calls."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from typing import Any

from kochava_bot_middleware.bot import MessengerBot
from kochava_bot_middleware.inbox.webhook import WebhookAnswer
from kochava_bot_middleware.store.contract import Store
from tests.inbox.inbox_fakes import PAGE_ID, message_item

SETTINGS: dict[str, Any] = {"page_access_token": "page-token", "app_secret": "app-secret", "verify_token": "verify-me"}


def make_bot(**settings: Any) -> MessengerBot:
    return MessengerBot.from_dict({**SETTINGS, **settings})


def webhook_body(*items: Mapping[str, Any], page_id: str = PAGE_ID, under: str = "messaging") -> bytes:
    return json.dumps({"object": "page", "entry": [{"id": page_id, under: list(items)}]}).encode()


def signature(body: bytes, secret: str = "app-secret") -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()}


async def deliver(
    bot: MessengerBot, *items: Mapping[str, Any], page_id: str = PAGE_ID, under: str = "messaging"
) -> WebhookAnswer:
    body = webhook_body(*items, page_id=page_id, under=under)
    return await bot.receive(body, signature(body))


async def says(bot: MessengerBot, text: str, *, user: str = "ann", page_id: str = PAGE_ID) -> WebhookAnswer:
    return await deliver(bot, {**message_item(text, user), "recipient": {"id": page_id}}, page_id=page_id)


class Named:
    """A middleware that notes its calls, start and stop in a common log."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        self.start_error: Exception | None = None
        self.stop_error: Exception | None = None

    async def start(self) -> None:
        self.log.append(f"start {self.name}")
        if self.start_error is not None:
            raise self.start_error

    async def stop(self) -> None:
        self.log.append(f"stop {self.name}")
        if self.stop_error is not None:
            raise self.stop_error

    async def receive(self, event: Any, call_next: Any) -> Any:
        self.log.append(f"receive {self.name}")
        return await call_next(event)

    async def send(self, outgoing: Any, call_next: Any) -> Any:
        self.log.append(f"send {self.name}")
        return await call_next(outgoing)


class StoreOwner:
    """A middleware that owns the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.stopped = False

    def provide_store(self) -> Store:
        return self.store

    async def receive(self, event: Any, call_next: Any) -> Any:
        return await call_next(event)

    async def stop(self) -> None:
        self.stopped = True
        await self.store.close()


class Silent:
    """A send middleware that answers instead of Facebook, so that nothing is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send(self, outgoing: Any, call_next: Any) -> Any:
        self.sent.append(outgoing)
        return {"recipient_id": "1", "message_id": "m"}
